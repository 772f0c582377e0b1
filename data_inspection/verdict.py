"""The statistics in words: a table for the terminal, and what the figures say about centring, size and balance."""

from typing import Any


def statistics_table(description: dict[str, Any]) -> str:
    """Both splits, a line a class and one for all."""
    lines = [
        f"{'':12}{'digits':>8}{'share':>8}{'pixel mean':>12}{'height':>13}{'width':>13}{'off centre':>13}{'lean':>15}",
        f"{'':12}{'':>8}{'':>8}{'[0, 1]':>12}{'px':>13}{'px':>13}{'px':>13}{'degrees':>15}",
    ]
    for split, whole in description["splits"].items():
        everything = {**whole, "share": 1.0}
        for name, part in {**whole["classes"], "all": everything}.items():
            if not part["num_digits"]:
                lines.append(f"{split + ' ' + name:12}{0:>8}")
                continue
            lines.append(
                f"{split + ' ' + name:12}{part['num_digits']:>8,}{part['share']:>8.1%}{part['pixel_mean']:>12.4f}"
                + "".join(_mean_and_deviation(part[key]) for key in ("height", "width", "off_centre"))
                + _mean_and_deviation(part["lean_degrees"], 15)
            )
    return "\n".join(lines)


def _mean_and_deviation(spread: dict[str, float] | None, width: int = 13) -> str:
    return f"{'-':>{width}}" if spread is None else f"{spread['mean']:.1f} ± {spread['std']:.1f}".rjust(width)


def verdict(dataset: str, description: dict[str, Any]) -> str:
    """What the training digits' figures say, and what was found twice."""
    train = description["splits"]["train"]
    right, below, off_centre, longer_side = (
        train[key] for key in ("centre_x", "centre_y", "off_centre", "longer_side")
    )
    counts = [part["num_digits"] for part in train["classes"].values()]
    twice = description["duplicates"]
    lines = [
        f"{dataset}, {train['num_digits']:,} training digits:",
        f"pixels    mean {train['pixel_mean']:.4f}, standard deviation {train['pixel_std']:.4f}; "
        f"{train['ink_share']:.1%} of all pixels have ink",
        f"centring  the centre of mass lies {right['mean']:+.2f} ± {right['std']:.2f} px right of the middle "
        f"and {below['mean']:+.2f} ± {below['std']:.2f} px below it; "
        f"99 % of the digits are within {off_centre['quantile_99']:.2f} px of it",
        f"size      the longer side is {longer_side['mean']:.2f} ± {longer_side['std']:.2f} px; "
        f"{train['share_with_longer_side_20']:.1%} have exactly 20 px",
        f"balance   the largest class has {max(counts):,} digits, the smallest {min(counts):,}: "
        f"{max(counts) / max(1, min(counts)):.2f} to 1",
        f"twice     {twice['within_train']} training digits, {twice['within_test']} test digits; "
        f"{twice['test_digits_also_in_train']} test digits stand in the training set; "
        f"{twice['images_with_two_labels']} images have two labels",
    ]
    for split, people in description.get("writers", {}).items():
        lines.append(
            f"writers   {split}: {people['num_writers']} people, {people['digits_per_writer_mean']:.0f} digits each "
            f"({people['digits_per_writer_min']} to {people['digits_per_writer_max']})"
        )
    return "\n".join(lines)
