"""Which digits of a class are like the others, and which like none."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from utils.image_set import ImageSet

NUM_NEIGHBOURS = 10
MAX_REFERENCE = 2_000  # digits of a class to look for neighbours among; more change the order little
SEED = 0


def strangeness(image_set: ImageSet) -> Float32[Tensor, " n"]:
    """The mean Euclidean distance of each digit to its ten nearest among (up to 2,000 of) its own class.

    Pixels in [0, 1]. Small for typical digits, large for strange ones (Ramaswamy et al. 2000, k-nearest-neighbour
    outliers). A class of one digit gives 0.
    """
    result = torch.zeros(len(image_set))
    generator = torch.Generator().manual_seed(SEED)
    for label in image_set.labels.unique().tolist():
        members = torch.nonzero(image_set.labels == label)[:, 0]
        chosen = members[torch.randperm(len(members), generator=generator)[:MAX_REFERENCE]]
        pixels = image_set.images[members].flatten(1).float() / 255
        reference = image_set.images[chosen].flatten(1).float() / 255
        distances = torch.cdist(pixels, reference)
        distances[members[:, None] == chosen] = torch.inf  # a digit is no neighbour of its own
        nearest = distances.topk(min(NUM_NEIGHBOURS, len(chosen)), largest=False).values
        result[members] = nearest.masked_fill(nearest.isinf(), 0).mean(dim=1)
    return result


def most_typical_and_strangest(
    image_set: ImageSet, per_class: int
) -> tuple[list[Int64[Tensor, " _"]], list[Int64[Tensor, " _"]]]:
    """Indices of the most typical and of the strangest digits of each class, the most extreme first.

    A class with few digits gives half of them to either side.
    """
    distances = strangeness(image_set)
    typical, strange = [], []
    for label in range(len(image_set.class_names)):
        members = torch.nonzero(image_set.labels == label)[:, 0]
        ranked = members[distances[members].argsort()]
        count = min(per_class, len(ranked) // 2)
        typical.append(ranked[:count])
        strange.append(ranked.flip(0)[:count])
    return typical, strange
