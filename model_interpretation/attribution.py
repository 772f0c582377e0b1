"""Attribution maps of one digit, with checks of the maps beside two baselines, the digit itself and noise."""

import math
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
from model_interpretation.attribution_checks import (
    BASELINES,
    NUM_CASCADE_NETWORKS,
    NUM_RANDOM_NETWORKS,
    CheckedMap,
    check_method,
    rank_correlation,
)
from model_interpretation.attribution_methods import Method, get_method, methods_for
from model_interpretation.predict import ChosenDigit, load_run_split
from model_interpretation.random_networks import random_networks
from models.registry import load_trained
from utils.data.datasets import ImageSet, class_names
from utils.document import Block, Section, Table, Text, picture_of
from utils.errors import UserError
from utils.figures import (
    COLORS,
    DIVERGING,
    GREY,
    INK,
    LIGHT_GREY,
    elided,
    figure_style,
    percent_axis,
    set_title,
    tiled_figure,
)
from utils.run import Run, runs_by_recipe
from utils.run_pages import write_run_page
from utils.track import track

ALL_METHODS = "all"
NUM_DIGITS_PER_MEAN = 20  # test digits of each class
MAX_CLASSES = 10  # rows of the maps per class; of more classes, the most probable ones are shown
MAP_INCHES = 1.15
DELETION, INSERTION = COLORS[3], COLORS[2]
SCALE = "blue opposes the class, orange supports it"
MAP_NOTE = (
    "Orange pixels raise the logit of the class, blue pixels lower it. Saliency and Grad-CAM show only how strong the "
    "effect is, in orange. Each map has a colour scale of its own; the line is the outline of the digit. A map shows "
    "what a method assigns to the pixels; deletion and insertion measure what the pixels do to the prediction."
)
CHECK_NOTES = (
    "Ink and noise are baselines, not methods: the digit itself, and random numbers. A method that is no better than "
    "the ink shows the digit rather than the network.",
    "Deletion: mean probability of the class while pixels are set to black, the highest attribution first; lower is "
    "better. Insertion: the same while pixels are restored on a black image; higher is better.",
    "Infidelity: squared error of the drop of the logit that the map predicts, after the best scaling, as a fraction "
    "of that of a map of zeros; 0 is perfect. Contributions are divided by the pixels first (Yeh et al. 2019). Noise: "
    "for noise on all pixels; it tests the effect of small changes. Squares: for squares of 8 x 8 pixels set to black; "
    "it tests the effect of removing ink. Sensitivity: largest relative change of the map after a small change of the "
    "digit; lower is better.",
    f"Random weights: rank correlation of the map with those of {NUM_RANDOM_NETWORKS} networks with independent random "
    "weights. Null: the same between these random networks; it comes from the digit and the method alone. z: the "
    "difference of the two in standard deviations of a random network. Near 0, the trained network's map is as unlike "
    "the random ones as these are unlike each other; well below 0, training changed the map further. A null near 1 "
    "means that the map hardly depends on the weights.",
    "Other seeds: rank correlation with the networks of other seeds. The networks agree only as far as it exceeds the "
    "null.",
)
CAPTIONS = {
    "decision": "Each method's map of the digit; beside it the probability of the class while the pixels with the "
    "highest attribution are deleted (lower is better) or inserted (higher is better). The numbers are means over the "
    "curve.",
    "classes": "The maps for each class in a row of its own, with the probability of the class. Every map has a scale "
    "of its own.",
    "cascade": "Rank correlation of the map with that of the trained network while the layers receive random weights, "
    f"from the last to the first (Adebayo et al. 2018); the mean over {NUM_CASCADE_NETWORKS} random networks. A map "
    "that depends on the weights falls to its null, the dotted line.",
    "means": f"The mean of the maps of {NUM_DIGITS_PER_MEAN} test digits of each class, with the outline of their mean "
    "image.",
}
METHOD_NAMES = {"grad_cam": "Grad-CAM"}  # others are shown without underscores
CHECK_HEADER = (
    "map", "deletion", "insertion", "infidelity, noise", "infidelity, squares", "sensitivity", "random weights", "null",
    "z", "other seeds",
)  # fmt: skip


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
    logits = model(pixels)
    label = int(logits.argmax())
    random_models = random_networks(run.recipe.model, logits.shape[1], pixels.device, NUM_RANDOM_NETWORKS)
    all_methods = {**methods, **BASELINES}
    checked = {
        name: check_method(model, each, pixels, label, random_models)
        for name, each in track(list(all_methods.items()), desc="methods")
    }
    figures = {
        "decision": decision_figure(checked, pixels, f"{digit.title}: attribution maps for {elided(names[label])}"),
        "classes": classes_figure(model, methods, pixels, names, digit.title),
        "cascade": cascade_figure(checked),
    }
    if means:
        figures["means"] = means_figure(model, methods, load_run_split(run, "test"))
    siblings = load_siblings(run)
    rows = [check_row(name, checked[name], _sibling_maps(each, siblings, pixels, label))
            for name, each in all_methods.items()]  # fmt: skip
    pictures = {name: picture_of(figure, CAPTIONS[name], name) for name, figure in figures.items()}
    blocks: list[Block] = [
        Section("Maps for the predicted class", [pictures["decision"]]),
        Section("Checks of the maps", [Table(CHECK_HEADER, rows), *map(Text, CHECK_NOTES)]),
        Section("Maps for each class", [pictures["classes"]]),
        Section("Networks with random weights", [pictures["cascade"]]),
        *([Section("Mean maps of each class", [pictures["means"]])] if means else []),
    ]
    confidence = float(logits.softmax(1).max())
    result = f"The network predicts {elided(names[label])} with a confidence of {confidence:.1%}."
    file = output / run.name / f"attribution-{digit.slug}" / "attribution.html"
    title = f"Attribution maps and their checks: {digit.title}"
    write_run_page(file, title, blocks, [Text(f"{result} {_deletion_finding(checked)}"), Text(MAP_NOTE)])


