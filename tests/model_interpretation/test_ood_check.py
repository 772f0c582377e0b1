"""The check whether a picture is like the digits of a run: its score, its threshold and its file."""

import shutil

import numpy as np
import pytest
import torch

from model_interpretation.activations import penultimate_vectors
from model_interpretation.ood_check import FILE, MAX_FALSE_ALARMS, Stopped, compute_check, ood_check, stored_check
from model_interpretation.predict import load_run_split
from models.registry import load_trained
from study.scorecard.evaluator import Evaluator
from study.scorecard.ood import embedding_scores
from utils.errors import UserError
from utils.run import Run


@pytest.fixture
def run(copied_run):
    return Run(copied_run)


@pytest.fixture
def model(run):
    return load_trained(run)


def noise(count=20):
    return torch.randint(0, 256, (count, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def similarities(check, model, images):
    return check(penultimate_vectors(model, images))


def test_digits_pass_and_noise_does_not(run, model):
    check = ood_check(run, model)
    flagged = [it.is_out_of_distribution for it in similarities(check, model, load_run_split(run, "test").images)]
    assert sum(flagged) < 0.25 * len(flagged)  # by other writers
    assert all(it.is_out_of_distribution and it.value < it.threshold for it in similarities(check, model, noise()))


def test_at_most_one_in_twenty_validation_digits_is_below_the_threshold(run, model):
    validation = load_run_split(run, "validation").images
    flagged = [it.is_out_of_distribution for it in similarities(ood_check(run, model), model, validation)]
    assert 0 < sum(flagged) <= MAX_FALSE_ALARMS * len(flagged)


def test_the_score_is_that_of_the_scorecard(run, model):
    images = torch.cat([load_run_split(run, "test").images[:100], noise()])
    found = [it.value for it in similarities(ood_check(run, model), model, images)]
    expected = embedding_scores(Evaluator(model, torch.device("cpu"), run), images)["knn"]
    assert found == pytest.approx(expected, abs=1e-3)  # the file has half precision


def test_a_stored_check_is_read_not_computed(run, model):
    assert stored_check(run) is None
    computed = ood_check(run, model)
    written = (run.path / FILE).stat()
    images = load_run_split(run, "test").images[:10]
    assert similarities(ood_check(run, model), model, images) == similarities(computed, model, images)
    assert (run.path / FILE).stat().st_mtime_ns == written.st_mtime_ns and written.st_size < 2**24


@pytest.mark.parametrize("damage", ["cut off", "one byte", "empty", "not a zip file", "an object"])
def test_a_damaged_file_is_refused_and_computed_again(run, model, damage, capsys):
    images = load_run_split(run, "test").images[:10]
    before = similarities(ood_check(run, model), model, images)
    file = run.path / FILE
    content = file.read_bytes()
    if damage == "an object":  # NumPy would unpickle it
        np.savez(file, directions=np.array([{}]), threshold=0.5, network=np.zeros(32, np.uint8))
    else:
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        damages = {"cut off": content[: len(content) // 2], "one byte": bytes(flipped), "empty": b""}
        file.write_bytes(damages.get(damage, b"embeddings"))
    assert stored_check(run) is None
    assert f"{FILE} is not used and computed again: " in capsys.readouterr().err
    assert similarities(ood_check(run, model), model, images) == before
    assert file.read_bytes() == content


def test_a_file_of_another_network_is_refused(run, model, capsys):
    ood_check(run, model)
    other = Run(shutil.copytree(run.path, run.path.with_name("other")))
    assert stored_check(other) is not None  # the same network under another name
    with torch.no_grad():
        changed = {"epoch": 1, "model": {name: values + 0.01 for name, values in model.state_dict().items()}}
    torch.save(changed, other.best_checkpoint)
    assert stored_check(other) is None
    assert "it is of another network" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"directions": np.zeros((0, 4), np.float16)}, "other shapes"),
        ({"directions": np.zeros(4, np.float16)}, "other shapes"),
        ({"directions": np.zeros((2, 4))}, "other shapes"),
        ({"directions": np.full((2, 4), np.nan, np.float16)}, "NaN"),
        ({"threshold": np.array(np.inf)}, "NaN"),
        ({"threshold": None}, "has no threshold"),
    ],
)
def test_files_with_other_values_are_refused(run, model, changes, message, capsys):
    ood_check(run, model)
    arrays = {**np.load(run.path / FILE), **changes}
    np.savez(run.path / FILE, **{name: values for name, values in arrays.items() if values is not None})
    assert stored_check(run) is None
    assert message in capsys.readouterr().err


def test_a_file_that_cannot_be_written_costs_only_time(run, model, capsys):
    (run.path / FILE).mkdir()
    assert similarities(ood_check(run, model), model, noise(1))[0].is_out_of_distribution
    assert f"{FILE} is not stored" in capsys.readouterr().err


def test_a_network_without_embeddings_is_refused(run):
    with pytest.raises(UserError, match="has no embeddings"):
        ood_check(run, torch.nn.Sequential(torch.nn.Flatten()))


def test_a_computation_that_is_stopped_writes_nothing(run, model):
    with pytest.raises(Stopped):
        compute_check(run, model, lambda: True)
    assert not (run.path / FILE).exists()
