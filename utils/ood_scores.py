"""Out-of-distribution scores: how much an image looks like the training images. Higher means more in-distribution.

The scores of logits need nothing but the logits. The scores of embeddings compare an image with training images.
`detection` measures how well a score separates digits from other images.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

NUM_NEIGHBOURS = 10
NUM_AT_A_TIME = 2000  # embeddings per step of the neighbour search
RIDGE = 1e-3  # added to each variance, as a fraction of the mean variance: constant units have no variance


def max_softmax(logits: Float[Tensor, "... classes"]) -> Float[Tensor, "..."]:
    """The largest softmax probability (Hendrycks and Gimpel 2017, arXiv 1610.02136)."""
    return logits.softmax(-1).amax(-1)


def energy_score(logits: Float[Tensor, "... classes"]) -> Float[Tensor, "..."]:
    """The negative free energy, log sum exp of the logits (Liu et al. 2020, arXiv 2010.03759)."""
    return logits.logsumexp(-1)


class MahalanobisScore:
    """The negative Mahalanobis distance to the nearest class mean (Lee et al. 2018, arXiv 1807.03888)."""

    def __init__(self, embeddings: Float[Tensor, "n width"], labels: Int64[Tensor, " n"]) -> None:
        """Fits one mean per class and one covariance for all classes to training embeddings."""
        classes, codes = labels.unique(return_inverse=True)
        means = torch.stack([embeddings[codes == code].mean(0) for code in range(len(classes))])
        self.whitening = whitening_matrix(embeddings - means[codes])
        self.whitened_means = means @ self.whitening

    def __call__(self, embeddings: Float[Tensor, "m width"]) -> Float[Tensor, " m"]:
        return -torch.cdist(embeddings @ self.whitening, self.whitened_means).amin(1)


class NearestNeighbourScore:
    """The cosine similarity to the k-th nearest training embedding (Sun et al. 2022, arXiv 2204.06507)."""

    def __init__(self, embeddings: Float[Tensor, "n width"], num_neighbours: int = NUM_NEIGHBOURS) -> None:
        self.directions = F.normalize(embeddings)
        self.num_neighbours = min(num_neighbours, len(embeddings))

    def __call__(self, embeddings: Float[Tensor, "m width"]) -> Float[Tensor, " m"]:
        similarities = [
            (part @ self.directions.T).topk(self.num_neighbours).values[:, -1]
            for part in F.normalize(embeddings).split(NUM_AT_A_TIME)
        ]
        return torch.cat(similarities)


def whitening_matrix(centred: Float[Tensor, "n width"]) -> Float[Tensor, "width width"]:
    """The map after which Euclidean distance is Mahalanobis distance. `centred` has mean zero."""
    values, axes = torch.linalg.eigh((centred.T @ centred / len(centred)).double())
    return (axes / (values.clamp(min=0) + RIDGE * values.mean()).sqrt()).float()


# How well a score separates the digits from other images.

MEASURES = ("auroc", "aupr", "fpr95")
NUM_RESAMPLES = 400
TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class Detection:
    """AUROC, AUPR and FPR95 of a score, with the resampled values from which their intervals come."""

    values: Float64[np.ndarray, " measures"]
    resampled: Float64[np.ndarray, "resamples measures"]
    num_clusters: int
    """The smaller of the numbers of independent clusters: of the digits (writers), and of the other images."""

    def result(self, measure: str) -> tuple[float, float, float]:
        """The value with its 95 % percentile interval. If no resample differs, the rule of three bounds it: three over
        the number of clusters."""
        place = MEASURES.index(measure)
        value = float(self.values[place])
        low, high = (float(end) for end in np.quantile(self.resampled[:, place], TAILS))
        width = 3 / self.num_clusters if high - low < 1e-9 else 0.0
        return value, max(0.0, min(low, value) - width), min(1.0, max(high, value) + width)


def detection(
    digits: Float64[np.ndarray, " n"],
    others: Float64[np.ndarray, " m"],
    digit_clusters: Int[np.ndarray, " n"],
    other_clusters: Int[np.ndarray, " m"],
    seed: int = 0,
) -> Detection:
    """How well a score (higher for digits) separates digits from other images.

    AUROC is the probability that a digit has a higher score than another image. AUPR is the average precision with the
    other images as positives, at equal weight of both samples, so that 50 % is chance whatever their sizes. FPR95 is
    the fraction of the other images above the threshold that 95 % of the digits exceed.

    Resamples whole clusters, such as all images by one writer, because images of a cluster are not independent.
    Clusters with digits and clusters of other images alone are resampled separately. The draws of the digits' clusters
    are the same in every call, so that resampled values of several sets of other images may be averaged.
    """
    levels, place = np.unique(np.r_[digits, others], return_inverse=True)
    names, codes = np.unique(np.r_[digit_clusters, other_clusters], return_inverse=True)
    has_digit = np.zeros(len(names), bool)
    has_digit[codes[: len(digits)]] = True
    is_drawn = [(np.random.default_rng(0), has_digit), (np.random.default_rng([1, seed]), ~has_digit)]

    def measures(counts: Float64[np.ndarray, " clusters"]) -> list[float]:
        weights, parts = counts[codes], (slice(len(digits)), slice(len(digits), None))
        return _measures(*(np.bincount(place[part], weights[part], len(levels)) for part in parts))

    resampled = []
    for _ in range(NUM_RESAMPLES):
        counts = np.zeros(len(names))
        for generator, stratum in is_drawn:
            size = int(stratum.sum())
            counts[stratum] = generator.multinomial(size, np.full(size, 1 / max(1, size))) if size else 0
        resampled.append(measures(counts))
    num_clusters = min(len(np.unique(digit_clusters)), len(np.unique(other_clusters)))
    return Detection(np.array(measures(np.ones(len(names)))), np.array(resampled), num_clusters)


def _measures(digits: Float64[np.ndarray, " levels"], others: Float64[np.ndarray, " levels"]) -> list[float]:
    """The measures in the order of MEASURES, from the weights of digits and of other images at each level of the score,
    in ascending order."""
    digits, others = digits / digits.sum(), others / others.sum()
    digits_below, others_below = digits.cumsum(), others.cumsum()
    auroc = (digits * (others_below - others / 2)).sum()
    precision = others_below / np.maximum(digits_below + others_below, 1e-300)
    threshold = np.searchsorted(digits_below, 0.05 + 1e-12, side="right")
    false_positives = 1 - others_below[threshold - 1] if threshold else 1.0
    return [float(auroc), float((others * precision).sum()), max(0.0, float(false_positives))]
