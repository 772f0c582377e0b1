"""What a metric is, what it is computed from (`Evaluator`), and what it gives: a result with a confidence interval."""

import copy
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, UInt8
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
from utils.statistics import paired_bootstrap, share_interval, total_interval

Z = 1.959964  # the half width of a 95 % interval in standard errors
Kind = Literal["fraction", "number"]
Result = TypeVar("Result")


class Evaluator:
    """A model from pixels (N, 1, 28, 28) in [0, 1] to logits (N, 10), and the digits on which it is evaluated.

    Data sets are loaded and predictions are computed on first use, in fp32. Metrics that need the same predictions
    share them through `once`. Metrics that need training or validation digits need the model's run.
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
        """A fixed stratified sample of the test digits. (The first 5,000 are by students, and harder than the rest.)"""
        return self.once(("sample", count), lambda: stratified_sample(self.test_set, count))

    def run_split(self, split: str) -> ImageSet:
        """The `train` or `validation` digits of the run. Raises UserError if there is no run or no data."""
        if self.run is None:
            raise UserError(f"needs the {split} digits of the model's run: evaluate a run instead of a module")
        return load_run_split(self.run, split)

    def logits(self, images: UInt8[Tensor, "n 28 28"]) -> Float[Tensor, "n classes"]:
        """Logits on the CPU."""
        return predict_logits(self.model, images, self.device).cpu()

    def predictions(self, image_set: ImageSet, progress: str | None = None) -> Predictions:
        return predict(self.model, image_set, self.device, progress)

    def is_correct(self, image_set: ImageSet, progress: str | None = None) -> Bool[np.ndarray, " n"]:
        """Whether the prediction for each image is correct."""
        return self.predictions(image_set, progress).is_correct

    def once(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """The result of `compute`, which runs once per key. A UserError is also kept, and raised every time."""
        if key not in self._results:
            try:
                self._results[key] = compute()
            except UserError as error:
                self._results[key] = error
        if isinstance(self._results[key], UserError):
            raise self._results[key]
        return self._results[key]


def load_test_set(dataset: str) -> ImageSet:
    """The test split of a data set. The error message is short, because it appears in the list of missing metrics."""
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

    @property
    def standard_error(self) -> float:
        """From the width of the interval; NaN without an interval."""
        if self.ci_low is None or self.ci_high is None:
            return math.nan
        return (self.ci_high - self.ci_low) / (2 * Z)

    def __str__(self) -> str:
        """For tables, fractions in percent: `83.07% (79.70% to 86.11%)`."""
        return self._text(".2%" if self.kind == "fraction" else ".3g")

    def __repr__(self) -> str:
        """Fractions from 0 to 1, with n: `0.8307 (0.7970 to 0.8611, n 500)`."""
        return self._text(".4f" if self.kind == "fraction" else ".3g", f"n {self.n}")

    def _text(self, number_format: str, *details: str) -> str:
        if self.value is None:
            return f"missing: {self.missing}"
        low, value, high = (format(it or 0.0, number_format) for it in (self.ci_low, self.value, self.ci_high))
        inside = ", ".join([*([] if self.ci_low is None else [f"{low} to {high}"]), *details])
        return f"{value} ({inside})" if inside else value


@dataclass(frozen=True)
class Metric:
    """A quantity that can be measured for every model."""

    id: str
    label: str
    version: int
    """Increase it with every change of the code or of a constant that changes the results: cached results of other
    versions do not count."""
    group: str
    """Heading above the metric in tables and pages."""
    compute: Callable[[Evaluator], MetricResult]
    input_files: Callable[[], list[str]] = list
    """Lists the files of users that decide the result. When the list changes, the metric is measured again."""

    def measure(self, evaluator: Evaluator) -> MetricResult:
        """The result. After a UserError, for example for a missing data set, the result has no value but the reason."""
        try:
            return self.compute(evaluator)
        except UserError as error:
            reason = " ".join(str(error).replace(f"{home_folder()}/", "").split())
            return MetricResult(None, missing=reason)


@dataclass(frozen=True)
class Curve:
    """Plain values for a figure, such as the accuracy for each angle. Versions work as for metrics."""

    id: str
    version: int
    compute: Callable[[Evaluator], Any]
    """Returns lists, dictionaries, numbers and strings, for JSON."""
    input_files: Callable[[], list[str]] = list


def fraction_result(is_true: Bool[np.ndarray, " n"], writers: Int64[Tensor, " n"] | None = None) -> MetricResult:
    """The fraction of images for which something is true. With writers the interval is `total_interval`, clustered by
    writer; without, Wilson's of independent images."""
    if writers is not None:
        return mean_result(is_true.astype(np.float64), writers)
    count, total = int(is_true.sum()), len(is_true)
    return MetricResult(count / total, *share_interval(count, total), total)


def mean_result(values: Float64[np.ndarray, " n"], writers: Int64[Tensor, " n"] | None = None) -> MetricResult:
    """The mean of one value from 0 to 1 per image. With writers the interval is `total_interval`, clustered by writer;
    without, the bootstrap interval over independent images."""
    if writers is None:
        return MetricResult(float(values.mean()), *paired_bootstrap(values), len(values))
    interval = total_interval(values[None], writers.numpy())
    return MetricResult(interval.value, interval.low, interval.high, len(values))
