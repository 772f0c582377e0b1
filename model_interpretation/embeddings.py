"""Embeddings of the digits, which are the inputs of a model's last layer: a PCA and t-SNE map, the training digits
nearest to the worst mistakes, the first layer's filters, and the curvature of the loss."""

import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from matplotlib import colormaps
from matplotlib.figure import Figure
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from model_interpretation.activations import penultimate_vectors
from model_interpretation.predict import load_run_split, load_test_predictions
from models.layers import first_layer_filters
from models.registry import num_parameters
from utils.data.batches import to_pixels
from utils.data.datasets import ImageSet
from utils.document import write_picture_page
from utils.figures import INK, digit_grid_figure, filters_figure, plain_axes
from utils.predictions import Predictions
from utils.run import Run

CLASS_COLOURS = colormaps["tab10"].colors  # type: ignore[attr-defined]
NUM_MAPPED = 3000  # digits in the t-SNE map
MAX_LABELLED_MISTAKES = 200  # with more mistakes the map shows no predicted classes
NUM_MISTAKES, NUM_NEIGHBOURS = 10, 8
NUM_EIGENVALUES = 10
EIGENVALUE_TOLERANCE = 1e-3  # relative
MAX_EXACT_PARAMETERS = 10_000  # up to this size of a model the curvature is over all training digits
NUM_CURVATURE_DIGITS = 100  # of each class, for larger models
MAX_PROJECTED = 256  # components per digit in TensorBoard's projector
PROJECTOR_FILE = "projector_config.pbtxt"

Layout = tuple[Float[np.ndarray, "n 2"], Int64[np.ndarray, " n"]]


def show_embeddings(run: Run, model: nn.Module, output: Path) -> None:
    """Writes the map, the neighbours, the filters and the curvature as PNG files and as a page, and the embeddings of
    the test digits into the run for TensorBoard's projector. The model's parameters are frozen."""
    model.requires_grad_(False)
    train_set, test_set = load_run_split(run, "train"), load_run_split(run, "test")
    predictions = load_test_predictions(run, test_set)
    embeddings = penultimate_vectors(model, test_set.images)
    figures = {}
    if (embeddings.std(0) > 0).sum() >= 2:
        write_projector(run, embeddings, test_set, predictions)
        figures["map"] = map_figure(embeddings, predictions, test_set.name)
    else:
        print("no map: the embeddings of the test digits differ in fewer than two components")
    mistakes = predictions.worst_mistakes(NUM_MISTAKES)
    if len(mistakes):
        nearest = nearest_digits(penultimate_vectors(model, train_set.images), embeddings[torch.from_numpy(mistakes)])
        figures["neighbours"] = neighbours_figure(predictions, mistakes, test_set, train_set, nearest)
    filters = first_layer_filters(model)
    if filters is not None:
        figures["filters"] = filters_figure(filters, "first-layer weights: red positive, blue negative")
    figures["curvature"] = curvature_figure(model, train_set)
    write_picture_page(output / run.name / "embeddings" / "embeddings.html", f"{run.name}: embeddings", figures)


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


def map_figure(embeddings: Float[Tensor, "n width"], predictions: Predictions, set_name: str) -> Figure:
    """The first two principal components of all digits beside t-SNE of a sample with as many mistakes as fit."""
    wrong, correct = np.flatnonzero(~predictions.is_correct), np.flatnonzero(predictions.is_correct)
    shuffled = np.random.default_rng(0).permutation(correct)
    sample = np.sort(np.concatenate([wrong, shuffled])[:NUM_MAPPED])
    layouts = {}
    with tqdm(total=2, desc="PCA, t-SNE", disable=None, leave=False) as bar:
        pca = PCA(2, random_state=0).fit(embeddings.numpy())
        share = pca.explained_variance_ratio_.sum()
        layouts[f"PCA of {len(embeddings):,} digits: {share:.0%} of the variance"] = (
            pca.transform(embeddings.numpy()),
            np.arange(len(embeddings)),
        )
        bar.update()
        perplexity = min(30.0, (len(sample) - 1) / 3)
        tsne = TSNE(2, init="pca", perplexity=perplexity, random_state=0)
        layouts[f"t-SNE of {len(sample):,} digits, perplexity {perplexity:.0f}"] = (
            tsne.fit_transform(embeddings[sample].numpy()),
            sample,
        )
        bar.update()
    return _draw_layouts(layouts, predictions, set_name)


