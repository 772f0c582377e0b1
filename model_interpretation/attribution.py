"""Attribution maps of one digit: which pixels decide the prediction, and whether the maps pass the sanity checks."""

import sys
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from torch import Tensor, nn

from model_interpretation.activations import model_pixels
from model_interpretation.attribution_methods import (
    MAX_RANDOM_CORRELATION,
    CheckedMap,
    Method,
    check_method,
    get_method,
    methods_for,
    rank_correlation,
)
from model_interpretation.predict import ChosenDigit, load_run_split
from models.registry import load_trained
from utils.data.datasets import ImageSet, class_names
from utils.document import write_picture_page
from utils.errors import UserError
from utils.figures import COLOURS, INK, elided
from utils.run import Run, runs_by_recipe

ALL_METHODS = "all"
NUM_DIGITS_PER_MEAN = 20  # test digits of each class
MAX_CLASSES = 10  # columns of the map per class; of more classes, the most probable ones are shown
COLUMN_INCHES, NARROW_COLUMN_INCHES = 1.05, 0.7  # width of a map, and with more than MAX_CLASSES columns
# Colour-blind safe: the ends of RdBu_r, the colour map of the maps.
SUPPORTS, OPPOSES = "#b2182b", "#2166ac"
NOTES = (
    "Red pixels raise the logit of the class, blue pixels lower it. Saliency and Grad-CAM show only how strong the "
    "effect is, in red. Each map has a colour scale of its own; the line is the outline of the digit.",
    "Deletion: the probability of the class while pixels are set to black, the highest attribution first. A good map "
    "makes it fall early, so a small area is better.",
    "Insertion: the probability of the class while pixels are restored on a black image, the highest attribution "
    "first. A good map makes it rise early, so a large area is better.",
    "Infidelity: the mean squared error when the map predicts how pixel noise changes the logit. Sensitivity: the "
    "largest relative change of the map after a small change of the digit.",
    "Rank correlation: how similarly two maps order the pixels, from -1 to 1. A map that hardly changes with random "
    f"weights (above {MAX_RANDOM_CORRELATION}) does not explain the network; maps of other seeds should agree.",
)


def attribute(
    run: Run, model: nn.Module, digit: ChosenDigit, output: Path, means: bool = False, method: str = ALL_METHODS
) -> None:
    """Writes the attribution maps of one digit as PNG files and as a page.

    The maps are for the predicted class and for each class; `means` adds mean maps over test digits of each class.
    `method` is an id of METHODS, or "all" for those that apply to the model. The model's parameters are frozen. Raises
    UserError for an unknown method and for one that the model does not support.
    """
    methods = methods_for(model) if method == ALL_METHODS else {method: get_method(method)}
    names = class_names(run.recipe.dataset)
    model.requires_grad_(False)
    pixels = model_pixels(model, digit.image[None])
    label = int(model(pixels).argmax())
    question = f"{digit.title}: why {elided(names[label])}?"
    figures = {
        "decision": decision_figure(model, methods, pixels, label, load_siblings(run), question),
        "classes": classes_figure(model, methods, pixels, names, digit.title),
    }
    if means:
        figures["means"] = means_figure(model, methods, load_run_split(run, "test"))
    file = output / run.name / f"attribution-{digit.slug}" / "attribution.html"
    write_picture_page(file, f"{run.name}, {digit.title}: which pixels decide", figures, NOTES)


def other_seeds(run: Run) -> list[Run]:
    """The finished runs with the same recipe and another seed. Damaged runs are left out."""
    groups, _ = runs_by_recipe(Run.all())
    group = next((group for group in groups if group[0].recipe.without_seed == run.recipe.without_seed), [])
    return [other for other in group if other.recipe.seed != run.recipe.seed]


def load_siblings(run: Run) -> list[nn.Module]:
    """The models of the other seeds. Prints a line for a run whose checkpoint cannot be loaded and leaves it out."""
    models = []
    for other in other_seeds(run):
        try:
            models.append(load_trained(other).requires_grad_(False))
        except UserError as error:
            print(f"left out {other.name}: {error}", file=sys.stderr)
    return models


def decision_figure(
    model: nn.Module,
    methods: dict[str, Method],
    pixels: Float[Tensor, "1 1 28 28"],
    label: int,
    siblings: list[nn.Module],
    title: str,
) -> Figure:
    """One row per method: the map over the digit, the deletion and insertion curves, the results of the checks."""
    figure = Figure(figsize=(10, 2.3 * len(methods) + 0.7), layout="constrained")
    figure.suptitle(title, parse_math=False)
    rows = figure.subplots(len(methods), 3, width_ratios=(1, 1.6, 1.9), squeeze=False)
    for (name, method), (map_axes, curve_axes, text_axes) in zip(methods.items(), rows, strict=True):
        checked = check_method(model, method, pixels, label)
        draw_map(map_axes, checked.map, pixels[0, 0])
        map_axes.set_title(name.replace("_", " "), fontsize=10)
        _draw_curves(curve_axes, checked)
        label_on_cpu = torch.tensor([label])
        maps = [method(sibling, pixels.cpu(), label_on_cpu)[0] for sibling in siblings]
        correlations = [rank_correlation(checked.map.cpu(), map) for map in maps]
        text_axes.axis("off")
        text_axes.text(0, 0.95, _results(checked, correlations), va="top", fontsize=9, color=INK, linespacing=1.5)
        if checked.failure:
            map_axes.spines[:].set(linewidth=3)
            text_axes.set_title(f"FAILS: {checked.failure}", fontsize=9.5, weight="bold", loc="left")
    _add_legend(figure)
    return figure


