"""Metrics on validation digits, for the search of recipes. MNIST-C, the other data sets, the out-of-distribution images
of the scorecard and the strong attack stay unseen until the recipe is fixed.

`validation_results(run, shared)` measures them. Where the scorecard and the search share a condition (moves, papers,
pens), the scorecard's own function runs on validation digits. The corruptions are the further ones of MNIST-C's
generator. The images of no class are of kinds that are in no scorecard and that no recipe may train on.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path

import matplotlib
import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from model_interpretation.predict import load_shared_split
from models import load_trained
from study.scorecard import calibration, spatial
from study.scorecard.adversarial import ATTACKS, correct_under_attack
from study.scorecard.cache import ScorecardCache, cache_file
from study.scorecard.conditions import condition_accuracy
from study.scorecard.evaluator import Evaluator, Metric, MetricResult, fraction_result
from study.scorecard.ood import LOGIT_SCORES, SCORE_LABELS, embedding_scores, logit_scores
from study.scorecard.scorecards import check_is_measurable
from study.scorecard.test_set import accuracy
from utils.data import ImageSet
from utils.data.batches import to_pixels
from utils.data.digit_preprocessing import to_mnist_form
from utils.data.further_corruptions import FURTHER_CORRUPTIONS, corrupt_further
from utils.data.splits import stratified_sample
from utils.errors import UserError
from utils.run import Run
from utils.runtime import choose_device
from utils.statistics import cluster_bootstrap, percentile_interval

VERSION = 1  # increase it with every change of a condition
PREFIX = "validation_"  # of the ids, in the cache of scorecards
SEED = 0
NUM_SHIFTED, NUM_WORST = 500, 300  # digits of the metrics with 81 shifts and with 775 moves
NUM_ATTACKED = 500
RADIUS = 0.1  # of the attack, l-infinity
NUM_NON_DIGITS = 1000  # of each kind
CONDITIONS = ("grey_paper", "low_contrast", "thin_strokes", "occluded")  # inverted is a further corruption

Images = UInt8[Tensor, "n 28 28"]


class SharedImages:
    """The validation digits of several runs, and the images that are made of them once for all networks."""

    def __init__(self, runs: Sequence[Run]) -> None:
        """Raises UserError if the runs have different validation digits, or digits that other networks train on."""
        for run in runs:
            if run.recipe.validation != "writers":
                raise UserError(
                    f"{run.name} has random validation digits, which other networks have been trained on.\n"
                    "Expected runs of recipes with --validation writers, which is the default."
                )
        self.digits = load_shared_split(runs, "validation")
        self._images: dict[str, Images] = {}

    def of(self, name: str) -> Images:
        """The validation digits under a further corruption, or the images of a kind of non-digits."""
        if name not in self._images:
            if name in FURTHER_CORRUPTIONS:
                self._images[name] = corrupt_further(self.digits.images, name, SEED)
            else:
                self._images[name] = NON_DIGITS[name][1](self.digits, torch.Generator().manual_seed(SEED))
        return self._images[name]


class ValidationEvaluator(Evaluator):
    """An evaluator whose test set is the validation set."""

    def __init__(self, model: nn.Module, device: torch.device, run: Run, shared: SharedImages) -> None:
        super().__init__(model, device, run)
        self.shared = shared

    @cached_property
    def test_set(self) -> ImageSet:
        return self.shared.digits

    def sample(self, count: int) -> ImageSet:
        """As of the scorecard; all digits if there are fewer."""
        return self.once(("sample", count), lambda: stratified_sample(self.test_set, min(count, len(self.test_set))))


# Metrics.


def corruption_accuracy(evaluator: Evaluator, shared: SharedImages, name: str) -> MetricResult:
    """Accuracy on all validation digits under one further corruption."""
    return fraction_result(_correct_under(evaluator, shared, name), shared.digits.writers)


def corruptions_mean(evaluator: Evaluator, shared: SharedImages) -> MetricResult:
    """The mean of the accuracies under all further corruptions, with the bootstrap interval over writers."""
    is_correct = np.stack([_correct_under(evaluator, shared, name) for name in FURTHER_CORRUPTIONS])
    writers = shared.digits.writers
    draws = cluster_bootstrap(is_correct, None if writers is None else writers.numpy())
    return MetricResult(float(is_correct.mean()), *percentile_interval(draws.mean(1)), len(shared.digits))


def _correct_under(evaluator: Evaluator, shared: SharedImages, name: str) -> np.ndarray:
    digits = replace(shared.digits, name=name, images=shared.of(name))
    return evaluator.once(("further corruption", name), lambda: evaluator.is_correct(digits))


def pgd_accuracy(evaluator: Evaluator) -> MetricResult:
    """Accuracy after twenty steps of PGD on two losses, with changes of at most 0.1 per pixel. Higher than under the
    strong attack, and a hundred times cheaper."""
    digits = evaluator.sample(NUM_ATTACKED).to(evaluator.device)
    attack = replace(ATTACKS["pgd_linf"], radii=(RADIUS,))
    is_correct = correct_under_attack(evaluator.model, attack, to_pixels(digits.images), digits.labels)
    return fraction_result(is_correct[1], digits.writers)


def non_digits_auroc(evaluator: Evaluator, shared: SharedImages, kind: str, score: str) -> MetricResult:
    """AUROC of a score for validation digits against one kind of non-digits."""
    compute = logit_scores if score in LOGIT_SCORES else embedding_scores

    def scores_of(name: str, images: Images) -> np.ndarray:
        return evaluator.once((compute.__name__, name), lambda: compute(evaluator, images))[score]

    digits, others = scores_of("digits", shared.digits.images), scores_of(kind, shared.of(kind))
    is_digit = np.repeat([True, False], [len(digits), len(others)])
    return MetricResult(float(roc_auc_score(is_digit, np.r_[digits, others])), n=len(others))


def validation_metrics(shared: SharedImages) -> list[Metric]:
    """The metrics of the search, for a `ValidationEvaluator` with the same images."""
    moved = {
        "shift_4px": ("shifted by up to 4 px", partial(spatial.shift_accuracy, count=NUM_SHIFTED)),
        "rotation_40": ("rotated by ±40 degrees", partial(spatial.rotation_accuracy, degrees=40)),
        "scale_0.7": ("scaled by 0.7", partial(spatial.scale_accuracy, scale=0.7)),
        "scale_1.3": ("scaled by 1.3", partial(spatial.scale_accuracy, scale=1.3)),
        "worst_case": ("worst of 775 moves", partial(spatial.spatial_worst_case, count=NUM_WORST)),
    }
    computed: dict[str, tuple[str, Callable[[Evaluator], MetricResult]]] = {
        "accuracy": ("clean", accuracy),
        "ece": ("expected calibration error", calibration.ece),
        "nll": ("negative log-likelihood, nats", calibration.nll),
        **moved,
        **{name: (name.replace("_", " "), partial(condition_accuracy, name=name)) for name in CONDITIONS},
        "corruptions_mean": ("mean over the further corruptions", partial(corruptions_mean, shared=shared)),
        **{
            f"corruption_{name}": (name.replace("_", " "), partial(corruption_accuracy, shared=shared, name=name))
            for name in FURTHER_CORRUPTIONS
        },
        f"pgd_linf_{RADIUS}": (f"PGD, l-infinity {RADIUS}", pgd_accuracy),
        **{
            f"ood_{kind}_{score}": (
                f"{kind.replace('_', ' ')}: AUROC, {SCORE_LABELS[score]}",
                partial(non_digits_auroc, shared=shared, kind=kind, score=score),
            )
            for kind in NON_DIGITS
            for score in SCORE_LABELS
        },
    }
    return [
        Metric(f"{PREFIX}{id_}", label, VERSION, "Validation", compute) for id_, (label, compute) in computed.items()
    ]


def validation_results(run: Run, shared: SharedImages, device: str = "auto") -> dict[str, MetricResult]:
    """All metrics of the search by id, measured or from the cache of the run's scorecard. Raises UserError for a run
    that is unfinished, damaged or not of digits."""
    check_is_measurable(run)
    metrics = validation_metrics(shared)
    cache = ScorecardCache(cache_file(run))
    due = [metric for metric in metrics if cache.is_due(metric)]
    if due:
        chosen_device = choose_device(device)
        evaluator = ValidationEvaluator(load_trained(run, chosen_device), chosen_device, run, shared)
        for metric in due:
            started = time.perf_counter()
            cache.put(metric, asdict(metric.measure(evaluator)), time.perf_counter() - started)
    entries = {metric.id.removeprefix(PREFIX): cache.entries[metric.id] for metric in metrics}
    return {id_: MetricResult(**entry.value) for id_, entry in entries.items()}


# Kinds of non-digits, from the validation digits and a generator.

SAFE_LETTERS = "AEFHKMNPRVWXadefhkmnrtuvwx#&%+=*@"  # printed characters that look like no digit
FONTS = ("Sans", "Sans-Bold", "Sans-Oblique", "SansMono", "Serif", "Serif-Bold", "Serif-Italic")  # of DejaVu
FONT_SIZE = 48  # pixels, before the character is brought to MNIST's form
PEN_WIDTH = 10  # pixels, at four times the resolution
NUM_PEN_STROKES = 6
NO_DIGIT_UPSIDE_DOWN = (3, 4, 7)


def gratings(_digits: ImageSet, generator: torch.Generator) -> Images:
    """Sine waves of 3 to 14 pixels, of any direction, between two grey levels that differ by at least a fifth."""
    angles, lengths, phases, low, high = torch.rand(5, NUM_NON_DIGITS, 1, 1, generator=generator)
    places = torch.arange(28.0)
    along = places * torch.cos(math.pi * angles) + places[:, None] * torch.sin(math.pi * angles)
    waves = (torch.sin(2 * math.pi * (along / (3 + 11 * lengths) + phases)) + 1) / 2
    contrasts = 0.2 + 0.8 * (1 - low) * high
    return (255 * (0.8 * low + contrasts * waves)).round().byte()


def scrambled_phases(digits: ImageSet, generator: torch.Generator) -> Images:
    """Textures with the amplitude spectrum of a digit and random phases."""
    images = digits.images[:NUM_NON_DIGITS].float()
    phases = torch.fft.fft2(torch.randn(images.shape, generator=generator)).sgn()
    return torch.fft.ifft2(torch.fft.fft2(images).abs() * phases).real.round().clamp(0, 255).byte()


def shapes(_digits: ImageSet, generator: torch.Generator) -> Images:
    """Filled ellipses, rectangles and triangles, white on black, 12 to 20 pixels long and wide."""
    pictures = []
    for number in range(NUM_NON_DIGITS):
        picture = Image.new("L", (112, 112))
        draw = ImageDraw.Draw(picture)
        width, height = (int(side) for side in torch.randint(48, 81, (2,), generator=generator))
        left, top = (112 - width) // 2, (112 - height) // 2
        box = (left, top, left + width, top + height)
        corners = [(left, top + height), (left + width, top + height), (left + width // 2, top)]
        (draw.ellipse, draw.rectangle, draw.polygon)[number % 3](corners if number % 3 == 2 else box, fill=255)
        pictures.append(picture.rotate(float(torch.rand((), generator=generator)) * 360))
    return _reduced(pictures)


def scrawls(_digits: ImageSet, generator: torch.Generator) -> Images:
    """Six straight strokes of a pen of a digit's width that join random points."""
    pictures = []
    for _ in range(NUM_NON_DIGITS):
        points = 16 + 80 * torch.rand(NUM_PEN_STROKES + 1, 2, generator=generator)
        picture = Image.new("L", (112, 112))
        ImageDraw.Draw(picture).line([tuple(point) for point in points.tolist()], 255, PEN_WIDTH, joint="curve")
        pictures.append(picture)
    return _reduced(pictures)


