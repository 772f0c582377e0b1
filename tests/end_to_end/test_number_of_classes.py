"""Data sets of 26 and of 2 classes train, are evaluated and are interpreted like those of ten."""

import re
from dataclasses import replace

import pytest
import torch
from helpers import write_idx

from models import build_model, load_trained
from trainers import BasicTrainer, Recipe, train
from utils.data.datasets import DATASETS, Dataset, load_dataset
from utils.errors import UserError

QUICK = ("--dataset", "emnist_letters", "--num-epochs", "1", "--validation-size", "52", "--device", "cpu")


@pytest.fixture
def letters(home, no_network):
    """EMNIST's letters as files in data/: one random image per class, with noise."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randint(0, 128, (26, 28, 28), generator=generator)
    for split, count in (("train", 520), ("test", 78)):
        labels = torch.arange(count) % 26
        images = patterns[labels] + torch.randint(0, 30, (count, 28, 28), generator=generator)
        images_file, labels_file = DATASETS["emnist_letters"].files[split][0]
        write_idx(images_file.path, images.byte())
        write_idx(labels_file.path, (labels + 1).byte())


@pytest.mark.parametrize(("model", "backend"), [("linear", "torch"), ("FC26", "numpy")])
def test_26_classes_train_are_evaluated_and_interpreted(letters, command, home, model, backend):
    code, _, error = command("train", "--model", model, "--backend", backend, *QUICK, "--run-name", "letters")
    assert code == 0, error
    code, printed, error = command("evaluate", "letters")
    assert code == 0 and "emnist_letters/test" in printed, error
    code, _, error = command("interpret", "letters")
    assert code == 0, error
    report = (home / "model_interpretation" / "output" / "letters" / "report.html").read_text()
    assert all(re.search(rf"<t[dh][^>]*>{letter}</t[dh]>", report) for letter in "abcxyz")


def test_a_model_with_other_outputs_is_refused_before_a_run_exists(command, home):
    code, _, error = command("train", "--model", "C(2,5)-FC10", *QUICK)
    assert code == 2 and "10 outputs" in error and "26 classes" in error
    assert not list((home / "runs").glob("*"))


def test_a_data_set_of_two_classes_is_one_registry_entry(monkeypatch):
    def load(name, split):
        digits = load_dataset("digits", split)
        kept = digits.subset((digits.labels < 2).nonzero()[:, 0], f"{name}/{split}")
        return replace(kept, class_names=("zero", "one"))

    two = Dataset("zeros and ones of the bundled digits", load, read_class_names=lambda: ("zero", "one"))
    monkeypatch.setitem(DATASETS, "zeros_ones", two)
    run = train(Recipe("linear", dataset="zeros_ones", num_epochs=3))
    assert run.predictions().logits.shape[1] == 2 and run.summary.test_accuracy > 0.9
    assert load_trained(run)(torch.zeros(1, 1, 28, 28)).shape == (1, 2)
    with pytest.raises(UserError, match=r"10 outputs.* 2 classes"):
        BasicTrainer(build_model("linear"), load("two", "train"), load("two", "test"))
