"""What a metric is, what it is computed from (`Evaluator`), and what it gives: a result with a confidence interval."""

import copy
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, UInt8
from torch import Tensor, nn

from model_interpretation.predict import load_run_split
from models.registry import check_output
from utils.data import ImageSet, load_dataset
from utils.data.splits import stratified_sample
from utils.errors import UserError
from utils.evaluation import predict, predict_logits
from utils.files import home_folder
from utils.predictions import Predictions
from utils.run import Run
from utils.statistics import paired_bootstrap, share_interval

Kind = Literal["fraction", "number"]
Result = TypeVar("Result")


class Evaluator:
    """A model from pixels (N, 1, 28, 28) in [0, 1] to logits (N, 10), with the digits that evaluate it.

    Data sets are loaded and predictions are computed on first use, in fp32. Metrics that need the same predictions
    share them through `once`. Without a run, metrics that need its training or validation digits are missing.
    """

    def __init__(self, model: nn.Module, device: torch.device, run: Run | None = None) -> None:
        """Works on a copy of the model. Raises UserError if its output is not (N, 10)."""
        self.model = copy.deepcopy(model).to(device).eval().requires_grad_(False)
        self.device, self.run = device, run
        self._results: dict[Hashable, Any] = {}
        check_output(self.model)

    @cached_property
    def test_set(self) -> ImageSet:
        """The 10,000 test digits of MNIST, whatever the training set of the model."""
        return load_dataset("mnist", "test")

    @cached_property
    def test_predictions(self) -> Predictions:
        return self.predictions(self.test_set)

    def sample(self, count: int) -> ImageSet:
        """A fixed stratified sample of the test digits; MNIST's first 5,000 are easier than the others."""
        return self.once(("sample", count), lambda: stratified_sample(self.test_set, count))

    def run_split(self, split: str) -> ImageSet:
        """The `train` or `validation` digits of the run. Raises UserError if there is no run or no data."""
        if self.run is None:
            raise UserError(f"needs the {split} digits of the model's run: evaluate a run instead of a module")
        return load_run_split(self.run, split)

    def logits(self, images: UInt8[Tensor, "n 28 28"]) -> Float[Tensor, "n 10"]:
        """Logits on the CPU."""
        return predict_logits(self.model, images, self.device).cpu()

    def predictions(self, image_set: ImageSet, progress: str | None = None) -> Predictions:
        return predict(self.model, image_set, self.device, progress)

    def is_correct(self, image_set: ImageSet, progress: str | None = None) -> Bool[np.ndarray, " n"]:
        """Whether the prediction for each image is correct."""
        return self.predictions(image_set, progress).is_correct

    def once(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """The result of `compute`, which runs only for the first metric that asks for this key. A UserError is raised
        again for every later metric."""
        if key not in self._results:
            try:
                self._results[key] = compute()
            except UserError as error:
                self._results[key] = error
        if isinstance(self._results[key], UserError):
            raise self._results[key]
        return self._results[key]


def load_test_set(dataset: str) -> ImageSet:
    """The test split of a data set, with an error message that fits a missing metric."""
    try:
        return load_dataset(dataset, "test")
    except UserError as error:
        advice = f"'mnist evaluate RUN --dataset {dataset}' downloads its test images, or says how to get them"
        raise UserError(f"{dataset} is not available: {advice}") from error


@dataclass(frozen=True)
class MetricResult:
    """The value of a metric with its 95 % confidence interval."""

    value: float | None
    """None if the metric could not be measured."""
    ci_low: float | None = None
    ci_high: float | None = None
    n: int = 0
    """Number of images, or of writers."""
    kind: Kind = "fraction"
    missing: str = ""
    """Why there is no value, and how to get one."""

    def __str__(self) -> str:
        if self.value is None:
            return f"missing: {self.missing}"
        if self.ci_low is None or self.ci_high is None:
            return _text(self.value, self.kind)
        low, high = (_text(end, self.kind).rstrip(" %") for end in (self.ci_low, self.ci_high))
        return f"{_text(self.value, self.kind)} ({low} to {high})"


@dataclass(frozen=True)
class Metric:
    """A quantity that can be measured for every model."""

    id: str
    label: str
    version: int
    """To be increased when `compute` changes its results: results of other versions are measured again."""
    group: str
    """Heading above the metric in tables and pages."""
    compute: Callable[[Evaluator], MetricResult]
    input_files: Callable[[], list[str]] = list
    """Lists files that decide the result and that users may add. A change of the list makes the result outdated."""

    def measure(self, evaluator: Evaluator) -> MetricResult:
        """The result. A UserError, such as one for a data set that is not available, gives a missing result."""
        try:
            return self.compute(evaluator)
        except UserError as error:
            reason = " ".join(str(error).replace(f"{home_folder()}/", "").split())
            return MetricResult(None, missing=reason)


@dataclass(frozen=True)
class Curve:
    """Plain values that a figure shows, such as the accuracy over the angle. Versions work as for metrics."""

    id: str
    version: int
    compute: Callable[[Evaluator], Any]
    """Returns lists, dictionaries, numbers and strings: what JSON can hold."""
    input_files: Callable[[], list[str]] = list


def fraction_result(is_true: Bool[np.ndarray, " n"]) -> MetricResult:
    """The fraction of images for which something is true, with the Wilson interval."""
    count, total = int(is_true.sum()), len(is_true)
    return MetricResult(count / total, *share_interval(count, total), total)


def mean_result(values: Float64[np.ndarray, " n"]) -> MetricResult:
    """The mean of one value per image, with the bootstrap interval over images."""
    return MetricResult(float(values.mean()), *paired_bootstrap(values), len(values))


def _text(value: float, kind: Kind) -> str:
    if kind == "fraction":
        return f"{100 * value:.2f} %"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
