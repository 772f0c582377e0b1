"""Which pixels decide what a run's network says of a digit, and whether the pictures of it can be believed."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from model_interpretation.attribution_checks import MAX_LIKENESS, Trust, check, likeness
from model_interpretation.attribution_methods import METHODS, Method, methods_for
from model_interpretation.basic_interpret import OUTPUT
from model_interpretation.picture_page import write_picture_page
from model_interpretation.run_data import chosen_digit, load_run_split
from models.trained import load_trained
from utils.command_line import parse_command_line
from utils.errors import exit_on_user_error
from utils.figures import COLOURS, INK
from utils.image_set import DIGIT_NAMES, ImageSet
from utils.preloading import to_pixels
from utils.run_folder import RunFolder

FAILED = "#c53030"
DIGITS_A_CLASS = 20  # of which a class's mean is taken


@dataclass(frozen=True)
class AttributionCommand:
    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """The run whose network is asked; by default the newest that is finished."""
    id: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """A test digit, from 0; a random one where neither this nor a picture is given."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A picture of a digit, photographed, scanned or drawn."""
    method: Literal["all", "saliency", "integrated_gradients", "guided_backprop", "grad_cam", "occlusion"] = "all"
    """One method; by default all that the network allows."""
    means: bool = False
    """Also the mean over some test digits of each class."""
    output: Path = OUTPUT
    """Folder in which the run gets a folder of its name."""


def main(argv: list[str]) -> None:
    """Draws which pixels decide what the network says of a digit, by several methods: for the class that it names, for
    all ten classes, and with checks of whether the picture can be believed; as PNG and as a page."""
    options = parse_command_line(AttributionCommand, argv, "mnist attribution", main.__doc__)
    run = RunFolder.find_or_newest(options.run)
    model = load_trained(run).requires_grad_(False)
    image, _, title = chosen_digit(run, "test", options.id, options.image)
    chosen = METHODS.get(options.method)
    methods: dict[str, Method] = {options.method: chosen} if chosen else methods_for(model)
    pixels = to_pixels(image[None])
    label = int(model(pixels).argmax())
    siblings = [load_trained(other).requires_grad_(False) for other in other_seeds(run)]
    figures = {
        "decision": decision_figure(model, methods, pixels, label, siblings, f"{title}: why {DIGIT_NAMES[label]}?"),
        "classes": classes_figure(model, methods, pixels, f"{title}: for and against each class"),
    }
    if options.means:
        figures["means"] = means_figure(model, methods, load_run_split(run, "test"))
    folder = options.output / run.path.name / f"attribution-{title}"
    write_picture_page(folder / "attribution.html", f"{run.path.name}, {title}: which pixels decide", figures)


def other_seeds(run: RunFolder) -> list[RunFolder]:
    """The finished runs of the same recipe with another seed."""
    recipe = _without_seed(run)
    return [other for other in RunFolder.finished() if other.path != run.path and _without_seed(other) == recipe]


def _without_seed(run: RunFolder) -> dict[str, Any]:
    config = run.config()
    return {"model": config["model"], **config["train"], "seed": None}


def decision_figure(
    model: nn.Module,
    methods: dict[str, Method],
    pixels: Float[Tensor, "1 1 28 28"],
    label: int,
    siblings: list[nn.Module],
    title: str,
) -> Figure:
    """A row a method: the map over the digit, how the class's probability follows it, and what the checks found."""
    figure = Figure(figsize=(10, 2.3 * len(methods)), layout="constrained")
    figure.suptitle(title, parse_math=False)
    rows = figure.subplots(len(methods), 3, width_ratios=(1, 1.6, 1.9), squeeze=False)
    for (name, method), (map_axes, curve_axes, text_axes) in zip(methods.items(), rows, strict=True):
        trust = check(model, method, pixels, label)
        draw_map(map_axes, trust.found, pixels[0, 0])
        map_axes.set_title(name.replace("_", " "), fontsize=10, color=FAILED if trust.failure else INK)
        _draw_curves(curve_axes, trust)
        agreement = [likeness(trust.found, method(other, pixels, torch.tensor([label]))[0]) for other in siblings]
        text_axes.axis("off")
        text_axes.text(0, 0.95, _verdict(trust, agreement), va="top", fontsize=9, color=INK, linespacing=1.5)
        if trust.failure:
            for spine in map_axes.spines.values():
                spine.set(color=FAILED, linewidth=3)
            text_axes.set_title(f"FAILS: {trust.failure}", fontsize=9.5, color=FAILED, loc="left")
    return figure