def printed_characters(_digits: ImageSet, generator: torch.Generator) -> Images:
    """Letters and signs that look like no digit, of seven fonts, in MNIST's form."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = [ImageFont.truetype(str(folder / f"DejaVu{name}.ttf"), FONT_SIZE) for name in FONTS]
    chosen = torch.randint(0, len(fonts) * len(SAFE_LETTERS), (NUM_NON_DIGITS,), generator=generator)
    kinds, places = chosen.unique(return_inverse=True)
    pictures = []
    for kind in kinds.tolist():
        picture = Image.new("L", (96, 96))
        letter, font = SAFE_LETTERS[kind // len(fonts)], fonts[kind % len(fonts)]
        ImageDraw.Draw(picture).text((24, 12), letter, 255, font)
        pictures.append(to_mnist_form(np.asarray(picture)))
    return torch.from_numpy(np.stack(pictures))[places]


def upside_down(digits: ImageSet, _generator: torch.Generator) -> Images:
    """The digits 3, 4 and 7, turned by 180 degrees."""
    chosen = torch.isin(digits.labels, torch.tensor(NO_DIGIT_UPSIDE_DOWN)).nonzero()[:NUM_NON_DIGITS, 0]
    return digits.images[chosen].flip(1, 2)


def _reduced(pictures: Sequence[Image.Image]) -> Images:
    """A quarter of the width and height."""
    small = [np.asarray(picture.resize((28, 28), Image.Resampling.BOX)) for picture in pictures]
    return torch.from_numpy(np.stack(small))


# Kind -> whether it is near digits, and the function that makes its images.
NON_DIGITS: dict[str, tuple[bool, Callable[[ImageSet, torch.Generator], Images]]] = {
    "gratings": (False, gratings),
    "scrambled_phases": (False, scrambled_phases),
    "shapes": (False, shapes),
    "scrawls": (True, scrawls),
    "printed_characters": (True, printed_characters),
    "upside_down": (True, upside_down),
}