def _deletion_finding(checked: dict[str, CheckedMap]) -> str:
    """Which methods find pixels that matter more to the network than the brightest pixels."""
    ink = checked["ink"].deletion_area
    better = [_shown(name) for name, it in checked.items() if name not in BASELINES and it.deletion_area < ink]
    methods = f"{len(better)} of the {len(checked) - len(BASELINES)} methods"
    named = f" ({', '.join(better)})" if better else ""
    return (
        f"Deleting the pixels with the highest attribution first lowers the probability faster than deleting the "
        f"brightest first for {methods}{named}."
    )


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


def _sibling_maps(
    method: Method, siblings: list[nn.Module], pixels: Float[Tensor, "1 1 28 28"], label: int
) -> list[Float[Tensor, "28 28"]]:
    """The maps of the networks of other seeds, which are on the CPU."""
    return [method(sibling, pixels.cpu(), torch.tensor([label]))[0] for sibling in siblings]


def check_row(name: str, checked: CheckedMap, sibling_maps: list[Float[Tensor, "28 28"]]) -> list[str]:
    """The results of the checks of one method or baseline, for `CHECK_HEADER`."""
    correlations = [rank_correlation(checked.map.cpu(), map) for map in sibling_maps]
    test = checked.randomisation
    values = [checked.deletion_area, checked.insertion_area, checked.noise_infidelity, checked.square_infidelity,
              checked.sensitivity, test.trained,
              test.null]  # fmt: skip
    return [
        _shown(name) + (" (empty map)" if checked.is_empty else ""),
        *(f"{value:.2f}" for value in values),
        "-" if math.isnan(test.z) else f"{test.z:+.1f}",
        f"{np.mean(correlations):.2f}, n {len(correlations)}" if correlations else "no run",
    ]


