"""Interpretation works for two and for 26 classes, and figures have room for class names of 200 characters."""

import string

import pytest
import torch

from data_inspection.inspect_dataset import inspect_dataset
from model_interpretation.basic_interpret import interpret_run
from model_interpretation.embeddings import spread_apart
from model_interpretation.explain import explain
from model_interpretation.predict import predict_digit
from models.registry import load_trained
from trainers import Recipe, train
from utils.data.datasets import DATASETS, Dataset, ImageSet, load_dataset

LONG = "x" * 200
NUM_DIGITS = 300
NAMES = {
    "two": (f"even $_^{{ {LONG}", "odd"),
    "many": tuple(f"{letter} {LONG}" for letter in string.ascii_uppercase),
}


@pytest.fixture(params=NAMES)
def run(request, monkeypatch):
    """A trained run on the bundled digits with other classes."""
    names = NAMES[request.param]

    def load(_name, split):
        digits = load_dataset("digits", split).subset(torch.arange(NUM_DIGITS), "toy")
        labels = (digits.labels + 10 * (torch.arange(len(digits)) % 3)) % len(names)
        return ImageSet(f"toy/{split}", digits.images, labels, names)

    monkeypatch.setitem(DATASETS, "toy", Dataset("digits with other classes", load, read_class_names=lambda: names))
    return train(Recipe("linear", dataset="toy", num_epochs=1, validation_size=60), run_name="toy-run")


def test_every_picture_and_page_is_made(run, tmp_path, capsys):
    explain(run, tmp_path, index=3)
    inspect_dataset("toy", tmp_path / "inspection")
    pages = {page.parent.name for page in (tmp_path / "toy-run").glob("*/*.html")}
    assert pages == {
        "activations-test-3",
        "attribution-test-3",
        "features-logits",
        "features-logits-test-3",
        "embeddings",
    }
    predict_digit(run, 3, "test", device="cpu")
    num_classes = len(load_dataset("toy", "test").class_names)
    printed = capsys.readouterr().out
    assert len(printed[printed.rindex("the label is") :].splitlines()) == 1 + num_classes
    assert LONG not in printed


def test_metrics_and_figures_name_every_class(run, tmp_path):
    names = load_dataset("toy", "test").class_names
    metrics = interpret_run(run, load_trained(run), tmp_path, ["test"])
    assert tuple(metrics["test"]["classes"]) == names
    assert metrics["test"]["top_2_accuracy"] == 1 or len(names) > 2


def test_class_labels_of_the_map_are_spread_apart():
    places = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.51, 0.5], [0.9, 0.1]]).double().numpy()
    spread = torch.from_numpy(spread_apart(places, 0.06))
    assert torch.pdist(spread).min() > 0.05
    assert (
        torch.equal(spread[3], torch.from_numpy(places[3])) or torch.dist(spread[3], torch.from_numpy(places[3])) < 1e-3
    )
