"""Out-of-distribution scores: how much an image looks like the training images. Higher means more in-distribution.

The scores of logits need nothing but the logits. The scores of embeddings compare an image with training images.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
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