@figure_style()
def decision_figure(checked: dict[str, CheckedMap], pixels: Float[Tensor, "1 1 28 28"], title: str) -> Figure:
    """One row per method: the map over the digit, and the deletion and insertion curves beside those of the ink."""
    methods = {name: result for name, result in checked.items() if name not in BASELINES}
    figure = Figure(figsize=(7.5, 2.2 * len(methods) + 0.8), layout="constrained")
    set_title(figure, title)
    rows = figure.subplots(len(methods), 2, width_ratios=(1, 2.2), squeeze=False)
    for (name, result), (map_axes, curve_axes) in zip(methods.items(), rows, strict=True):
        limit = float(result.map.abs().max()) or 1.0
        map_axes.imshow(result.map.cpu().numpy(), cmap=DIVERGING, vmin=-limit, vmax=limit)
        map_axes.contour(pixels[0, 0].cpu().numpy(), levels=[0.5], colors=INK, linewidths=0.7)
        map_axes.set(xticks=[], yticks=[], title=_shown(name))
        map_axes.spines[:].set(visible=True, color=LIGHT_GREY)
        _draw_curves(curve_axes, result, checked["ink"])
        curve_axes.set_title(
            f"deletion {result.deletion_area:.2f} (ink {checked['ink'].deletion_area:.2f}), "
            f"insertion {result.insertion_area:.2f} (ink {checked['ink'].insertion_area:.2f})"
        )
    rows[-1, 1].set_xlabel("fraction of the pixels, highest attribution first")
    handles = [
        Patch(color=COLORS[1], label="supports the class"),
        Patch(color=COLORS[0], label="opposes the class"),
        Line2D([], [], color=INK, linewidth=0.7, label="outline of the digit"),
        Line2D([], [], color=DELETION, label="deletion"),
        Line2D([], [], color=INSERTION, label="insertion"),
        Line2D([], [], color=INK, linewidth=1, linestyle=":", label="the same for the ink"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _draw_curves(axes: Axes, result: CheckedMap, ink: CheckedMap) -> None:
    fraction = np.linspace(0, 1, len(result.deletion))
    for curve, ink_curve, color in (
        (result.deletion, ink.deletion, DELETION),
        (result.insertion, ink.insertion, INSERTION),
    ):
        axes.plot(fraction, curve, color=color)
        axes.plot(fraction, ink_curve, color=color, linewidth=1, linestyle=":")
    axes.set(ylim=(-0.03, 1.03), ylabel="probability")
    percent_axis(axes)
    percent_axis(axes, "x")


@figure_style()
def cascade_figure(checked: dict[str, CheckedMap]) -> Figure:
    """Rank correlation with the trained network's map while the layers are randomised, a line per method and baseline;
    dotted lines are the nulls."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    steps = ["none", *next(iter(checked.values())).cascade]
    for number, (name, result) in enumerate(checked.items()):
        color = GREY if name in BASELINES else COLORS[number % len(COLORS)]
        style = {"ink": "--", "noise": "-."}.get(name, "-")
        axes.plot([1.0, *result.cascade.values()], style, marker="o", color=color, label=_shown(name))
        if name not in BASELINES:
            axes.axhline(result.randomisation.null, color=color, linewidth=1, linestyle=":")
    axes.set_xticks(range(len(steps)), [elided(step) for step in steps], rotation=30, ha="right")
    axes.set(xlabel="last layer with random weights", ylabel="rank correlation with the trained network")
    figure.legend(loc="outside right center")
    kept = {name: list(result.cascade.values())[-1] for name, result in checked.items() if name not in BASELINES}
    most = max(kept, key=kept.__getitem__)
    finding = f"All layers random: {_shown(most)} still correlates by {kept[most]:.2f}"
    set_title(figure, f"{finding} (dotted: null of each method)")
    return figure


def classes_figure(
    model: nn.Module,
    methods: dict[str, Method],
    pixels: Float[Tensor, "1 1 28 28"],
    names: tuple[str, ...],
    title: str,
) -> Figure:
    """One row per class, one column per method: the map of one digit for that class."""
    probabilities = model(pixels).softmax(1)[0]
    chosen: Int64[Tensor, " classes"] = probabilities.topk(min(MAX_CLASSES, len(names))).indices.sort().values
    selection = f" ({MAX_CLASSES} most probable of {len(names)})" if len(names) > MAX_CLASSES else ""
    rows = [f"{elided(names[i], 8)} ({probabilities[i]:.0%})" for i in chosen.tolist()]
    digits = pixels.expand(len(chosen), -1, -1, -1).clone()
    maps = [method(model, digits, chosen) for method in methods.values()]
    return _map_grid(methods, maps, digits[:, 0], rows, f"{title}: evidence for and against each class{selection}")


def means_figure(model: nn.Module, methods: dict[str, Method], test_set: ImageSet) -> Figure:
    """One row per class, one column per method: the mean map of the first test digits of that class."""
    present = [label for label in range(len(test_set.class_names)) if (test_set.labels == label).any()]
    maps, digits = [], []
    for label in present:
        pixels = model_pixels(model, test_set.images[test_set.labels == label][:NUM_DIGITS_PER_MEAN])
        classes = torch.full((len(pixels),), label, device=pixels.device)
        maps.append(torch.stack([method(model, pixels, classes).mean(0) for method in methods.values()]))
        digits.append(pixels.mean(0)[0])
    rows = [test_set.class_names[label] for label in present]
    title = f"Mean maps over {NUM_DIGITS_PER_MEAN} test digits of each class"
    return _map_grid(methods, list(torch.stack(maps, dim=1)), torch.stack(digits), rows, title)


def _map_grid(
    methods: dict[str, Method],
    maps: list[Float[Tensor, "rows 28 28"]],
    digits: Float[Tensor, "rows 28 28"],
    row_names: list[str],
    title: str,
) -> Figure:
    """One row per digit, one column per method, whose maps are in `maps`: each map over the outline of its digit."""
    tiles = torch.stack(maps, dim=1).flatten(0, 1).cpu().numpy()
    tiles = tiles / np.abs(tiles).max(axis=(1, 2), keepdims=True).clip(min=1e-12)
    outlines = digits.repeat_interleave(len(methods), dim=0).cpu().numpy()
    return tiled_figure(
        tiles, None, len(methods), title, DIVERGING, (-1, 1), MAP_INCHES, scale=SCALE,
        row_names=row_names, column_names=[_shown(name).replace(" ", "\n") for name in methods], outlines=outlines,
    )  # fmt: skip


def _shown(name: str) -> str:
    return METHOD_NAMES.get(name, name.replace("_", " "))