def classes_figure(
    model: nn.Module,
    methods: dict[str, Method],
    pixels: Float[Tensor, "1 1 28 28"],
    names: tuple[str, ...],
    title: str,
) -> Figure:
    """One row per method, one column per class: the map of one digit for that class."""
    probabilities = model(pixels).softmax(1)[0]
    chosen: Int64[Tensor, " classes"] = probabilities.topk(min(MAX_CLASSES, len(names))).indices.sort().values
    selection = f" ({MAX_CLASSES} most probable of {len(names)})" if len(names) > MAX_CLASSES else ""
    columns = [f"{elided(names[i])}\n{probabilities[i]:.1%}" for i in chosen.tolist()]
    figure, rows = _method_grid(methods, columns, f"{title}: evidence for and against each class{selection}")
    for method, row in zip(methods.values(), rows, strict=True):
        maps = method(model, pixels.expand(len(chosen), -1, -1, -1).clone(), chosen)
        for map, axes in zip(maps, row, strict=True):
            draw_map(axes, map, pixels[0, 0])
    return figure


def means_figure(model: nn.Module, methods: dict[str, Method], test_set: ImageSet) -> Figure:
    """One row per method, one column per class: the mean map of the first test digits of that class."""
    present = [label for label in range(len(test_set.class_names)) if (test_set.labels == label).any()]
    columns = [elided(test_set.class_names[label]) for label in present]
    figure, rows = _method_grid(methods, columns, f"mean over {NUM_DIGITS_PER_MEAN} digits of each class")
    for label, column in zip(present, rows.T, strict=True):
        pixels = model_pixels(model, test_set.images[test_set.labels == label][:NUM_DIGITS_PER_MEAN])
        for method, axes in zip(methods.values(), column, strict=True):
            maps = method(model, pixels, torch.full((len(pixels),), label, device=pixels.device))
            draw_map(axes, maps.mean(0), pixels.mean(0)[0])
    return figure


def draw_map(axes: Axes, map: Float[Tensor, "28 28"], digit: Float[Tensor, "28 28"]) -> None:
    """Draws the map over the outline of the digit: red supports the class, blue opposes it."""
    limit = float(map.abs().max()) or 1.0
    axes.imshow(map.cpu().numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
    if digit.max() > 0.5:
        axes.contour(digit.cpu().numpy(), levels=[0.5], colors=INK, linewidths=0.7)
    axes.set(xticks=[], yticks=[])


def _method_grid(methods: dict[str, Method], columns: list[str], title: str) -> tuple[Figure, np.ndarray]:
    """A figure with a row per method and a column per class, and its axes."""
    column_inches = COLUMN_INCHES if len(columns) <= MAX_CLASSES else NARROW_COLUMN_INCHES
    size = column_inches * max(len(columns), 5), (column_inches + 0.15) * len(methods) + 0.9
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False, wrap=True)
    rows = figure.subplots(len(methods), len(columns), squeeze=False)
    for name, row in zip(methods, rows, strict=True):
        row[0].set_ylabel(name.replace("_", " "), fontsize=8)
    for column, axes in zip(columns, rows[0], strict=True):
        axes.set_title(column, fontsize=8 if len(columns) <= MAX_CLASSES else 5, parse_math=False)
    _add_legend(figure)
    return figure, rows


def _add_legend(figure: Figure) -> None:
    handles = [
        Patch(color=SUPPORTS, label="supports the class"),
        Patch(color=OPPOSES, label="opposes the class"),
        Line2D([], [], color=INK, linewidth=0.7, label="outline of the digit"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def _draw_curves(axes: Axes, checked: CheckedMap) -> None:
    fraction = np.linspace(0, 1, len(checked.deletion))
    axes.plot(fraction, checked.deletion, color=COLOURS[1], label=f"deletion, area {checked.deletion_area:.2f}")
    axes.plot(fraction, checked.insertion, color=COLOURS[0], label=f"insertion, area {checked.insertion_area:.2f}")
    axes.set(ylim=(-0.03, 1.03))
    axes.set_xlabel("fraction of pixels, highest attribution first", fontsize=8)
    axes.set_ylabel("probability", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center right")


def _results(checked: CheckedMap, correlations: list[float]) -> str:
    seeds = f"{np.mean(correlations):.2f}, mean of {len(correlations)}" if correlations else "no run with another seed"
    return (
        f"rank correlation with random weights: {checked.random_correlation:.2f} (fails above "
        f"{MAX_RANDOM_CORRELATION})\n"
        f"rank correlation with other seeds: {seeds}\n"
        f"infidelity {checked.infidelity:.2g}, sensitivity {checked.sensitivity:.2g} (lower is better)"
    )
