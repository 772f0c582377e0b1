"""Embeddings of the digits, which are the inputs of a model's last layer: a PCA and t-SNE map, the training digits
nearest to the worst mistakes, the first layer's filters, and the curvature of the loss."""

import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from matplotlib import colormaps
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp
from torch.utils.tensorboard import SummaryWriter

from model_interpretation.activations import model_pixels, penultimate_vectors
from model_interpretation.predict import load_run_split, load_test_predictions
from models.layers import first_layer_filters
from models.registry import num_parameters
from utils.data.batches import to_pixels
from utils.data.datasets import ImageSet
from utils.document import Block, Digit, DigitMap, Section, Text, picture_of
from utils.figures import (
    GREY,
    INK,
    LIGHT_GREY,
    digit_grid_figure,
    elided,
    figure_style,
    filters_figure,
    name_ticks,
    plain_log_ticks,
    set_title,
)
from utils.predictions import Predictions
from utils.run import Run
from utils.run_pages import write_run_page
from utils.track import track

# Colour-blind safe: the muted scheme of Paul Tol 2021, https://personal.sron.nl/~pault/, and a dark grey.
CLASS_COLORS = (
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#4a5568",
)  # fmt: skip
NUM_MAPPED = 3000  # digits in the t-SNE map
MANY_MISTAKES = 200  # more are drawn smaller
LABEL_DISTANCE = 0.06  # least distance of two class labels, as a fraction of the map's width
NUM_MISTAKES, NUM_NEIGHBOURS = 10, 8
NUM_EIGENVALUES = 10
EIGENVALUE_TOLERANCE = 1e-3  # relative
MAX_EXACT_PARAMETERS = 10_000  # up to this size of a model the curvature is over all training digits
NUM_CURVATURE_DIGITS = 100  # of each class, for larger models
MAX_PROJECTED = 256  # components per digit in TensorBoard's projector
PROJECTOR_FILE = "projector_config.pbtxt"
NOTE = (
    "The embedding of a digit is the input of the network's last layer, a vector of {width:,} values. Digits with near "
    "embeddings look similar to the network."
)
NEIGHBOURS_CAPTION = (
    "Left of the line: the most confident mistakes, true class ≠ predicted class. Right: for each the training digits "
    "with the nearest embeddings, and their labels. A near digit is not necessarily the cause of the mistake."
)
FILTERS_CAPTION = "Each tile is a filter: the weights that it gives to the pixels under it. All share one scale."
CURVATURE_CAPTION = (
    "Largest eigenvalues of the Fisher information over digits of each class: how strongly the predictions change with "
    "the weights in the most sensitive directions."
)


def show_embeddings(run: Run, model: nn.Module, output: Path) -> None:
    """Writes the map, the neighbours, the filters and the curvature as PNG files and as a page, and the embeddings of
    the test digits into the run for TensorBoard's projector. The model's parameters are frozen."""
    model.requires_grad_(False)
    train_set, test_set = load_run_split(run, "train"), load_run_split(run, "test")
    predictions = load_test_predictions(run, test_set)
    embeddings = penultimate_vectors(model, test_set.images)
    blocks: list[Block] = []
    if (embeddings.std(0) > 0).sum() >= 2:
        write_projector(run, embeddings, test_set, predictions)
        blocks.append(Section("Map of the test digits", [embedding_map(embeddings, predictions, test_set)]))
    else:
        print("no map: the embeddings of the test digits differ in fewer than two components")
    mistakes = predictions.worst_mistakes(NUM_MISTAKES)
    if len(mistakes):
        nearest = nearest_digits(penultimate_vectors(model, train_set.images), embeddings[torch.from_numpy(mistakes)])
        neighbours = neighbours_figure(predictions, mistakes, test_set, train_set, nearest)
        blocks.append(Section("Neighbours of the mistakes", [picture_of(neighbours, NEIGHBOURS_CAPTION, "neighbours")]))
    filters = first_layer_filters(model)
    if filters is not None:
        height, width = filters.shape[1:]
        title = f"{len(filters)} filters of the first layer, {height} x {width} weights each"
        picture = picture_of(filters_figure(filters, title), FILTERS_CAPTION, "filters")
        blocks.append(Section("First-layer filters", [picture]))
    curvature = picture_of(curvature_figure(model, train_set), CURVATURE_CAPTION, "curvature")
    blocks.append(Section("Curvature of the loss", [curvature]))
    file = output / run.name / "embeddings" / "embeddings.html"
    write_run_page(file, "Embeddings of the test digits", blocks, [Text(NOTE.format(width=embeddings.shape[1]))])


