"""Images that are no digit at all: whether a network could tell, by four measures of how familiar an image is."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from model_interpretation.model_layers import penultimate_vectors
from study.generalisation.cells import Cell, Part, missing_cell, share_cell
from study.generalisation.subject import Subject, load_test_set
from utils.errors import UserError
from utils.splits import stratified_sample

NUM_TRAINING_DIGITS = 10_000  # that representations are compared with
NUM_NOISE = 2000
NUM_NEIGHBOURS = 10
NUM_AT_A_TIME = 2000  # images whose neighbours are sought
MAX_WIDTH = 4096  # of the last layer: a covariance in double precision takes 128 MiB then
RIDGE = 1e-3  # of the mean variance, added to each: units that never move have none
SEED = 0
BY_LOGITS = ("probability", "energy")
BY_REPRESENTATION = ("Mahalanobis", "neighbours")

Images = UInt8[Tensor, "n 28 28"]
Familiarity = dict[str, Float64[np.ndarray, " n"]]  # by measure; higher is more familiar


def no_digit(subject: Subject) -> Part:
    """How well each measure tells images that are no digits from MNIST's test digits: the area under the ROC curve,
    and the share of the others that pass where 95 % of the digits do."""
    part = strange_by_logits(subject)
    try:
        seen = _told_apart(subject, Representation(subject).familiarity).cells
    except UserError as error:
        seen = {name: missing_cell(error) for kind in STRANGE_IMAGES for name in _names(kind, BY_REPRESENTATION)}
    return Part({**part.cells, **seen})


def strange_by_logits(subject: Subject) -> Part:
    """As `no_digit`, by the measures that need no training digits."""
    return _told_apart(subject, lambda images: by_logits(subject, images))


def _told_apart(subject: Subject, familiarity: Callable[[Images], Familiarity]) -> Part:
    known = familiarity(subject.test_set.images)
    cells: dict[str, Cell] = {}
    for kind, images_of in STRANGE_IMAGES.items():
        try:
            strange = familiarity(images_of(subject))
        except UserError as error:
            cells |= dict.fromkeys(_names(kind, known), missing_cell(error))
            continue
        for measure in known:
            auroc, fpr95 = _names(kind, [measure])
            cells[auroc] = auroc_cell(known[measure], strange[measure])
            cells[fpr95] = share_cell(strange[measure] >= np.quantile(known[measure], 0.05))
            if kind in ALL_THERE_ARE:
                cells |= {name: replace(cells[name], low=None, high=None) for name in (auroc, fpr95)}
    return Part(cells)


def _names(kind: str, measures: Iterable[str]) -> list[str]:
    """Of the cells."""
    return [f"{kind}: {figure}, {measure}" for measure in measures for figure in ("AUROC", "FPR95")]


def by_logits(subject: Subject, images: Images) -> Familiarity:
    """The maximum probability (Hendrycks and Gimpel 2017, arXiv 1610.02136) and the negative energy (Liu et al. 2020,
    arXiv 2010.03759)."""
    logits = subject.logits(images).double()
    measures = (logits.softmax(1).amax(1), logits.logsumexp(1))
    return {name: values.numpy() for name, values in zip(BY_LOGITS, measures, strict=True)}


class Representation:
    """What the last layer sees of some training digits, for others to be compared with."""

    def __init__(self, subject: Subject) -> None:
        """Raises UserError where there are no training digits any more, or the layer is too wide."""
        self.subject = subject
        digits = subject.split("train")
        if len(digits) >= NUM_TRAINING_DIGITS + len(digits.class_names):  # one of each class must be left over
            digits = stratified_sample(digits, NUM_TRAINING_DIGITS)
        width = self._vectors(digits.images[:1]).shape[1]
        if width > MAX_WIDTH:
            raise UserError(f"the last layer sees {width:,} values of a digit: distances are taken up to {MAX_WIDTH:,}")
        vectors = self._vectors(digits.images)
        labels, codes = digits.labels.unique(return_inverse=True)
        classes = torch.stack([vectors[codes == code].mean(0) for code in range(len(labels))])
        self.whitening = _whitening(vectors - classes[codes])
        self.white_classes, self.directions = classes @ self.whitening, F.normalize(vectors)

    def familiarity(self, images: Images) -> Familiarity:
        """Minus Mahalanobis' distance to the nearest class (Lee et al. 2018, arXiv 1807.03888) and the similarity to
        the k-th nearest training digit (Sun et al. 2022, arXiv 2204.06507)."""
        vectors = self._vectors(images)
        distances = torch.cdist(vectors @ self.whitening, self.white_classes).amin(1)
        similarities = [
            (part @ self.directions.T).topk(min(NUM_NEIGHBOURS, len(self.directions))).values[:, -1]
            for part in F.normalize(vectors).split(NUM_AT_A_TIME)
        ]
        measures = (-distances, torch.cat(similarities))
        return {name: values.double().numpy() for name, values in zip(BY_REPRESENTATION, measures, strict=True)}

    def _vectors(self, images: Images) -> Float[Tensor, "n width"]:
        return penultimate_vectors(self.subject.model, images.to(self.subject.device)).cpu()


def _whitening(centred: Float[Tensor, "n width"]) -> Float[Tensor, "width width"]:
    """The map after which the Euclidean distance is Mahalanobis'."""
    values, axes = torch.linalg.eigh((centred.T @ centred / len(centred)).double())
    return (axes / (values.clamp(min=0) + RIDGE * values.mean()).sqrt()).float()


def auroc_cell(known: Float64[np.ndarray, " n"], strange: Float64[np.ndarray, " m"]) -> Cell:
    """The probability that a digit is more familiar than what is none, ties half, with the interval of Hanley and
    McNeil 1982; where the two do not overlap, which leaves that without width, by the rule of three."""
    from scipy.stats import mannwhitneyu

    n, m = len(known), len(strange)
    area = float(mannwhitneyu(known, strange).statistic) / (n * m)
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (n - 1) * (first - area**2) + (m - 1) * (second - area**2)) / (n * m)
    half_width = 1.96 * max(variance, 0.0) ** 0.5 if 0 < area < 1 else 3 / min(n, m)
    return Cell(area, max(0.0, area - half_width), min(1.0, area + half_width), m)


def _uniform_noise(_subject: Subject) -> Images:
    generator = torch.Generator().manual_seed(SEED)
    return torch.randint(0, 256, (NUM_NOISE, 28, 28), generator=generator, dtype=torch.uint8)


def _shuffled_digits(subject: Subject) -> Images:
    """Test digits whose pixels were put in another order, each in one of its own: as much ink, no shape."""
    images = subject.sample(NUM_NOISE).images.flatten(1)
    order = torch.rand(images.shape, generator=torch.Generator().manual_seed(SEED)).argsort(1)
    return images.gather(1, order).view(-1, 28, 28)


def _blank(_subject: Subject) -> Images:
    """Every even grey."""
    return torch.arange(256, dtype=torch.uint8)[:, None, None].repeat(1, 28, 28)


ALL_THERE_ARE = ("blank",)  # no sample, so without intervals
STRANGE_IMAGES: dict[str, Callable[[Subject], Images]] = {
    "noise": _uniform_noise,
    "shuffled pixels": _shuffled_digits,
    "blank": _blank,
    "Fashion-MNIST": lambda _: load_test_set("fashion_mnist").images,
    "KMNIST": lambda _: load_test_set("kmnist").images,
}
