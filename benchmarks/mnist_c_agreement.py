"""Whether our MNIST-C corruptions are as hard as the published generator's, by networks trained on clean digits.

    python benchmarks/mnist_c_agreement.py RUN [RUN ...] [--seeds 20]

The published generator was run once over MNIST's first 500 test digits, without a seed; ours runs over the same digits
with many. Prints the table, writes benchmarks/output/mnist_c_agreement.json and, with digits of both, .png.
"""

import math
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from torch import Tensor, nn

from benchmarks.results import DEVICE, OUTPUT, write
from models.trained import load_trained
from utils.command_line import parse_command_line
from utils.downloads import held_file
from utils.errors import UserError, exit_on_user_error
from utils.evaluation import predict_logits, score
from utils.figures import INK, save_figure
from utils.image_set import ImageSet
from utils.mnist_c.corruptions import CORRUPTIONS, corrupt
from utils.run_folder import RunFolder

NAME = "mnist_c_agreement"
REFERENCE_MD5 = "b32622b3f3a4f153ab96dfee7fe7f3d9"
FAMILY_LEVEL = 0.05  # chance that any of the corruptions is called different though none is
NUM_SHOWN = 8  # digits of each corruption in the picture
ROUNDING_LEVELS = 1  # where bilinear values lie half-way between two levels
GAP_COLOUR = "#a9c4e6"


@dataclass(frozen=True)
class AgreementCommand:
    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """The runs' folders, such as runs/NAME, or their names alone. Error rates are means over their networks."""
    seeds: int = 20
    """How many times our generators are run."""


def reference_sets() -> dict[str, ImageSet]:
    """The first 500 test digits by corruption, as the published generator makes them; `identity` are the clean ones.

    Raises UserError where there is no such file.
    """
    try:
        path = held_file("mnist_c_reference", "mnist_c_first_500.npz", REFERENCE_MD5, [])
    except UserError as error:
        first_line = str(error).splitlines()[0]
        raise UserError(
            f"{first_line}\nIt is no public file: set MNIST_STUDY_MIRROR to a folder that holds it."
        ) from None
    with np.load(path, allow_pickle=False) as file:
        labels = torch.from_numpy(file["labels"]).long()
        return {name: ImageSet(name, torch.from_numpy(file[name]), labels) for name in ("identity", *CORRUPTIONS)}


def compare(models: list[nn.Module], name: str, sets: dict[str, ImageSet], num_seeds: int) -> dict[str, Any]:
    """Error rates under one corruption: the reference's, ours seed by seed, and how they differ.

    Where nothing is random there is no sampling error: the digits themselves are compared, level by level.
    """
    clean = sets["identity"]
    ours = [corrupt(clean.images, name, seed) for seed in range(num_seeds)]
    reference_error = error_rate(models, sets[name])
    errors = [error_rate(models, ImageSet(name, images, clean.labels)) for images in ours]
    result = {"corruption": name, "reference_error": reference_error, "errors": errors}
    if all(torch.equal(ours[0], images) for images in ours):
        furthest = int((ours[0].int() - sets[name].images.int()).abs().max())
        return {**result, "furthest_levels": furthest, "agrees": furthest <= ROUNDING_LEVELS}
    statistic, p_value = prediction_test(reference_error, errors)
    return {**result, "t": statistic, "p": p_value, "agrees": p_value >= FAMILY_LEVEL / len(CORRUPTIONS)}


def error_rate(models: list[nn.Module], digits: ImageSet) -> float:
    """The share of digits that are named wrong, the mean over the networks."""
    scores = [score(predict_logits(model, digits.images, DEVICE), digits.labels) for model in models]
    return 1 - sum(result.num_correct for result in scores) / sum(result.num_digits for result in scores)


