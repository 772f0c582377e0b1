"""Attribution maps of one digit: which pixels decide the prediction, and whether the maps pass the sanity checks."""

import sys
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

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
from utils.data.batches import to_pixels
from utils.data.datasets import DIGIT_NAMES, ImageSet
from utils.document import write_picture_page
from utils.errors import UserError
from utils.figures import COLOURS, INK
from utils.run import Run, runs_by_recipe

FAILURE_COLOUR = "#c53030"
ALL_METHODS = "all"
NUM_DIGITS_PER_MEAN = 20  # test digits of each class


def attribute(
    run: Run, model: nn.Module, digit: ChosenDigit, output: Path, means: bool = False, method: str = ALL_METHODS
) -> None:
    """Writes the attribution maps of one digit as PNG files and as a page.

    The maps are for the predicted class and for all ten classes; `means` adds mean maps over test digits of each class.
    `method` is an id of METHODS, or "all" for those that apply to the model. The model's parameters are frozen. Raises
    UserError for an unknown method and for one that the model does not support.
    """
    methods = methods_for(model) if method == ALL_METHODS else {method: get_method(method)}
    model.requires_grad_(False)
    pixels = to_pixels(digit.image[None])
    label = int(model(pixels).argmax())
    figures = {
        "decision": decision_figure(
            model, methods, pixels, label, load_siblings(run), f"{digit.title}: why {DIGIT_NAMES[label]}?"
        ),
        "classes": classes_figure(model, methods, pixels, f"{digit.title}: evidence for and against each class"),
    }
    if means:
        figures["means"] = means_figure(model, methods, load_run_split(run, "test"))
    file = output / run.name / f"attribution-{digit.slug}" / "attribution.html"
    write_picture_page(file, f"{run.name}, {digit.title}: which pixels decide", figures)


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
    figure = Figure(figsize=(10, 2.3 * len(methods)), layout="constrained")
    figure.suptitle(title, parse_math=False)
    rows = figure.subplots(len(methods), 3, width_ratios=(1, 1.6, 1.9), squeeze=False)
    for (name, method), (map_axes, curve_axes, text_axes) in zip(methods.items(), rows, strict=True):
        checked = check_method(model, method, pixels, label)
        draw_map(map_axes, checked.map, pixels[0, 0])
        map_axes.set_title(name.replace("_", " "), fontsize=10, color=FAILURE_COLOUR if checked.failure else INK)
        _draw_curves(curve_axes, checked)
        maps = [method(sibling, pixels, torch.tensor([label]))[0] for sibling in siblings]
        correlations = [rank_correlation(checked.map, map) for map in maps]
        text_axes.axis("off")
        text_axes.text(0, 0.95, _results(checked, correlations), va="top", fontsize=9, color=INK, linespacing=1.5)
        if checked.failure:
            for spine in map_axes.spines.values():
                spine.set(color=FAILURE_COLOUR, linewidth=3)
            text_axes.set_title(f"FAILS: {checked.failure}", fontsize=9.5, color=FAILURE_COLOUR, loc="left")
    return figure


def classes_figure(
    model: nn.Module, methods: dict[str, Method], pixels: Float[Tensor, "1 1 28 28"], title: str
) -> Figure:
    """One row per method, one column per class: the map of one digit for that class."""
    figure, rows = _method_grid(methods, title)
    for method, row in zip(methods.values(), rows, strict=True):
        maps = method(model, pixels.expand(10, -1, -1, -1).clone(), torch.arange(10))
        for label, axes in enumerate(row):
            draw_map(axes, maps[label], pixels[0, 0])
    probabilities = model(pixels).softmax(1)[0]
    for label, axes in enumerate(rows[0]):
        axes.set_title(f"{DIGIT_NAMES[label]}: {probabilities[label]:.1%}", fontsize=9)
    return figure


def means_figure(model: nn.Module, methods: dict[str, Method], test_set: ImageSet) -> Figure:
    """One row per method, one column per class: the mean map of the first test digits of that class."""
    figure, rows = _method_grid(methods, f"mean over {NUM_DIGITS_PER_MEAN} digits of each class")
    for label, column in enumerate(rows.T):
        images = test_set.images[test_set.labels == label][:NUM_DIGITS_PER_MEAN]
        pixels = to_pixels(images)
        for method, axes in zip(methods.values(), column, strict=True):
            maps = method(model, pixels, torch.full((len(images),), label))
            draw_map(axes, maps.mean(0), pixels.mean(0)[0])
        column[0].set_title(test_set.class_names[label], fontsize=9)
    return figure


def draw_map(axes: Axes, map: Float[Tensor, "28 28"], digit: Float[Tensor, "28 28"]) -> None:
    """Draws the map over the outline of the digit: red supports the class, blue opposes it."""
    limit = float(map.abs().max()) or 1.0
    axes.imshow(map.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.contour(digit.numpy(), levels=[0.5], colors=INK, linewidths=0.7)
    axes.set(xticks=[], yticks=[])


def _method_grid(methods: dict[str, Method], title: str) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(12, 1.35 * len(methods) + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    rows = figure.subplots(len(methods), 10, squeeze=False)
    for name, row in zip(methods, rows, strict=True):
        row[0].set_ylabel(name.replace("_", " "), fontsize=8)
    return figure, rows


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