def write_projector(
    run: Run, embeddings: Float[Tensor, "n width"], test_set: ImageSet, predictions: Predictions
) -> None:
    """Writes the embeddings and images into the run for TensorBoard's Projector tab, unless they are there already."""
    if (run.path / PROJECTOR_FILE).exists():
        return
    is_wide = embeddings.shape[1] > MAX_PROJECTED
    if is_wide:
        num_components = min(MAX_PROJECTED, len(embeddings))
        embeddings = torch.from_numpy(PCA(num_components, random_state=0).fit_transform(embeddings.numpy()))
    names = test_set.class_names
    rows = [
        (names[label], names[predicted], "correct" if label == predicted else "wrong")
        for label, predicted in zip(predictions.labels, predictions.predicted, strict=True)
    ]
    with SummaryWriter(str(run.path), filename_suffix=".projector") as writer:
        writer.add_embedding(
            embeddings,
            metadata=rows,
            metadata_header=["label", "predicted", "outcome"],
            label_img=to_pixels(test_set.images),
            tag=f"penultimate_pca{MAX_PROJECTED}" if is_wide else "penultimate",
        )


# The map.


def class_colors(num_classes: int) -> Float[np.ndarray, "classes 4"]:
    """One colour per class. More than ten classes get colours of a cycle, which neighbouring classes nearly share."""
    if num_classes <= len(CLASS_COLORS):
        return to_rgba_array(list(CLASS_COLORS[:num_classes]))  # matplotlib 3.8 reads two as colour and alpha
    return colormaps["hsv"](np.linspace(0, 1, num_classes, endpoint=False))


def embedding_map(embeddings: Float[Tensor, "n width"], predictions: Predictions, test_set: ImageSet) -> DigitMap:
    """PCA and t-SNE maps of the same sample of the digits, with as many mistakes as fit; the mistakes come first."""
    wrong, correct = np.flatnonzero(~predictions.is_correct), np.flatnonzero(predictions.is_correct)
    sample = np.concatenate([wrong, np.random.default_rng(0).permutation(correct)])[:NUM_MAPPED]
    vectors = embeddings[sample].numpy()
    pca = PCA(2, random_state=0).fit(embeddings.numpy())
    perplexity = min(30.0, (len(sample) - 1) / 3)
    tsne = TSNE(2, init="pca", perplexity=perplexity, random_state=0)
    maps = {
        f"PCA, {pca.explained_variance_ratio_.sum():.0%} of the variance": pca.transform(vectors),
        f"t-SNE, perplexity {perplexity:.0f}": tsne.fit_transform(vectors),
    }
    figure = map_figure(maps, predictions, sample, test_set)
    number = "all" if len(sample) == len(embeddings) else f"{len(sample):,} of the {len(embeddings):,}"
    caption = (
        f"The first two principal components, and t-SNE, of the embeddings of {number} test digits. The colour is the "
        "true class; a mistake has a ring in the colour of the predicted class. Point at a digit or tap it to see it "
        "on both maps."
    )
    names = [elided(name) for name in test_set.class_names]
    digits = [
        Digit(
            test_set.images[i].numpy(),
            f"no. {i}\nlabel {names[predictions.labels[i]]}\n"
            f"predicted {names[predictions.predicted[i]]}, {predictions.confidence[i]:.0%}",
        )
        for i in sample.tolist()
    ]
    figure.draw_without_rendering()  # places the axes
    to_figure = figure.transFigure.inverted()
    places = [
        to_figure.transform(axes.transData.transform(_on_unit_square(values)))
        for axes, values in zip(figure.axes, maps.values(), strict=True)
    ]
    return DigitMap(picture_of(figure, caption, "map"), digits, np.abs(np.array(places) - [0, 1]))


