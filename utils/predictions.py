"""The predictions of a network for a data set, as stored in predictions/test.npz."""

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.special import softmax

from utils.errors import UserError
from utils.files import shown, write_whole
from utils.outside import DamagedFile, read_arrays


@dataclass(frozen=True)
class Predictions:
    """Logits and labels of all images, in the order of the data set."""

    logits: Float32[np.ndarray, "n classes"]
    labels: Int64[np.ndarray, " n"]
    writers: Int64[np.ndarray, " n"] | None = None
    """The id of the writer of each image, if known."""

    @cached_property
    def probabilities(self) -> Float64[np.ndarray, "n classes"]:
        """Softmax of the logits."""
        probabilities: Float64[np.ndarray, "n classes"] = softmax(self.logits.astype(np.float64), axis=1)
        return probabilities

    @cached_property
    def predicted(self) -> Int64[np.ndarray, " n"]:
        return self.logits.argmax(axis=1)

    @cached_property
    def confidence(self) -> Float64[np.ndarray, " n"]:
        """The probability of the predicted class."""
        return self.probabilities.max(axis=1)

    @cached_property
    def is_correct(self) -> np.ndarray:
        return self.predicted == self.labels

    @property
    def accuracy(self) -> float:
        """The fraction of correct predictions."""
        return int(self.is_correct.sum()) / len(self.labels)

    def worst_mistakes(self, count: int) -> Int64[np.ndarray, " m"]:
        """Indices of at most `count` wrong predictions, the most confident first."""
        wrong = np.flatnonzero(~self.is_correct)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")][:count]

    def least_confident_correct(self, count: int) -> Int64[np.ndarray, " m"]:
        """Indices of at most `count` correct predictions, the least confident first."""
        right = np.flatnonzero(self.is_correct)
        return right[np.argsort(self.confidence[right], kind="stable")][:count]

    def save(self, path: Path) -> None:
        """Writes `logits`, `labels` and, if known, `writers` as npz."""
        content = io.BytesIO()
        arrays: dict[str, Any] = {"logits": self.logits, "labels": self.labels}
        if self.writers is not None:
            arrays["writers"] = self.writers
        np.savez_compressed(content, **arrays)
        write_whole(path, content.getvalue())


def load_predictions(path: Path) -> Predictions:
    """Reads the file that `save` wrote. Raises UserError if it is missing, damaged or in another format."""
    try:
        arrays = read_arrays(path, ("logits", "labels", "writers"))
        logits, labels, writers = arrays["logits"], arrays["labels"], arrays.get("writers")
    except FileNotFoundError:
        raise UserError(f"{shown(path)} is missing: the run is unfinished") from None
    except (DamagedFile, KeyError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{shown(path)} is damaged, or not a file of predictions: {reason}") from None
    fits = logits.ndim == 2 and labels.shape == (len(logits),) and len(labels) and labels.dtype.kind in "iu"
    fits = fits and (writers is None or (writers.shape == labels.shape and writers.dtype.kind in "iu"))
    fits = fits and (np.abs(logits) < np.finfo(np.float32).max).all()
    if not fits or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise UserError(
            f"{shown(path)} is damaged: expected finite logits (n, classes) and labels (n,) from 0 to classes - 1"
        )
    writers = None if writers is None else writers.astype(np.int64)
    return Predictions(logits.astype(np.float32), labels.astype(np.int64), writers)
