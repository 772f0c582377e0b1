"""Model strings for hypothesis to draw."""

from hypothesis import strategies as st


@st.composite
def model_strings(draw):
    """Valid strings of any form."""
    parts, side = [], 28
    anywhere = st.sampled_from(["BN", "D0.25"])
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["conv", "same", "pool", "anywhere"]))
        if kind == "conv":
            kernel = draw(st.integers(1, side))
            parts.append(f"C({draw(st.integers(1, 8))},{kernel})")
            side -= kernel - 1
        elif kind == "same":
            parts.append(f"C({draw(st.integers(1, 8))},{2 * draw(st.integers(0, (side - 1) // 2)) + 1},same)")
        elif kind == "pool":
            size = draw(st.integers(1, min(3, side)))
            parts.append(f"{draw(st.sampled_from('PA'))}{size}")
            side = -(-side // size)
        else:
            parts.append(draw(anywhere))
    parts += ["G"] * draw(st.integers(0, 1))
    parts += draw(st.lists(st.one_of(st.integers(1, 40).map("FC{}".format), anywhere), max_size=4))
    return "-".join([*parts, "FC10"])