@figure_style()
def map_figure(
    maps: dict[str, Float[np.ndarray, "n 2"]],
    predictions: Predictions,
    indices: Int64[np.ndarray, " n"],
    test_set: ImageSet,
) -> Figure:
    """The digits at these indices as points on one map after the other, by title, with the class names at the medians
    if they are short."""
    colors = class_colors(len(test_set.class_names))
    names = [elided(name) for name in test_set.class_names]
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    num_wrong = int((~predictions.is_correct).sum())
    rings = f"{num_wrong:,} mistakes, ringed in the colour of the prediction" if num_wrong else "no mistakes"
    set_title(figure, f"{test_set.name}: embeddings, coloured by true class; {rings}")
    labels, predicted = predictions.labels[indices], predictions.predicted[indices]
    is_wrong = labels != predicted
    for axes, (title, values) in zip(figure.subplots(1, len(maps)), maps.items(), strict=True):
        places = _on_unit_square(values)
        x, y = places.T
        axes.scatter(x[~is_wrong], y[~is_wrong], s=5, c=colors[labels[~is_wrong]], alpha=0.5, linewidths=0)
        size, width = (12, 0.8) if is_wrong.sum() > MANY_MISTAKES else (30, 1.6)
        axes.scatter(
            x[is_wrong], y[is_wrong], s=size, c=colors[labels[is_wrong]], edgecolors=colors[predicted[is_wrong]],
            linewidths=width,
        )  # fmt: skip
        if max(map(len, names)) <= 2:
            present = np.unique(labels)
            centres = np.stack([np.median(places[labels == label], axis=0) for label in present])
            for label, (x_label, y_label) in zip(present, spread_apart(centres, LABEL_DISTANCE), strict=True):
                axes.text(
                    x_label, y_label, names[label], fontsize=14, weight="bold", color=INK, ha="center", va="center",
                    bbox={"boxstyle": "circle,pad=0.12", "facecolor": "white", "alpha": 0.75, "edgecolor": "none"},
                )  # fmt: skip
        axes.set(xticks=[], yticks=[], title=title)
        axes.spines[:].set(visible=True, color=LIGHT_GREY)
    handles = [Line2D([], [], marker="o", linestyle="", color=color) for color in colors]
    figure.legend(handles, names, loc="outside lower center", ncols=10, handletextpad=0.1, columnspacing=1.2)
    return figure


