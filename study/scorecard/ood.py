"""Out-of-distribution detection: how well four scores separate MNIST's test digits from images of no known class."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from scipy.stats import mannwhitneyu
from torch import Tensor

from model_interpretation.activations import penultimate_vectors
from study.scorecard.evaluator import Evaluator, Metric, MetricResult, fraction_result, load_test_set
from utils.data.splits import stratified_sample
from utils.errors import UserError
from utils.ood_scores import MahalanobisScore, NearestNeighbourScore, energy_score, max_softmax

NUM_TRAINING_DIGITS = 10_000  # that embeddings are compared with
NUM_NOISE = 2000
MAX_WIDTH = 4096  # of the embeddings: their covariance in double precision then takes 128 MiB
SEED = 0

Images = UInt8[Tensor, "n 28 28"]
Scores = dict[str, Float64[np.ndarray, " n"]]  # by the id of the score; higher is more in-distribution


def uniform_noise(_evaluator: Evaluator) -> Images:
    generator = torch.Generator().manual_seed(SEED)
    return torch.randint(0, 256, (NUM_NOISE, 28, 28), generator=generator, dtype=torch.uint8)


def shuffled_pixels(evaluator: Evaluator) -> Images:
    """Test digits with their pixels in random order, another order for each digit: as much ink, no shape."""
    images = evaluator.sample(NUM_NOISE).images.flatten(1)
    order = torch.rand(images.shape, generator=torch.Generator().manual_seed(SEED)).argsort(1)
    return images.gather(1, order).view(-1, 28, 28)


def plain_grey(_evaluator: Evaluator) -> Images:
    """One image of each of the 256 grey levels."""
    return torch.arange(256, dtype=torch.uint8)[:, None, None].repeat(1, 28, 28)


# Label and source of each kind of images.
OOD_IMAGES: dict[str, tuple[str, Callable[[Evaluator], Images]]] = {
    "noise": ("uniform noise", uniform_noise),
    "shuffled_pixels": ("shuffled pixels", shuffled_pixels),
    "blank": ("plain grey", plain_grey),
    "fashion_mnist": ("Fashion-MNIST", lambda _: load_test_set("fashion_mnist").images),
    "kmnist": ("KMNIST", lambda _: load_test_set("kmnist").images),
}
NOT_SAMPLED = ("blank",)  # all images of their kind, so there is no interval
TEST_DIGITS = "test digits"  # the in-distribution images
LOGIT_SCORES = {"max_softmax": max_softmax, "energy": energy_score}
EMBEDDING_SCORES = ("mahalanobis", "knn")
SCORE_LABELS = {"max_softmax": "max softmax", "energy": "energy", "mahalanobis": "Mahalanobis", "knn": "k-NN"}


def auroc(evaluator: Evaluator, images: str, score: str) -> MetricResult:
    """The probability that the score of a test digit is above that of an image of this kind."""
    result = auroc_result(_scores(evaluator, TEST_DIGITS, score), _scores(evaluator, images, score))
    return replace(result, ci_low=None, ci_high=None) if images in NOT_SAMPLED else result


def fpr95(evaluator: Evaluator, images: str, score: str) -> MetricResult:
    """The fraction of images of this kind above the threshold that 95 % of the test digits exceed."""
    threshold = np.quantile(_scores(evaluator, TEST_DIGITS, score), 0.05)
    result = fraction_result(_scores(evaluator, images, score) >= threshold)
    return replace(result, ci_low=None, ci_high=None) if images in NOT_SAMPLED else result


def auroc_result(digits: Float64[np.ndarray, " n"], others: Float64[np.ndarray, " m"]) -> MetricResult:
    """The area under the ROC curve with the interval of Hanley and McNeil 1982. If the two samples do not overlap, this
    interval has no width; then the rule of three bounds it."""
    n, m = len(digits), len(others)
    area = float(mannwhitneyu(digits, others).statistic) / (n * m)
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (n - 1) * (first - area**2) + (m - 1) * (second - area**2)) / (n * m)
    half_width = 1.96 * max(variance, 0.0) ** 0.5 if 0 < area < 1 else 3 / min(n, m)
    return MetricResult(area, max(0.0, area - half_width), min(1.0, area + half_width), m)


def _scores(evaluator: Evaluator, images: str, score: str) -> Float64[np.ndarray, " n"]:
    """The scores of one kind of images. All scores of logits are computed together, and all of embeddings."""

    def load() -> Images:
        if images == TEST_DIGITS:
            return evaluator.test_set.images
        return evaluator.once(("OOD images", images), lambda: OOD_IMAGES[images][1](evaluator))

    compute = _logit_scores if score in LOGIT_SCORES else _embedding_scores
    return evaluator.once((compute.__name__, images), lambda: compute(evaluator, load()))[score]


def _logit_scores(evaluator: Evaluator, images: Images) -> Scores:
    logits = evaluator.logits(images).double()
    return {name: function(logits).numpy() for name, function in LOGIT_SCORES.items()}


def _embedding_scores(evaluator: Evaluator, images: Images) -> Scores:
    """Raises UserError if the training digits are not available or the embeddings are too wide."""
    functions = evaluator.once("fitted embedding scores", lambda: _fit_embedding_scores(evaluator))
    embeddings = _embeddings(evaluator, images)
    return {name: functions[name](embeddings).double().numpy() for name in EMBEDDING_SCORES}


def _fit_embedding_scores(evaluator: Evaluator) -> dict[str, Callable[[Tensor], Tensor]]:
    digits = evaluator.run_split("train")
    if len(digits) >= NUM_TRAINING_DIGITS + len(digits.class_names):  # at least one of each class is left over
        digits = stratified_sample(digits, NUM_TRAINING_DIGITS)
    width = _embeddings(evaluator, digits.images[:1]).shape[1]
    if width > MAX_WIDTH:
        raise UserError(f"the embeddings have {width:,} values per digit: these scores allow up to {MAX_WIDTH:,}")
    embeddings = _embeddings(evaluator, digits.images)
    return {"mahalanobis": MahalanobisScore(embeddings, digits.labels), "knn": NearestNeighbourScore(embeddings)}


def _embeddings(evaluator: Evaluator, images: Images) -> Float[Tensor, "n width"]:
    return penultimate_vectors(evaluator.model, images.to(evaluator.device)).cpu()


METRICS = [
    Metric(f"ood_{images}_{score}{ending}", f"{kind}: {name}, {label}", 1,
           "Out-of-distribution detection", partial(compute, images=images, score=score))
    for images, (kind, _) in OOD_IMAGES.items()
    for score, label in SCORE_LABELS.items()
    for ending, name, compute in (("", "AUROC", auroc), ("_fpr95", "FPR95", fpr95))
]  # fmt: skip
