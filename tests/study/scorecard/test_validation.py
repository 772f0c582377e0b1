"""The validation metrics of a search: they read validation digits only, and images of their own kinds."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from study.scorecard import METRICS
from study.scorecard.cache import cache_file
from study.scorecard.ood import OOD_IMAGES
from study.scorecard.validation import (
    NON_DIGITS,
    NUM_NON_DIGITS,
    PREFIX,
    SharedImages,
    validation_metrics,
    validation_results,
)
from tests.made_runs import make_run
from utils.data import load_dataset
from utils.data.further_corruptions import FURTHER_CORRUPTIONS, corrupt_further
from utils.data.outliers import OUTLIERS
from utils.errors import UserError
from utils.recipe import Recipe


@pytest.fixture(scope="module")
def shared(finished_run):
    return SharedImages([finished_run])


@pytest.fixture(scope="module")
def measured_home(tmp_path_factory):
    return tmp_path_factory.mktemp("validation")


@pytest.fixture(scope="module")
def results(finished_run, shared, measured_home):
    """All metrics of the linear network on the bundled digits, measured once, without any test digit."""

    def refuse(name, split):
        assert split != "test", f"{name}/test was read"
        return load_dataset(name, split)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_STUDY_HOME", str(measured_home))
        for module in ("study.scorecard.evaluator", "model_interpretation.predict", "utils.data.mnist_c"):
            patch.setattr(f"{module}.load_dataset", refuse)
        return validation_results(finished_run, shared, "cpu")


def test_the_digits_are_the_validation_digits_of_the_runs(finished_run, shared, results):
    assert shared.digits.name == "digits/validation"
    stored = finished_run.predictions("validation")
    assert np.array_equal(shared.digits.labels.numpy(), stored.labels)
    assert results["accuracy"].value == pytest.approx(stored.accuracy)


def test_accuracies_fall_under_corruptions_and_attacks(results, shared):
    values = {id_: result.value for id_, result in results.items()}
    corrupted = [values[f"corruption_{name}"] for name in FURTHER_CORRUPTIONS]
    assert values["corruptions_mean"] == pytest.approx(np.mean(corrupted))
    assert values["worst_case"] < values["shift_4px"] < values["accuracy"]
    assert values["pgd_linf_0.1"] < values["accuracy"]
    assert values["corruption_inverse"] < 0.5 < values["corruption_jpeg_compression"]
    assert results["corruption_line"].n == len(shared.digits)


def test_non_digits_are_detected_better_than_by_chance(results):
    aurocs = [result.value for id_, result in results.items() if id_.startswith("ood_") and id_.endswith("_knn")]
    assert len(aurocs) == len(NON_DIGITS) and min(aurocs) > 0.5


def test_measured_networks_are_read_from_the_cache(finished_run, shared, results, measured_home, monkeypatch):
    monkeypatch.setenv("MNIST_STUDY_HOME", str(measured_home))
    file = cache_file(finished_run)
    content = json.loads(file.read_text())
    assert all(id_.startswith(PREFIX) for id_ in content) and not set(content) & set(METRICS)
    content[f"{PREFIX}accuracy"]["value"]["value"] = 0.123
    file.write_text(json.dumps(content))
    again = validation_results(finished_run, shared, "cpu")
    assert again["accuracy"].value == 0.123 and again["nll"] == results["nll"]


def test_shared_images_are_the_corrupted_validation_digits(shared):
    assert torch.equal(shared.of("frost"), corrupt_further(shared.digits.images, "frost", seed=0))
    assert shared.of("frost") is shared.of("frost")


@pytest.mark.parametrize("kind", NON_DIGITS)
def test_non_digits_are_images_of_their_own(kind, finished_run, shared):
    images = shared.of(kind)
    assert images.dtype == torch.uint8 and images.shape[1:] == (28, 28)
    assert len(images) == NUM_NON_DIGITS or kind in ("scrambled_phases", "upside_down")  # these are made of digits
    assert images.flatten(1).double().std(1).min() > 0
    assert torch.equal(SharedImages([finished_run]).of(kind), images)


def test_no_scorecard_and_no_training_has_these_non_digits():
    assert not set(NON_DIGITS) & (set(OOD_IMAGES) | set(OUTLIERS))
    assert {is_near for is_near, _ in NON_DIGITS.values()} == {True, False}


def test_ids_and_labels_are_unique(shared):
    metrics = validation_metrics(shared)
    assert len({metric.id for metric in metrics}) == len({metric.label for metric in metrics}) == len(metrics)


def test_random_or_different_validation_digits_are_refused(finished_run):
    random = make_run("random", Recipe("linear", dataset="digits", validation="random"))
    with pytest.raises(UserError, match=r"random has random validation digits.*\nExpected .* --validation writers"):
        SharedImages([random])
    other = make_run("other", replace(finished_run.recipe, validation_size=100))
    with pytest.raises(UserError, match="different validation digits"):
        SharedImages([finished_run, other])


def test_an_unfinished_run_is_refused(finished_run, shared):
    unfinished = make_run("unfinished", finished_run.recipe)
    (unfinished.path / "summary.json").unlink()
    with pytest.raises(UserError, match="Expected a finished run"):
        validation_results(unfinished, shared, "cpu")