def classes_figure(
    model: nn.Module,
    methods: dict[str, Method],
    pixels: Float[Tensor, "1 1 28 28"],
    title: str,
) -> Figure:
    """A row a method, a column a class, with the probability that the network gives it."""
    probabilities = model(pixels).softmax(1)[0]
    figure = Figure(figsize=(12, 1.35 * len(methods) + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    rows = figure.subplots(len(methods), 10, squeeze=False)
    for (name, method), row in zip(methods.items(), rows, strict=True):
        maps = method(model, pixels.expand(10, -1, -1, -1).clone(), torch.arange(10))
        for label, axes in enumerate(row):
            draw_map(axes, maps[label], pixels[0, 0])
        row[0].set_ylabel(name.replace("_", " "), fontsize=8)
    for label, axes in enumerate(rows[0]):
        axes.set_title(f"{DIGIT_NAMES[label]}: {probabilities[label]:.1%}", fontsize=9)
    return figure


def means_figure(model: nn.Module, methods: dict[str, Method], test_set: ImageSet) -> Figure:
    """A row a method, a column a class: the mean map of its first test digits, each for its own class."""
    figure = Figure(figsize=(12, 1.35 * len(methods) + 0.5), layout="constrained")
    figure.suptitle(f"mean over {DIGITS_A_CLASS} digits of each class", fontsize=11)
    rows = figure.subplots(len(methods), 10, squeeze=False)
    for label, column in enumerate(rows.T):
        images = test_set.images[test_set.labels == label][:DIGITS_A_CLASS]
        pixels = to_pixels(images)
        for method, axes in zip(methods.values(), column, strict=True):
            maps = method(model, pixels, torch.full((len(images),), label))
            draw_map(axes, maps.mean(0), pixels.mean(0)[0])
        column[0].set_title(test_set.class_names[label], fontsize=9)
    for name, row in zip(methods, rows, strict=True):
        row[0].set_ylabel(name.replace("_", " "), fontsize=8)
    return figure


def draw_map(axes: Axes, found: Float[Tensor, "28 28"], digit: Float[Tensor, "28 28"]) -> None:
    """Red speaks for the class, blue against it, over the digit's outline."""
    limit = float(found.abs().max()) or 1.0
    axes.imshow(found.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.contour(digit.numpy(), levels=[0.5], colors=INK, linewidths=0.7)
    axes.set(xticks=[], yticks=[])


def _draw_curves(axes: Axes, trust: Trust) -> None:
    share = np.linspace(0, 1, len(trust.deletion))
    axes.plot(share, trust.deletion, color=COLOURS[1], label=f"deletion, area {trust.deletion_area:.2f}")
    axes.plot(share, trust.insertion, color=COLOURS[0], label=f"insertion, area {trust.insertion_area:.2f}")
    axes.set(ylim=(-0.03, 1.03))
    axes.set_xlabel("share of pixels, the most decisive first", fontsize=8)
    axes.set_ylabel("probability", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center right")


def _verdict(trust: Trust, agreement: list[float]) -> str:
    seeds = f"{np.mean(agreement):.2f}, mean of {len(agreement)}" if agreement else "no run with another seed"
    return (
        f"rank correlation with random weights: {trust.likeness_to_random:.2f} (fails above {MAX_LIKENESS})\n"
        f"rank correlation with other seeds: {seeds}\n"
        f"infidelity {trust.infidelity:.2g}, sensitivity {trust.sensitivity:.2g} (lower is better)"
    )


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