def _draw_layouts(layouts: dict[str, Layout], predictions: Predictions, set_name: str) -> Figure:
    """One panel per layout, which is places and the indices of their digits."""
    figure = Figure(figsize=(13, 6.8), layout="constrained")
    num_wrong = int((~predictions.is_correct).sum())
    figure.suptitle(f"{set_name}: embeddings. Colour: true class; ringed: the {num_wrong} mistakes")
    for axes, (title, (places, indices)) in zip(figure.subplots(1, len(layouts)), layouts.items(), strict=True):
        labels, predicted = predictions.labels[indices], predictions.predicted[indices]
        is_wrong = labels != predicted
        colours = np.array(CLASS_COLOURS)[labels]
        axes.scatter(*places[~is_wrong].T, s=5, c=colours[~is_wrong], alpha=0.5, linewidths=0, rasterized=True)
        is_crowded = num_wrong > MAX_LABELLED_MISTAKES
        size, width = (10, 0.5) if is_crowded else (26, 0.9)
        axes.scatter(*places[is_wrong].T, s=size, c=colours[is_wrong], edgecolors=INK, linewidths=width)
        if not is_crowded:
            for place, label in zip(places[is_wrong], predicted[is_wrong], strict=True):
                axes.annotate(str(label), place, xytext=(4, 3), textcoords="offset points", fontsize=7, color=INK)
        for label in np.unique(labels):
            centre = np.median(places[labels == label], axis=0)
            axes.text(
                *centre, str(label), fontsize=15, weight="bold", color=INK, ha="center", va="center",
                bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "alpha": 0.75, "edgecolor": "none"},
            )  # fmt: skip
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=10)
    return figure


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
    names = test_set.class_names
    images, captions = [], []
    for index, neighbours in zip(mistakes.tolist(), nearest, strict=True):
        images += [test_set.images[index], *train_set.images[neighbours]]
        captions.append(f"{names[predictions.labels[index]]} != {names[predictions.predicted[index]]}")
        captions += [names[label] for label in train_set.labels[neighbours].tolist()]
    title = (
        "left: the most confident mistakes, true != predicted; right: the training digits with the nearest embeddings "
        "and their labels (near does not mean that they caused the mistake)"
    )
    return digit_grid_figure(torch.stack(images), captions, columns=1 + nearest.shape[1], title=title)


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
        parts = torch.from_numpy(vector.astype(np.float32).ravel()).split(sizes)
        direction = {name: part.view_as(weights[name]) for name, part in zip(weights, parts, strict=True)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # a deprecation inside torch, at the first call of jvp
            _, change = jvp(logits_of, (weights,), (direction,))  # type: ignore[misc]
        weighted = probabilities * (change - (probabilities * change).sum(1, keepdim=True))
        (gradient,) = pull_back(weighted / len(pixels))
        return torch.cat([gradient[name].flatten() for name in weights]).numpy()

    size = sum(sizes)
    start = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    if not product(start).any():  # all probabilities are 0 or 1: the matrix is zero
        return np.zeros(count)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float32)
    eigenvalues = eigsh(operator, count, v0=start, tol=EIGENVALUE_TOLERANCE, return_eigenvectors=False)
    return np.sort(eigenvalues)[::-1].clip(min=0)


def curvature_figure(model: nn.Module, train_set: ImageSet) -> Figure:
    """The largest Fisher eigenvalues over the training digits of each class: all digits for a small model, else a
    sample."""
    is_exact = num_parameters(model) <= MAX_EXACT_PARAMETERS
    limit = len(train_set) if is_exact else NUM_CURVATURE_DIGITS
    eigenvalues = {}
    for label, name in enumerate(tqdm(train_set.class_names, desc="curvature", disable=None, leave=False)):
        images = train_set.images[train_set.labels == label][:limit]
        if len(images):
            eigenvalues[name] = fisher_eigenvalues(model, to_pixels(images), NUM_EIGENVALUES)
    sample = "all training digits" if is_exact else f"{NUM_CURVATURE_DIGITS} training digits per class"
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    figure.suptitle(f"curvature of the loss: largest eigenvalues of the Fisher information, {sample}")
    spectra = plain_axes(figure, 1, 2, 1)
    for colour, (name, values) in zip(CLASS_COLOURS, eigenvalues.items(), strict=False):
        spectra.plot(range(1, len(values) + 1), values, "o-", color=colour, label=name, markersize=3.5)
    spectra.set(yscale="log", xlabel="rank", ylabel="eigenvalue")
    spectra.legend(title="class", frameon=False, fontsize=8, ncols=2)
    largest = plain_axes(figure, 1, 2, 2)
    largest.bar(list(eigenvalues), [values[0] for values in eigenvalues.values()], color=CLASS_COLOURS)
    largest.set(xlabel="class", ylabel="largest eigenvalue")
    return figure
