"""Predictions: their order by confidence, and their file."""

import math

import numpy as np
import pytest

from utils.errors import UserError
from utils.predictions import Predictions, load_predictions


def predictions_of(confidences, predicted, labels):
    """Predictions with this confidence in the predicted class; the other classes share the rest evenly."""
    logits = np.zeros((len(labels), 10), np.float32)
    for row, confidence, label in zip(logits, confidences, predicted, strict=True):
        row[:] = math.log((1 - confidence) / 9)
        row[label] = math.log(confidence)
    return Predictions(logits, np.array(labels))


SMALL = predictions_of([0.6, 0.9, 0.8, 0.7], [5, 6, 1, 2], [0, 1, 1, 2])


def test_mistakes_and_correct_predictions_are_ordered_by_confidence():
    assert SMALL.worst_mistakes(5).tolist() == [1, 0]
    assert SMALL.least_confident_correct(5).tolist() == [3, 2]
    assert SMALL.worst_mistakes(1).tolist() == [1]
    assert SMALL.accuracy == 0.5 and SMALL.confidence == pytest.approx([0.6, 0.9, 0.8, 0.7])


def test_saved_predictions_are_loaded_unchanged(tmp_path):
    SMALL.save(tmp_path / "x.npz")
    loaded = load_predictions(tmp_path / "x.npz")
    assert np.array_equal(loaded.logits, SMALL.logits) and np.array_equal(loaded.labels, SMALL.labels)


@pytest.mark.parametrize(
    "damage", ["missing", "garbage", "truncated", "other arrays", "pickle", "shape", "nan", "label"]
)
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "x.npz"
    logits, labels = SMALL.logits, SMALL.labels
    if damage == "garbage":
        path.write_bytes(b"no archive")
    elif damage == "truncated":
        SMALL.save(path)
        path.write_bytes(path.read_bytes()[:-60])
    elif damage == "other arrays":
        np.savez(path, a=logits)
    elif damage == "pickle":
        np.savez(path, logits=np.array([{"a": 1}], dtype=object), labels=labels)
    elif damage == "shape":
        np.savez(path, logits=logits[:, 0], labels=labels)
    elif damage == "nan":
        np.savez(path, logits=logits * np.nan, labels=labels)
    elif damage == "label":
        np.savez(path, logits=logits, labels=labels + 10)
    with pytest.raises(UserError, match=r"x\.npz"):
        load_predictions(path)