def prediction_test(single: float, values: list[float]) -> tuple[float, float]:
    """Student's t of a single value against others that should be drawn like it, and its two-sided p.

    The spread of the others is the generator's own randomness, and theirs is all of the difference there may be: the
    digits are the same. Where the others are all equal, t is infinite or 0.
    """
    from scipy.stats import t

    difference = single - float(np.mean(values))
    spread = float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / len(values))
    if spread < 1e-12:  # rates are multiples of one in some hundred, but their mean is rounded
        return (0.0, 1.0) if abs(difference) < 1e-12 else (math.copysign(math.inf, difference), 0.0)
    statistic = difference / spread
    return statistic, float(2 * t.sf(abs(statistic), len(values) - 1))


def markdown(results: list[dict[str, Any]]) -> str:
    lines = [
        "| corruption | reference, errors | ours, mean over seeds | std over seeds | t | p | difference found |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results:
        rates = f"{row['reference_error']:.2%} | {np.mean(row['errors']):.2%}"
        if "furthest_levels" in row:
            found = "no" if row["agrees"] else "yes"
            verdict = f"{found}: nothing random, grey levels differ by {row['furthest_levels']} at most"
            lines.append(f"| {row['corruption']} | {rates} | | | | {verdict} |")
        else:
            tests = f"{np.std(row['errors'], ddof=1):.2%} | {row['t']:+.2f} | {row['p']:.3f}"
            lines.append(f"| {row['corruption']} | {rates} | {tests} | {'no' if row['agrees'] else 'yes'} |")
    return "\n".join(lines)


def side_by_side(sets: dict[str, ImageSet]) -> Figure:
    """The first digits under each corruption: the published generator's above, ours below."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)  # inches
    figure = Figure(figsize=(12.6, 6.8), layout=layout)
    figure.suptitle("MNIST-C: the published generator's digits above, ours below (seed 0)", fontsize=13, color=INK)
    clean = sets["identity"].images[:NUM_SHOWN]
    for place, name in enumerate(CORRUPTIONS, start=1):
        axes = figure.add_subplot(math.ceil(len(CORRUPTIONS) / 3), 3, place)
        _draw_rows(axes, torch.stack([sets[name].images[:NUM_SHOWN], corrupt(clean, name, seed=0)]))
        axes.set_title(name, fontsize=10, color=INK, pad=3)
    return figure


def _draw_rows(axes: Axes, images: UInt8[Tensor, "rows columns 28 28"]) -> None:
    """Rows of digits bright on dark, as a network sees them, with a colour between them that no digit has."""
    tiles: Float[np.ndarray, "rows columns 30 30"] = np.full((*images.shape[:2], 30, 30), np.nan)
    tiles[:, :, 1:29, 1:29] = images.numpy()
    canvas = np.concatenate(np.concatenate(tiles, axis=1), axis=1)
    axes.imshow(canvas, cmap=colormaps["gray"].with_extremes(bad=GAP_COLOUR), vmin=0, vmax=255, interpolation="nearest")
    axes.axis("off")


def main(argv: list[str]) -> None:
    """Whether our MNIST-C corruptions are as hard as the published generator's, by networks trained on clean digits."""
    options = parse_command_line(AgreementCommand, argv, "python benchmarks/mnist_c_agreement.py", main.__doc__)
    if not options.runs:
        raise UserError("say which: python benchmarks/mnist_c_agreement.py RUN, such as runs/NAME")
    if options.seeds < 2:
        raise UserError(f"--seeds {options.seeds}: at least two, for a spread")
    runs = [RunFolder.find(name) for name in options.runs]
    models = [load_trained(run, DEVICE) for run in runs]
    sets = reference_sets()
    save_figure(side_by_side(sets), OUTPUT / f"{NAME}.png")
    results = [compare(models, name, sets, options.seeds) for name in CORRUPTIONS]
    table = markdown(results)
    settings = {"runs": [run.path.name for run in runs], "num_digits": len(sets["identity"]), "seeds": options.seeds}
    clean_error = error_rate(models, sets["identity"])
    write(NAME, {**settings, "clean_error": clean_error, "results": results, "table": table})
    print(f"{table}\n\nFound: p is below {FAMILY_LEVEL} / {len(CORRUPTIONS)}, or levels by more.")
    print(f"clean digits: {clean_error:.2%} errors")


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
