"""Compares the difficulty of our MNIST-C corruptions with the published generator's, for networks trained on MNIST.

    python -m benchmarks.mnist_c_agreement RUN [RUN ...] [--seeds 20]

The reference is one output of the published generator for MNIST's first 500 test digits, without a known seed. Our
generator corrupts the same digits with many seeds. Prints the table and writes benchmarks/output/mnist_c_agreement.json
and, with digits of both, mnist_c_agreement.png.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t
from torch import Tensor, nn

from benchmarks.results import DEVICE, OUTPUT, markdown_table, script_parser, write
from models import load_trained
from utils.data import ImageSet
from utils.data.downloads import DataFile, read_file
from utils.data.mnist_c import MNIST_C, corrupt
from utils.errors import exit_on_user_error
from utils.evaluation import predict_logits, score
from utils.figures import INK, save_figure
from utils.run import Run

NAME = "mnist_c_agreement"
REFERENCE = DataFile("mnist_c_reference", "mnist_c_first_500.npz", md5="b32622b3f3a4f153ab96dfee7fe7f3d9")
FAMILY_LEVEL = 0.05  # probability of any false difference, over all corruptions together
NUM_SHOWN = 8  # digits per corruption in the picture
ROUNDING_LEVELS = 1  # gray levels that rounding of bilinear interpolation may change
GAP_COLOUR = "#a9c4e6"


def reference_sets() -> dict[str, ImageSet]:
    """The first 500 test digits under each corruption of the published generator; `identity` is without corruption.

    Raises UserError if the file is not available.
    """
    advice = "The file is not public: set MNIST_STUDY_MIRROR to a folder that holds it."
    path = read_file(REFERENCE, lambda path: path, advice=advice)
    with np.load(path, allow_pickle=False) as file:
        labels = torch.from_numpy(file["labels"]).long()
        return {name: ImageSet(name, torch.from_numpy(file[name]), labels) for name in ("identity", *MNIST_C)}


def compare(models: list[nn.Module], name: str, sets: dict[str, ImageSet], num_seeds: int) -> dict[str, Any]:
    """Error rates under one corruption for the reference and for each of our seeds, and a test of their difference.

    A corruption without randomness has no sampling error: its gray levels are compared instead.
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
    return {**result, "t": statistic, "p": p_value, "agrees": p_value >= FAMILY_LEVEL / len(MNIST_C)}


def error_rate(models: list[nn.Module], digits: ImageSet) -> float:
    """The fraction of wrong predictions, averaged over the networks."""
    scores = [score(predict_logits(model, digits.images, DEVICE), digits.labels) for model in models]
    return 1 - sum(result.num_correct for result in scores) / sum(result.num_digits for result in scores)


def prediction_test(single: float, values: list[float]) -> tuple[float, float]:
    """Student's t and two-sided p-value for a single value from the same distribution as the other values.

    Both use the same digits, so the randomness of the generator is the only source of variance. If all other values are
    equal, t is infinite or 0.
    """
    difference = single - float(np.mean(values))
    spread = float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / len(values))
    if spread < 1e-12:  # zero up to the rounding of the mean
        return (0.0, 1.0) if abs(difference) < 1e-12 else (math.copysign(math.inf, difference), 0.0)
    statistic = difference / spread
    return statistic, float(2 * t.sf(abs(statistic), len(values) - 1))


def markdown(values: dict[str, Any]) -> str:
    """The table of docs/scorecard.md."""
    header = ("corruption", "errors, reference", "errors, ours (mean over seeds)", "std over seeds", "t", "p",
              "significant")  # fmt: skip
    rows = []
    for row in values["results"]:
        cells = [row["corruption"], f"{row['reference_error']:.2%}", f"{np.mean(row['errors']):.2%}"]
        significant = "no" if row["agrees"] else "yes"
        if "furthest_levels" in row:
            levels = f"not random, gray levels differ by at most {row['furthest_levels']}"
            rows.append([*cells, "", "", "", f"{significant}: {levels}"])
        else:
            std = f"{np.std(row['errors'], ddof=1):.2%}"
            rows.append([*cells, std, f"{row['t']:+.2f}", f"{row['p']:.3f}", significant])
    return markdown_table(header, rows)


def side_by_side(sets: dict[str, ImageSet]) -> Figure:
    """The first digits under each corruption: the published generator above, ours below."""
    figure = Figure(figsize=(12.6, 6.8), layout="constrained")
    figure.suptitle("MNIST-C: the published generator above, ours below (seed 0)", fontsize=13, color=INK)
    clean = sets["identity"].images[:NUM_SHOWN]
    for place, name in enumerate(MNIST_C, start=1):
        axes = figure.add_subplot(math.ceil(len(MNIST_C) / 3), 3, place)
        _draw_rows(axes, torch.stack([sets[name].images[:NUM_SHOWN], corrupt(clean, name, seed=0)]))
        axes.set_title(name, fontsize=10, color=INK, pad=3)
    return figure


def _draw_rows(axes: Axes, images: UInt8[Tensor, "rows columns 28 28"]) -> None:
    """Rows of digits, separated by coloured lines."""
    tiles: Float[np.ndarray, "rows columns 30 30"] = np.full((*images.shape[:2], 30, 30), np.nan)
    tiles[:, :, 1:29, 1:29] = images.numpy()
    canvas = np.concatenate(np.concatenate(tiles, axis=1), axis=1)
    axes.imshow(canvas, cmap=colormaps["gray"].with_extremes(bad=GAP_COLOUR), vmin=0, vmax=255, interpolation="nearest")
    axes.axis("off")


def compare_generators(runs: Sequence[Run], num_seeds: int, corruptions: Sequence[str], output: Path) -> dict[str, Any]:
    """The comparison with the networks of these runs. Writes the picture into the folder `output`."""
    models = [load_trained(run, DEVICE) for run in runs]
    sets = reference_sets()
    save_figure(side_by_side(sets), output / f"{NAME}.png")
    return {
        "runs": [run.name for run in runs],
        "num_digits": len(sets["identity"]),
        "seeds": num_seeds,
        "clean_error": error_rate(models, sets["identity"]),
        "results": [compare(models, name, sets, num_seeds) for name in corruptions],
    }


def main() -> None:
    parser = script_parser(__doc__)
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folder or name; error rates are means over the runs"
    )
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds of our generator")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds {options.seeds}: expected at least two, for a standard deviation")
    with exit_on_user_error():
        runs = [Run.find(name) for name in options.runs]
        result = compare_generators(runs, options.seeds, list(MNIST_C), OUTPUT)
    write(NAME, result)
    print(f"{markdown(result)}\n\nSignificant: p < {FAMILY_LEVEL} / {len(MNIST_C)}, or gray levels differ by more.")
    print(f"clean digits: {result['clean_error']:.2%} errors")


if __name__ == "__main__":
    main()
