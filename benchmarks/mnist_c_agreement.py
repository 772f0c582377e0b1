"""Compares the difficulty of our MNIST-C corruptions with the published generator's, for networks trained on MNIST.

    python -m benchmarks.mnist_c_agreement RUN [RUN ...] [--seeds 20] [--published corruptions.py]

The reference is one output of the published generator for MNIST's first 500 test digits, without a known seed. With the
published generator's source file (github.com/google-research/mnist-c, Apache 2.0), its random corruptions are also run
on 3,000 further test digits. Our generator corrupts the same digits with many seeds.

The question is whether the two are equivalent: two one-sided tests (TOST, Schuirmann 1987) show that the difference of
the error rates is within 2 percentage points. A difference that is merely not significant would show nothing. Prints
the table and writes benchmarks/output/mnist_c_agreement.json and, with digits of both, mnist_c_agreement.png.
"""

import ast
import math
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import t
from skimage import filters, transform, util
from torch import Tensor, nn

from benchmarks.results import DEVICE, OUTPUT, markdown_table, script_parser, write
from models import load_trained
from utils.data import ImageSet, load_dataset
from utils.data.downloads import DataFile, read_file
from utils.data.mnist_c import MNIST_C, corrupt
from utils.errors import UserError, exit_on_user_error
from utils.evaluation import predict_logits, score
from utils.figures import figure_style, save_figure, set_title
from utils.files import shown
from utils.run import Run
from utils.track import track

NAME = "mnist_c_agreement"
REFERENCE = DataFile("mnist_c_reference", "mnist_c_first_500.npz", md5="b32622b3f3a4f153ab96dfee7fe7f3d9")
MARGIN = 0.02  # difference of error rates that counts as equivalent, chosen before the measurement
LEVEL = 0.05  # of each of the two one-sided tests
REFERENCE_DIGITS, FURTHER_DIGITS = 500, 3000
# Functions of the published source that need nothing but NumPy and scikit-image, and the functions that they call.
RANDOM_CORRUPTIONS = (
    *("shot_noise", "impulse_noise", "glass_blur", "rotate", "translate"),
    *("fog", "spatter", "dotted_line", "zigzag"),
)
THEIR_HELPERS = ("plasma_fractal", "line_from_points")
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


def published_generator(file: Path) -> dict[str, Callable[[Image.Image], np.ndarray]]:
    """The random corruptions in the published corruptions.py. The file is not imported, because it needs packages that
    the other corruptions use; names that NumPy and scikit-image have dropped since 2019 are supplied.

    Raises UserError if the file cannot be read or lacks a corruption.
    """

    def gaussian(image: np.ndarray, sigma: float, multichannel: bool = False) -> np.ndarray:
        return filters.gaussian(image, sigma=sigma, channel_axis=-1 if multichannel else None)

    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"cannot read {shown(file)}: {error}") from None
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    tree.body = [node for node in functions if node.name in (*RANDOM_CORRUPTIONS, *THEIR_HELPERS)]
    numpy_of_2019 = types.SimpleNamespace(**{**vars(np), "float_": np.float64, "int": int})
    skimage = types.SimpleNamespace(util=util)
    names: dict[str, Any] = {"np": numpy_of_2019, "sk": skimage, "transform": transform, "gaussian": gaussian}
    exec(compile(tree, str(file), "exec"), names)  # the file that the user names
    if missing := [name for name in RANDOM_CORRUPTIONS if name not in names]:
        raise UserError(f"{shown(file)} has no {missing[0]}: expected corruptions.py of google-research/mnist-c")
    return {name: names[name] for name in RANDOM_CORRUPTIONS}


def further_sets(file: Path) -> dict[str, ImageSet]:
    """The published generator's output for the test digits after the first 500, with NumPy's seed 0."""
    whole = load_dataset("mnist", "test")
    digits = whole.subset(torch.arange(REFERENCE_DIGITS, REFERENCE_DIGITS + FURTHER_DIGITS), "identity")
    pictures = [Image.fromarray(image) for image in digits.images.numpy()]
    sets = {"identity": digits}
    for name, function in track(published_generator(file).items(), desc="published generator"):
        np.random.seed(0)  # noqa: NPY002 - the generator draws from NumPy's global state
        images = np.stack([np.clip(np.round(function(picture)), 0, 255).astype(np.uint8) for picture in pictures])
        sets[name] = ImageSet(name, torch.from_numpy(images), digits.labels)
    return sets


def compare(models: list[nn.Module], name: str, sets: dict[str, ImageSet], num_seeds: int) -> dict[str, Any]:
    """Error rates under one corruption for the reference and for each of our seeds, and the test of their equivalence.

    A corruption without randomness has no sampling error: its gray levels are compared instead.
    """
    clean = sets["identity"]
    ours = [corrupt(clean.images, name, seed) for seed in range(num_seeds)]
    reference_error = error_rate(models, sets[name])
    errors = [error_rate(models, ImageSet(name, images, clean.labels)) for images in ours]
    result = {"corruption": name, "num_digits": len(clean), "reference_error": reference_error, "errors": errors}
    if all(torch.equal(ours[0], images) for images in ours):
        furthest = int((ours[0].int() - sets[name].images.int()).abs().max())
        return {**result, "furthest_levels": furthest, "is_equivalent": furthest <= ROUNDING_LEVELS}
    low, high = difference_interval(reference_error, errors)
    return {**result, "low": low, "high": high, "is_equivalent": max(-low, high) < MARGIN}


