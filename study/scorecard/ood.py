"""Out-of-distribution detection: how well four scores separate MNIST's test digits from images of no known class, far
from digits (clothes, hiragana, noise) and near them (parts and mixtures of digits, letters)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Int64, UInt8
from torch import Tensor

from model_interpretation.activations import penultimate_vectors
from study.scorecard.evaluator import Evaluator, Metric, MetricResult, load_test_set
from utils.data import ImageSet
from utils.data.datasets import DATASETS
from utils.data.downloads import available_files
from utils.data.pictures import picture_files, pictures_in_mnist_form
from utils.data.splits import stratified_sample
from utils.errors import UserError
from utils.ood_scores import (
    Detection,
    MahalanobisScore,
    NearestNeighbourScore,
    detection,
    energy_score,
    max_softmax,
)

NUM_TRAINING_DIGITS = 10_000  # that embeddings are compared with
NUM_IMAGES = 2000  # of each set that is made
NUM_SAMPLES = 20  # kinds of noise, and orders of pixels: a network often gives one class to all images of a kind
MAX_WIDTH = 4096  # of the embeddings: their covariance in double precision then takes 128 MiB
GRAINS = (1, 2, 4, 7)  # pixels: the sides of the squares of noise
NO_MIRROR_DIGIT = (3, 4, 6, 7, 9)  # classes whose mirror image is no digit: 0, 1 and 8 remain, 2 and 5 resemble another
LETTERS = "handwritten_letters"  # a folder in data/ or in the mirror
SEED = 0

Images = UInt8[Tensor, "n 28 28"]
Scores = dict[str, Float64[np.ndarray, " n"]]  # by the id of the score; higher is more in-distribution


@dataclass(frozen=True)
class OodImages:
    """Images of no known class."""

    images: Images
    clusters: Int[np.ndarray, " n"] | None = None
    """The cluster of each image: the writer for images made of test digits, else negative. None: each is alone."""


@dataclass(frozen=True)
class OodSet:
    """A kind of out-of-distribution images."""

    label: str
    load: Callable[[Evaluator], OodImages]
    is_near: bool = False
    is_sample: bool = True
    """False if the set holds all images of its kind, so that there is no interval."""
    input_files: Callable[[], list[str]] = list


def noise(_evaluator: Evaluator) -> OodImages:
    """Kinds of noise that differ in their grain and in their darkest and brightest grey level; 100 images of each."""
    generator = torch.Generator().manual_seed(SEED)
    count = NUM_IMAGES // NUM_SAMPLES
    kinds = []
    for number in range(NUM_SAMPLES):
        grain = GRAINS[number % len(GRAINS)]
        low, high = (torch.rand(2, generator=generator) * 255).sort().values
        coarse = low + (high - low) * torch.rand(count, 28 // grain, 28 // grain, generator=generator)
        kinds.append(coarse.repeat_interleave(grain, 1).repeat_interleave(grain, 2).round().byte())
    return OodImages(torch.cat(kinds), -1 - np.arange(NUM_SAMPLES).repeat(count))


def shuffled_pixels(evaluator: Evaluator) -> OodImages:
    """Test digits with their pixels in random order, one order for each 100 digits: as much ink, no shape."""
    images = evaluator.sample(NUM_IMAGES).images.flatten(1)
    count = NUM_IMAGES // NUM_SAMPLES
    orders = torch.rand(NUM_SAMPLES, 784, generator=torch.Generator().manual_seed(SEED)).argsort(1)
    shuffled = images.gather(1, orders.repeat_interleave(count, 0))
    return OodImages(shuffled.view(-1, 28, 28), -1 - np.arange(NUM_SAMPLES).repeat(count))


def plain_grey(_evaluator: Evaluator) -> OodImages:
    """One image of each of the 256 grey levels."""
    return OodImages(torch.arange(256, dtype=torch.uint8)[:, None, None].repeat(1, 28, 28))


def overlaid(evaluator: Evaluator) -> OodImages:
    """Two digits of different classes by one writer, one upon the other."""
    digits, first, second = digit_pairs(evaluator)
    return OodImages(torch.maximum(digits.images[first], digits.images[second]), clusters_of(digits)[first])


def joined_halves(evaluator: Evaluator) -> OodImages:
    """The left half of one digit and the right half of another of a different class by the same writer."""
    digits, first, second = digit_pairs(evaluator)
    joined = torch.cat([digits.images[first, :, :14], digits.images[second, :, 14:]], dim=2)
    return OodImages(joined, clusters_of(digits)[first])


def half_digits(evaluator: Evaluator) -> OodImages:
    """The left, right, upper or lower half of a digit, in turn."""
    digits = evaluator.sample(NUM_IMAGES)
    is_kept = torch.zeros(4, 28, 28, dtype=torch.bool)
    for kept, part in zip(is_kept, (np.s_[:, :14], np.s_[:, 14:], np.s_[:14], np.s_[14:]), strict=True):
        kept[part] = True
    return OodImages(digits.images * is_kept[torch.arange(len(digits)) % 4], clusters_of(digits))


def mirrored(evaluator: Evaluator) -> OodImages:
    """Mirror images of digits whose mirror image is no digit."""
    digits = evaluator.test_set
    chosen = torch.isin(digits.labels, torch.tensor(NO_MIRROR_DIGIT)).nonzero()[:, 0]
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(SEED))
    places = chosen[order[:NUM_IMAGES]]
    return OodImages(digits.images[places].flip(2), clusters_of(digits)[places])


def emnist_letters(_evaluator: Evaluator) -> OodImages:
    """EMNIST's test letters, if the file is there: it is half a gigabyte, so a scorecard does not download it."""
    files = available_files(*DATASETS["emnist_letters"].files["test"])
    if not all(file.path.exists() for file in files):
        raise UserError("emnist_letters is not in data/: 'mnist inspect --dataset emnist_letters' downloads it")
    return OodImages(load_test_set("emnist_letters").images)


