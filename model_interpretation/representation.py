"""How a run's network sees the digits as a whole: a map of its representation, its filters, its mistakes' neighbours,
the curvature of its loss."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from jaxtyping import Float, Int64
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from model_interpretation.basic_interpret import OUTPUT
from model_interpretation.fisher import fisher_eigenvalues
from model_interpretation.interpretation import run_answers
from model_interpretation.model_layers import penultimate_vectors
from model_interpretation.picture_page import write_picture_page
from model_interpretation.representation_figures import fisher_figure, map_figure, neighbours_figure
from model_interpretation.run_data import load_run_split
from models.first_layer_filters import first_layer_filters
from models.registry import num_parameters
from models.trained import load_trained
from utils.answers import Answers
from utils.command_line import parse_command_line
from utils.errors import exit_on_user_error
from utils.figures import filters_figure
from utils.image_set import ImageSet
from utils.preloading import to_pixels
from utils.run_folder import RunFolder

NUM_MAPPED = 3000  # digits that t-SNE lays out
NUM_MISTAKES, NUM_NEIGHBOURS = 10, 8
NUM_EIGENVALUES = 10
EXACT_PARAMETERS = 10_000  # up to which all training digits count for the curvature
SKETCH_DIGITS = 100  # of each class, above that
MAX_PROJECTED = 256  # numbers a digit, in TensorBoard's projector
PROJECTOR = "projector_config.pbtxt"


@dataclass(frozen=True)
class RepresentationCommand:
    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """The run whose network is looked into; by default the newest that is finished."""
    output: Path = OUTPUT
    """Folder in which the run gets a folder of its name."""


def main(argv: list[str]) -> None:
    """Draws how the network sees the digits as a whole: a map of what its last layer sees of the test digits, with the
    mistakes marked; the training digits that lie nearest to the worst mistakes; the first layer's filters; the
    curvature of the loss, class by class. As PNG and as a page; the map also for TensorBoard's projector."""
    options = parse_command_line(RepresentationCommand, argv, "mnist representation", main.__doc__)
    run = RunFolder.find_or_newest(options.run)
    model = load_trained(run).requires_grad_(False)
    train_set, test_set = load_run_split(run, "train"), load_run_split(run, "test")
    answers = run_answers(run, "test", test_set, torch.device("cpu"))
    vectors = penultimate_vectors(model, test_set.images)
    figures = {}
    if (vectors.std(0) > 0).sum() >= 2:
        write_projector(run, vectors, test_set, answers)
        figures["map"] = representation_map(vectors, answers, test_set.name)
    else:
        print("no map: what the last layer sees differs between digits in less than two numbers")
    mistakes = answers.worst_mistakes(NUM_MISTAKES)
    if len(mistakes):
        nearest = nearest_digits(penultimate_vectors(model, train_set.images), vectors[torch.from_numpy(mistakes)])
        figures["neighbours"] = neighbours_figure(answers, mistakes, test_set, train_set, nearest)
    filters = first_layer_filters(model)
    if filters is not None:
        figures["filters"] = filters_figure(filters, "weights of the first layer: red adds, blue takes away")
    figures["curvature"] = curvature(model, train_set)
    folder = options.output / run.path.name / "representation"
    write_picture_page(folder / "representation.html", f"{run.path.name}: how it sees the digits as a whole", figures)


def write_projector(run: RunFolder, vectors: Float[Tensor, "n width"], test_set: ImageSet, answers: Answers) -> None:
    """Lays the vectors with their digits into the run, for TensorBoard's page Projector, unless they are there."""
    if (run.path / PROJECTOR).exists():
        return
    wide = vectors.shape[1] > MAX_PROJECTED
    if wide:
        num_axes = min(MAX_PROJECTED, len(vectors))
        vectors = torch.from_numpy(PCA(num_axes, random_state=0).fit_transform(vectors.numpy()))
    names = test_set.class_names
    rows = [
        (names[label], names[predicted], "right" if label == predicted else "wrong")
        for label, predicted in zip(answers.labels, answers.predicted, strict=True)
    ]
    with SummaryWriter(str(run.path), filename_suffix=".projector") as writer:
        writer.add_embedding(
            vectors,
            metadata=rows,
            metadata_header=["label", "predicted", "verdict"],
            label_img=to_pixels(test_set.images),
            tag=f"penultimate_pca{MAX_PROJECTED}" if wide else "penultimate",
        )


def representation_map(vectors: Float[Tensor, "n width"], answers: Answers, set_name: str) -> Figure:
    """The first two principal components of all digits, and t-SNE of some, among them all mistakes where they fit."""
    wrong, right = np.flatnonzero(~answers.is_right), np.flatnonzero(answers.is_right)
    shuffled = np.random.default_rng(0).permutation(right)
    chosen = np.sort(np.concatenate([wrong, shuffled])[:NUM_MAPPED])
    layouts = {}
    with tqdm(total=2, desc="PCA, t-SNE", disable=None, leave=False) as bar:
        pca = PCA(2, random_state=0).fit(vectors.numpy())
        share = pca.explained_variance_ratio_.sum()
        layouts[f"PCA of {len(vectors):,} digits: {share:.0%} of the variance"] = (
            pca.transform(vectors.numpy()),
            np.arange(len(vectors)),
        )
        bar.update()
        perplexity = min(30.0, (len(chosen) - 1) / 3)
        embedded = TSNE(2, init="pca", perplexity=perplexity, random_state=0).fit_transform(vectors[chosen].numpy())
        layouts[f"t-SNE of {len(chosen):,} digits, perplexity {perplexity:.0f}"] = (embedded, chosen)
        bar.update()
    return map_figure(layouts, answers, set_name)


def nearest_digits(
    training_vectors: Float[Tensor, "n width"], vectors: Float[Tensor, "m width"]
) -> Int64[Tensor, "m neighbours"]:
    """The training digits whose vectors lie nearest, the nearest first."""
    return torch.cdist(vectors, training_vectors).topk(NUM_NEIGHBOURS, largest=False).indices


def curvature(model: nn.Module, train_set: ImageSet) -> Figure:
    """The largest Fisher eigenvalues of the training digits of each class: of all of them for a small network."""
    limit = len(train_set) if num_parameters(model) <= EXACT_PARAMETERS else SKETCH_DIGITS
    eigenvalues = {}
    for label, name in enumerate(tqdm(train_set.class_names, desc="curvature", disable=None, leave=False)):
        of_class = train_set.images[train_set.labels == label][:limit]
        if len(of_class):
            eigenvalues[name] = fisher_eigenvalues(model, to_pixels(of_class), NUM_EIGENVALUES)
    which = "all training digits" if limit == len(train_set) else f"{SKETCH_DIGITS} training digits a class"
    return fisher_figure(eigenvalues, which)


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