def error_rate(models: list[nn.Module], digits: ImageSet) -> float:
    """The fraction of wrong predictions, averaged over the networks."""
    scores = [score(predict_logits(model, digits.images, DEVICE), digits.labels) for model in models]
    return 1 - sum(result.num_correct for result in scores) / sum(result.num_digits for result in scores)


def difference_interval(single: float, values: list[float]) -> tuple[float, float]:
    """The 90 % interval of a single value minus the mean of the distribution of the other values, by Student's t. It
    lies within the margin exactly if both one-sided tests are significant at 5 %.

    Both use the same digits, so the randomness of the generator is the only source of variance.
    """
    difference = single - float(np.mean(values))
    spread = float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / len(values))
    width = float(t.ppf(1 - LEVEL, len(values) - 1)) * spread
    return difference - width, difference + width


def markdown(values: dict[str, Any]) -> str:
    """The table of docs/scorecard.md."""
    header = ("corruption", "digits", "errors, reference", "errors, ours (mean over seeds)",
              "difference, points (90 % interval)", f"within {100 * values['margin']:.0f} points")  # fmt: skip
    rows = []
    for row in values["results"]:
        ours = float(np.mean(row["errors"]))
        cells = [row["corruption"], f"{row['num_digits']:,}", f"{row['reference_error']:.2%}", f"{ours:.2%}"]
        if "furthest_levels" in row:
            difference = f"not random: gray levels differ by at most {row['furthest_levels']}"
        else:
            points = 100 * (row["reference_error"] - ours)
            difference = f"{points:+.2f} ({100 * row['low']:+.2f} to {100 * row['high']:+.2f})"
        rows.append([*cells, difference, "yes" if row["is_equivalent"] else "not shown"])
    return markdown_table(header, rows)


@figure_style()
def side_by_side(sets: dict[str, ImageSet]) -> Figure:
    """The first digits under each corruption: the published generator above, ours below."""
    figure = Figure(figsize=(9.4, 5.4), layout="constrained")
    set_title(figure, "MNIST-C: the published generator above, ours below (seed 0)")
    clean = sets["identity"].images[:NUM_SHOWN]
    for place, name in enumerate(MNIST_C, start=1):
        axes = figure.add_subplot(math.ceil(len(MNIST_C) / 3), 3, place)
        _draw_rows(axes, torch.stack([sets[name].images[:NUM_SHOWN], corrupt(clean, name, seed=0)]))
        axes.set_title(name.replace("_", " "), pad=3)
    return figure


def _draw_rows(axes: Axes, images: UInt8[Tensor, "rows columns 28 28"]) -> None:
    """Rows of digits, separated by coloured lines."""
    tiles: Float[np.ndarray, "rows columns 30 30"] = np.full((*images.shape[:2], 30, 30), np.nan)
    tiles[:, :, 1:29, 1:29] = images.numpy()
    canvas = np.concatenate(np.concatenate(tiles, axis=1), axis=1)
    axes.imshow(canvas, cmap=colormaps["gray"].with_extremes(bad=GAP_COLOUR), vmin=0, vmax=255, interpolation="nearest")
    axes.axis("off")


def compare_generators(
    runs: Sequence[Run], num_seeds: int, corruptions: Sequence[str], output: Path, published: Path | None = None
) -> dict[str, Any]:
    """The comparison with the networks of these runs, on further digits where the published generator is given. Writes
    the picture into the folder `output`."""
    models = [load_trained(run, DEVICE) for run in runs]
    sets = reference_sets()
    save_figure(side_by_side(sets), output / f"{NAME}.png")
    further = further_sets(published) if published else {}
    return {
        "runs": [run.name for run in runs],
        "seeds": num_seeds,
        "margin": MARGIN,
        "clean_error": error_rate(models, sets["identity"]),
        "results": [compare(models, name, further if name in further else sets, num_seeds) for name in corruptions],
    }


def main() -> None:
    parser = script_parser(__doc__)
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folder or name; error rates are means over the runs"
    )
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds of our generator")
    parser.add_argument("--published", type=Path, help="the published generator's corruptions.py, for further digits")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds {options.seeds}: expected at least two, for a standard deviation")
    with exit_on_user_error():
        runs = [Run.find(name) for name in options.runs]
        result = compare_generators(runs, options.seeds, list(MNIST_C), OUTPUT, options.published)
    write(NAME, result)
    print(f"{markdown(result)}\n\nclean digits: {result['clean_error']:.2%} errors")


if __name__ == "__main__":
    main()
