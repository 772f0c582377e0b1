"""Images that are no digit at all: whether a network could tell, by four measures of how strange an image is to it."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from model_interpretation.model_layers import penultimate_vectors
from study.generalisation.cells import Cell, Part, share_cell
from study.generalisation.subject import Subject
from utils.datasets import load_dataset
from utils.errors import UserError
from utils.splits import stratified_sample

NUM_TRAINING_DIGITS = 10_000  # that representations are compared with
NUM_NOISE = 2000
NUM_NEIGHBOURS = 10
NUM_AT_A_TIME = 2000  # images whose neighbours are sought
RIDGE = 1e-3  # of the mean variance, added to each: units that never move have none
SEED = 0


Measure = Callable[[UInt8[Tensor, "n 28 28"]], Float64[np.ndarray, " n"]]


def no_digit(subject: Subject) -> Part:
    """How well each measure tells images that are no digits from MNIST's test digits: the area under the ROC curve,
    and the share of the others that pass where 95 % of the digits do."""
    return _told_apart(subject, logit_measures(subject) | representation_measures(subject))


def strange_by_logits(subject: Subject) -> Part:
    """As `no_digit`, by the measures that need no training digits."""
    return _told_apart(subject, logit_measures(subject))


def _told_apart(subject: Subject, measures: dict[str, Measure]) -> Part:
    known = {name: measure(subject.test_set.images) for name, measure in measures.items()}
    cells: dict[str, Cell] = {}
    for kind, images_of in STRANGE_IMAGES.items():
        try:
            images = images_of(subject)
        except UserError as error:
            cells[f"{kind}: AUROC"] = Cell(None, missing=" ".join(str(error).split()))
            continue
        for name, measure in measures.items():
            strange = measure(images)
            cells[f"{kind}: AUROC, {name}"] = auroc_cell(known[name], strange)
            cells[f"{kind}: FPR95, {name}"] = share_cell(strange >= np.quantile(known[name], 0.05))
    return Part(cells)


def logit_measures(subject: Subject) -> dict[str, Measure]:
    """Measures by name, each higher for what is more familiar: the maximum probability (Hendrycks and Gimpel 2017,
    arXiv 1610.02136) and the negative energy (Liu et al. 2020, arXiv 2010.03759)."""

    def probability(images: UInt8[Tensor, "n 28 28"]) -> Float64[np.ndarray, " n"]:
        return subject.logits(images).double().softmax(1).amax(1).numpy()

    def energy(images: UInt8[Tensor, "n 28 28"]) -> Float64[np.ndarray, " n"]:
        return subject.logits(images).double().logsumexp(1).numpy()

    return {"probability": probability, "energy": energy}


def representation_measures(subject: Subject) -> dict[str, Measure]:
    """The same by what the last layer sees: Mahalanobis' distance to the nearest class (Lee et al. 2018,
    arXiv 1807.03888) and the similarity to the k-th nearest training digit (Sun et al. 2022, arXiv 2204.06507)."""
    digits = stratified_sample(subject.split("train"), NUM_TRAINING_DIGITS)
    vectors = _vectors(subject, digits.images)
    classes = torch.stack([vectors[digits.labels == label].mean(0) for label in range(10)])
    whitening = _whitening(vectors - classes[digits.labels])
    white_classes, directions = classes @ whitening, F.normalize(vectors)

    def mahalanobis(images: UInt8[Tensor, "n 28 28"]) -> Float64[np.ndarray, " n"]:
        distances = torch.cdist(_vectors(subject, images) @ whitening, white_classes)
        return -distances.amin(1).double().numpy()

    def neighbours(images: UInt8[Tensor, "n 28 28"]) -> Float64[np.ndarray, " n"]:
        parts = F.normalize(_vectors(subject, images)).split(NUM_AT_A_TIME)
        return torch.cat([(part @ directions.T).topk(NUM_NEIGHBOURS).values[:, -1] for part in parts]).double().numpy()

    return {"Mahalanobis": mahalanobis, "neighbours": neighbours}


def _vectors(subject: Subject, images: UInt8[Tensor, "n 28 28"]) -> Float[Tensor, "n width"]:
    return penultimate_vectors(subject.model, images.to(subject.device)).cpu()


def _whitening(centred: Float[Tensor, "n width"]) -> Float[Tensor, "width width"]:
    """The map after which the Euclidean distance is Mahalanobis'."""
    covariance = (centred.T @ centred / len(centred)).double()
    values, axes = torch.linalg.eigh(covariance)
    return (axes / (values.clamp(min=0) + RIDGE * values.mean()).sqrt()).float()


def auroc_cell(known: Float64[np.ndarray, " n"], strange: Float64[np.ndarray, " m"]) -> Cell:
    """The probability that a digit is more familiar than what is none, ties half, with the interval of Hanley and
    McNeil 1982."""
    from scipy.stats import mannwhitneyu

    n, m = len(known), len(strange)
    area = float(mannwhitneyu(known, strange).statistic) / (n * m)
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (n - 1) * (first - area**2) + (m - 1) * (second - area**2)) / (n * m)
    half_width = 1.96 * max(variance, 0.0) ** 0.5
    return Cell(area, max(0.0, area - half_width), min(1.0, area + half_width), m)


def _uniform_noise(_subject: Subject) -> UInt8[Tensor, "n 28 28"]:
    generator = torch.Generator().manual_seed(SEED)
    return torch.randint(0, 256, (NUM_NOISE, 28, 28), generator=generator, dtype=torch.uint8)


def _shuffled_digits(subject: Subject) -> UInt8[Tensor, "n 28 28"]:
    """Test digits whose pixels were put in another order, each in one of its own: as much ink, no shape."""
    images = subject.sample(NUM_NOISE).images.flatten(1)
    order = torch.rand(images.shape, generator=torch.Generator().manual_seed(SEED)).argsort(1)
    return images.gather(1, order).view(-1, 28, 28)


def _blank(_subject: Subject) -> UInt8[Tensor, "n 28 28"]:
    """Every even grey."""
    return torch.arange(256, dtype=torch.uint8)[:, None, None].expand(256, 28, 28).contiguous()


STRANGE_IMAGES: dict[str, Callable[[Subject], UInt8[Tensor, "n 28 28"]]] = {
    "noise": _uniform_noise,
    "shuffled pixels": _shuffled_digits,
    "blank": _blank,
    "Fashion-MNIST": lambda _: load_dataset("fashion_mnist", "test").images,
    "KMNIST": lambda _: load_dataset("kmnist", "test").images,
}
