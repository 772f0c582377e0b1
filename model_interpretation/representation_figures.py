"""The pictures of a network's representation."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor

from utils.answers import Answers
from utils.figures import INK, digit_grid_figure, plain_axes
from utils.image_set import ImageSet

CLASS_COLOURS = colormaps["tab10"].colors  # type: ignore[attr-defined]
MAX_LEGIBLE = 200  # mistakes
Layout = tuple[Float[np.ndarray, "n 2"], Int64[np.ndarray, " n"]]


def map_figure(layouts: dict[str, Layout], answers: Answers, set_name: str) -> Figure:
    """A panel a layout, which has places and whose digits they are; digits coloured by their true class, mistakes
    ringed and, where there are few, with what they were taken for."""
    figure = Figure(figsize=(13, 6.8), layout="constrained")
    num_wrong = int((~answers.is_right).sum())
    figure.suptitle(f"{set_name} as the last layer sees it; colour: true class; ringed: the {num_wrong} mistakes")
    for axes, (title, (places, indices)) in zip(figure.subplots(1, len(layouts)), layouts.items(), strict=True):
        labels, predicted = answers.labels[indices], answers.predicted[indices]
        is_wrong = labels != predicted
        colours = np.array(CLASS_COLOURS)[labels]
        axes.scatter(*places[~is_wrong].T, s=5, c=colours[~is_wrong], alpha=0.5, linewidths=0, rasterized=True)
        is_crowded = num_wrong > MAX_LEGIBLE
        size, width = (10, 0.5) if is_crowded else (26, 0.9)
        axes.scatter(*places[is_wrong].T, s=size, c=colours[is_wrong], edgecolors=INK, linewidths=width)
        if not is_crowded:
            for place, answer in zip(places[is_wrong], predicted[is_wrong], strict=True):
                axes.annotate(str(answer), place, xytext=(4, 3), textcoords="offset points", fontsize=7, color=INK)
        for label in np.unique(labels):
            middle = np.median(places[labels == label], axis=0)
            axes.text(
                *middle, str(label), fontsize=15, weight="bold", color=INK, ha="center", va="center",
                bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "alpha": 0.75, "edgecolor": "none"},
            )  # fmt: skip
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=10)
    return figure


def neighbours_figure(
    answers: Answers,
    mistakes: Int64[np.ndarray, " m"],
    test_set: ImageSet,
    train_set: ImageSet,
    nearest: Int64[Tensor, "m neighbours"],
) -> Figure:
    """A row a mistake: the digit, then the training digits nearest to it, with their labels."""
    names = test_set.class_names
    images, captions = [], []
    for index, neighbours in zip(mistakes.tolist(), nearest, strict=True):
        images += [test_set.images[index], *train_set.images[neighbours]]
        captions.append(f"{names[answers.labels[index]]} != {names[answers.predicted[index]]}")
        captions += [names[label] for label in train_set.labels[neighbours].tolist()]
    title = (
        "left: the surest mistakes, true != predicted; then the training digits that lie nearest in the "
        "representation, with their labels (near, which is not the same as having caused it)"
    )
    return digit_grid_figure(torch.stack(images), captions, columns=1 + nearest.shape[1], title=title)


def fisher_figure(eigenvalues: dict[str, Float[np.ndarray, " count"]], which: str) -> Figure:
    """The largest eigenvalues class by class; how steep the loss is where it is steepest, for each class."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    figure.suptitle(f"curvature of the loss: largest eigenvalues of the Fisher information, {which}")
    spectra = plain_axes(figure, 1, 2, 1)
    for colour, (name, values) in zip(CLASS_COLOURS, eigenvalues.items(), strict=False):
        spectra.plot(range(1, len(values) + 1), values, "o-", color=colour, label=name, markersize=3.5)
    spectra.set(yscale="log", xlabel="rank", ylabel="eigenvalue")
    spectra.legend(title="class", frameon=False, fontsize=8, ncols=2)
    largest = plain_axes(figure, 1, 2, 2)
    largest.bar(list(eigenvalues), [values[0] for values in eigenvalues.values()], color=CLASS_COLOURS)
    largest.set(xlabel="class", ylabel="largest eigenvalue")
    return figure