def _on_unit_square(places: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """The places, moved and scaled so that the larger side of the map is 1."""
    return (places - places.min(0)) / np.ptp(places, axis=0).max()


def spread_apart(places: Float[np.ndarray, "n 2"], distance: float) -> Float[np.ndarray, "n 2"]:
    """The places, with those closer than `distance` pushed apart to about that distance."""
    places = places + np.linspace(0, 1e-6, len(places))[:, None]  # equal places get a direction
    for _ in range(200):
        offsets = places[:, None] - places[None]
        lengths = np.linalg.norm(offsets, axis=2) + np.eye(len(places)) * 2 * distance
        pushes = np.clip(distance - lengths, 0, None) / lengths
        places = places + 0.5 * (offsets * pushes[:, :, None]).sum(1)
    return places


# The training digits nearest to the worst mistakes.


def nearest_digits(
    train_embeddings: Float[Tensor, "n width"], embeddings: Float[Tensor, "m width"]
) -> Int64[Tensor, "m neighbours"]:
    """Indices of the training digits with the smallest Euclidean distance, the nearest first."""
    return torch.cdist(embeddings, train_embeddings).topk(NUM_NEIGHBOURS, largest=False).indices


def neighbours_figure(
    predictions: Predictions,
    mistakes: Int64[np.ndarray, " m"],
    test_set: ImageSet,
    train_set: ImageSet,
    nearest: Int64[Tensor, "m neighbours"],
) -> Figure:
    """One row per mistake: the test digit, then the nearest training digits with their labels."""
    names = [elided(name) for name in test_set.class_names]
    images, captions = [], []
    for index, neighbours in zip(mistakes.tolist(), nearest, strict=True):
        images += [test_set.images[index], *train_set.images[neighbours]]
        true, predicted = names[predictions.labels[index]], names[predictions.predicted[index]]
        separator = "\n" if max(len(true), len(predicted)) > 3 else " "
        captions.append(f"no. {index}\n{true}{separator}≠ {predicted}")
        captions += [names[label] for label in train_set.labels[neighbours].tolist()]
    is_as_predicted = train_set.labels[nearest] == torch.from_numpy(predictions.predicted[mistakes])[:, None]
    title = (
        f"{len(mistakes)} most confident mistakes and their nearest training digits: {int(is_as_predicted.sum())} of "
        f"{is_as_predicted.numel()} have the predicted class"
    )
    figure = digit_grid_figure(torch.stack(images), captions, columns=1 + nearest.shape[1], title=title)
    figure.axes[0].axvline(1 / (1 + nearest.shape[1]) * figure.axes[0].get_xlim()[1], color=GREY, linewidth=1)
    return figure


# The curvature of the loss: the largest eigenvalues of the Fisher information.


def fisher_eigenvalues(
    model: nn.Module, pixels: Float[Tensor, "batch 1 28 28"], count: int
) -> Float[np.ndarray, " count"]:
    """The largest eigenvalues, in descending order, of the Fisher information matrix E[g g^T].

    g is the gradient of log p(class | digit) with respect to all weights. The expectation is over these digits and over
    the classes with the model's own probabilities. For softmax with cross-entropy the matrix is the Gauss-Newton
    matrix: the Hessian of the loss without the curvature of the network itself (Martens 2020, arXiv 1412.1193, section
    9.2). Lanczos iteration needs only products with vectors, so the matrix is never formed.
    """
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    sizes = [weight.numel() for weight in weights.values()]

    def logits_of(weights: dict[str, Tensor]) -> Tensor:
        return functional_call(model, weights, (pixels,))

    logits, pull_back = vjp(logits_of, weights)  # type: ignore[misc]
    probabilities = logits.softmax(1)

    def product(vector: np.ndarray) -> np.ndarray:
        parts = torch.from_numpy(vector.astype(np.float32).ravel()).to(pixels.device).split(sizes)
        direction = {name: part.view_as(weights[name]) for name, part in zip(weights, parts, strict=True)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # a deprecation inside torch, at the first call of jvp
            _, change = jvp(logits_of, (weights,), (direction,))  # type: ignore[misc]
        weighted = probabilities * (change - (probabilities * change).sum(1, keepdim=True))
        (gradient,) = pull_back(weighted / len(pixels))
        return torch.cat([gradient[name].flatten() for name in weights]).cpu().numpy()

    size = sum(sizes)
    start = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    if not product(start).any():  # all probabilities are 0 or 1: the matrix is zero
        return np.zeros(count)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float32)
    eigenvalues = eigsh(operator, count, v0=start, tol=EIGENVALUE_TOLERANCE, return_eigenvectors=False)
    return np.sort(eigenvalues)[::-1].clip(min=0)


@figure_style()
def curvature_figure(model: nn.Module, train_set: ImageSet) -> Figure:
    """The largest Fisher eigenvalues over the training digits of each class: all digits for a small model, else a
    sample."""
    is_exact = num_parameters(model) <= MAX_EXACT_PARAMETERS
    limit = len(train_set) if is_exact else NUM_CURVATURE_DIGITS
    eigenvalues = {}
    for label in track(train_set.labels.unique().tolist(), desc="curvature"):
        images = train_set.images[train_set.labels == label][:limit]
        eigenvalues[label] = fisher_eigenvalues(model, model_pixels(model, images), NUM_EIGENVALUES)
    sample = "all training digits" if is_exact else f"{NUM_CURVATURE_DIGITS} training digits per class"
    colors = class_colors(train_set.num_classes)
    names = [elided(name) for name in train_set.class_names]
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    spectra, largest = figure.subplots(1, 2)
    for label, values in eigenvalues.items():
        spectra.plot(range(1, len(values) + 1), values, "o-", color=colors[label], label=names[label])
    if min(values.min() for values in eigenvalues.values()) > 0:
        spectra.set_yscale("log")
        plain_log_ticks(spectra)
    spectra.xaxis.set_major_locator(MaxNLocator(integer=True))
    spectra.set(xlabel="rank of the eigenvalue", ylabel="eigenvalue")
    present = list(eigenvalues)
    largest.bar(range(len(present)), [values[0] for values in eigenvalues.values()], color=colors[present])
    name_ticks(largest.xaxis, [names[label] for label in present])
    largest.set(xlabel="class", ylabel="largest eigenvalue")
    largest.grid(visible=False, axis="x")
    figure.legend(loc="outside lower center", ncols=10, columnspacing=1.2)
    sharpest = max(present, key=lambda label: float(eigenvalues[label][0]))
    finding = f"The loss is most curved for {names[sharpest]}: largest Fisher eigenvalue {eigenvalues[sharpest][0]:.3g}"
    set_title(figure, f"{finding} ({sample})")
    return figure