def greek_letters(_evaluator: Evaluator) -> OodImages:
    """Pictures of letters that are no digits in any script, from a folder of the user."""
    return OodImages(pictures_in_mnist_form(LETTERS))


def digit_pairs(evaluator: Evaluator) -> tuple[ImageSet, Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """The test digits and the places of pairs of digits by one writer and of different classes."""
    digits = evaluator.test_set
    generator = np.random.default_rng(SEED)
    writers = torch.zeros(len(digits)) if digits.writers is None else digits.writers
    order = torch.from_numpy(generator.permutation(len(digits)))
    order = order[writers[order].argsort(stable=True)]
    first, second = order[:-1], order[1:]
    is_pair = (writers[first] == writers[second]) & (digits.labels[first] != digits.labels[second])
    pairs = is_pair.nonzero()[:, 0]
    chosen = pairs[torch.from_numpy(generator.permutation(len(pairs))[:NUM_IMAGES])]
    return digits, first[chosen], second[chosen]


def clusters_of(digits: ImageSet) -> Int[np.ndarray, " n"]:
    """The writers of the digits; without writers each digit is a cluster of its own."""
    return np.arange(len(digits)) if digits.writers is None else digits.writers.numpy()


OOD_IMAGES: dict[str, OodSet] = {
    "fashion_mnist": OodSet("Fashion-MNIST", lambda _: OodImages(load_test_set("fashion_mnist").images)),
    "kmnist": OodSet("KMNIST", lambda _: OodImages(load_test_set("kmnist").images)),
    "noise": OodSet("noise", noise),
    "shuffled_pixels": OodSet("shuffled pixels", shuffled_pixels),
    "blank": OodSet("plain grey", plain_grey, is_sample=False),
    "overlaid": OodSet("two digits overlaid", overlaid, is_near=True),
    "joined_halves": OodSet("halves of two digits", joined_halves, is_near=True),
    "half": OodSet("half a digit", half_digits, is_near=True),
    "mirrored": OodSet("mirrored digits", mirrored, is_near=True),
    "emnist_letters": OodSet("EMNIST letters", emnist_letters, is_near=True),
    "greek_letters": OodSet(
        "pictures of Greek letters",
        greek_letters,
        is_near=True,
        input_files=lambda: [path.name for path in picture_files(LETTERS)],
    ),
}
# The sets of each mean are available everywhere or downloaded, so that the mean of two networks is over the same sets.
MEANS = {
    "far": ("mean of Fashion-MNIST and KMNIST", ("fashion_mnist", "kmnist")),
    "near": ("mean of the four made of digits", ("overlaid", "joined_halves", "half", "mirrored")),
}
LOGIT_SCORES = {"max_softmax": max_softmax, "energy": energy_score}
EMBEDDING_SCORES = ("mahalanobis", "knn")
SCORE_LABELS = {"max_softmax": "max softmax", "energy": "energy", "mahalanobis": "Mahalanobis", "knn": "k-NN"}
MEASURE_LABELS = {"auroc": "AUROC", "aupr": "AUPR", "fpr95": "FPR95"}
TEST_DIGITS = "test digits"  # the in-distribution images


def detection_result(evaluator: Evaluator, name: str, score: str, measure: str) -> MetricResult:
    """AUROC, AUPR or FPR95 of a score for one set of images."""
    found, images = _detection(evaluator, name, score), _images(evaluator, name)
    value, low, high = found.result(measure)
    if not OOD_IMAGES[name].is_sample:
        return MetricResult(value, n=len(images.images))
    is_made_in_kinds = images.clusters is not None and images.clusters[0] < 0
    return MetricResult(value, low, high, NUM_SAMPLES if is_made_in_kinds else len(images.images))


def mean_auroc(evaluator: Evaluator, mean: str, score: str) -> MetricResult:
    """The mean AUROC of a score over several sets of images."""
    names = MEANS[mean][1]
    found = [_detection(evaluator, name, score) for name in names]
    values, resampled = (np.mean([getattr(it, field) for it in found], axis=0) for field in ("values", "resampled"))
    interval = Detection(values, resampled, min(it.num_clusters for it in found)).result("auroc")
    return MetricResult(*interval, sum(len(_images(evaluator, name).images) for name in names))


def _detection(evaluator: Evaluator, name: str, score: str) -> Detection:
    def compute() -> Detection:
        images = _images(evaluator, name)
        clusters = -1 - np.arange(len(images.images)) if images.clusters is None else images.clusters
        digits, others = (_scores(evaluator, kind, score) for kind in (TEST_DIGITS, name))
        return detection(digits, others, clusters_of(evaluator.test_set), clusters, list(OOD_IMAGES).index(name))

    return evaluator.once(("detection", name, score), compute)


def _images(evaluator: Evaluator, name: str) -> OodImages:
    return evaluator.once(("OOD images", name), lambda: OOD_IMAGES[name].load(evaluator))


def _scores(evaluator: Evaluator, name: str, score: str) -> Float64[np.ndarray, " n"]:
    """The scores of one set of images. All scores of logits are computed together, and all of embeddings."""

    def compute_all() -> Scores:
        images = evaluator.test_set.images if name == TEST_DIGITS else _images(evaluator, name).images
        return compute(evaluator, images)

    compute = logit_scores if score in LOGIT_SCORES else embedding_scores
    return evaluator.once((compute.__name__, name), compute_all)[score]


def logit_scores(evaluator: Evaluator, images: Images) -> Scores:
    logits = evaluator.logits(images).double()
    return {name: function(logits).numpy() for name, function in LOGIT_SCORES.items()}


def embedding_scores(evaluator: Evaluator, images: Images) -> Scores:
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


GROUPS = {is_near: f"Out-of-distribution detection, {'near' if is_near else 'far'}" for is_near in (False, True)}
METRICS = [
    *(
        Metric(f"ood_{mean}_{score}", f"{label}: AUROC, {SCORE_LABELS[score]}", 1, GROUPS[mean == "near"],
               partial(mean_auroc, mean=mean, score=score))
        for mean, (label, _) in MEANS.items()
        for score in SCORE_LABELS
    ),
    *(
        Metric(f"ood_{name}_{score}{'' if measure == 'auroc' else f'_{measure}'}",
               f"{kind.label}: {MEASURE_LABELS[measure]}, {SCORE_LABELS[score]}", 2, GROUPS[kind.is_near],
               partial(detection_result, name=name, score=score, measure=measure), kind.input_files)
        for name, kind in OOD_IMAGES.items()
        for score in SCORE_LABELS
        for measure in MEASURE_LABELS
    ),
]  # fmt: skip
