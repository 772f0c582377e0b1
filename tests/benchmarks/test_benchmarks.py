"""The documents show the newest measurements, and the measurements are right."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import MNIST

from benchmarks import results, trainer_results
from benchmarks.epoch_speed import flops_per_epoch
from benchmarks.peers import raw_folder, training_arrays
from benchmarks.results import DOCUMENTS, finished_runs, in_a_process, read, runs_to_throw_away, spread, with_tables
from utils.errors import UserError
from utils.files import PROJECT_FOLDER, runs_folder
from utils.recipe import Recipe

SCRIPTS = sorted(path.stem for path in (PROJECT_FOLDER / "benchmarks").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_documents_show_the_newest_results(document):
    assert with_tables(document.read_text()) == document.read_text()


def test_a_changed_digit_in_a_document_or_in_the_data_is_noticed(tmp_path, monkeypatch):
    document = (PROJECT_FOLDER / "benchmarks" / "README.md").read_text()
    start = document.index("<!-- table trainer_results -->")
    table = document[start : document.index("<!-- end -->", start) + len("<!-- end -->")]
    digits = [place for place, character in enumerate(table) if character.isdigit()]
    assert len(digits) > 100
    for place in digits[:: len(digits) // 10]:
        changed = f"{table[:place]}{(int(table[place]) + 1) % 10}{table[place + 1 :]}"
        assert with_tables(changed) == table != changed
    values = read("trainer_results")
    values["rows"][0]["test_accuracy"] += 0.001
    (tmp_path / "trainer_results.json").write_text(json.dumps(values))
    monkeypatch.setattr(results, "OUTPUT", tmp_path)
    assert with_tables(table) != table


def test_the_table_of_recipes_says_how_the_validation_digits_were_chosen():
    row = {"recipe": "linear", "num_parameters": 7850, "num_epochs_run": [20, 20], "num_seeds": 2, "date": "2026-11-20"}
    row |= {
        f"{field}{end}": 0.5
        for field in ("test_accuracy", "train_seconds", "total_seconds")
        for end in ("", "_interval")
    }
    rows = [{**row, "validation": validation} for validation in ("random", "writers")]
    lines = trainer_results.markdown({"rows": rows}).splitlines()
    assert " | 2 | random | " in lines[2] and " | 2 | by other writers | " in lines[3]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_benchmark_can_be_imported(script):
    module = importlib.import_module(f"benchmarks.{script}")
    assert script == "results" or callable(module.main)


def test_table_without_measurement_names_the_missing_file():
    with pytest.raises(UserError, match=r"no_such.json is missing: run the benchmark"):
        with_tables("<!-- table no_such -->\n<!-- end -->")


def test_flops_by_hand():
    forward = 784 * 128 + 128 * 64 + 64 * 10  # multiply-add operations of one image
    # Backward: the gradient of every weight, and of every input except the pixels.
    backward = forward + 128 * 64 + 64 * 10
    assert flops_per_epoch("standard_fc") == 2 * (forward + backward) * 60_000


def test_spread_is_median_and_range():
    assert spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"


def test_finished_runs_trains_only_what_is_missing():
    recipe = Recipe("linear", dataset="digits", num_epochs=1)
    first = finished_runs(recipe, "one", [0])
    both = finished_runs(recipe, "one", [0, 1])
    assert [run.name for run in both] == ["one-s0", "one-s1"] and [run.recipe.seed for run in both] == [0, 1]
    assert both[0].environment == first[0].environment
    with pytest.raises(UserError, match=r"one-s0 has another recipe: batch_size is 64, not 32"):
        finished_runs(replace(recipe, batch_size=32), "one", [0])


def test_runs_to_throw_away_are_removed(home):
    with runs_to_throw_away():
        (run,) = finished_runs(Recipe("linear", dataset="digits", num_epochs=1), "one", [0])
        assert run.is_finished and not run.path.is_relative_to(home)
    assert not run.path.exists() and runs_folder() == home / "runs"


def test_missing_package_differs_from_a_failure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lonely.py").write_text("import no_such_package")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        in_a_process("lonely")
    with pytest.raises(RuntimeError, match="failed"):
        in_a_process("benchmarks.peers", "bare_loop", "unknown network")


@pytest.mark.real_mnist
def test_data_of_the_peers(real_mirror):
    images, labels = training_arrays()
    assert images.shape == (60_000, 1, 28, 28) and images.dtype == np.float32 and labels.shape == (60_000,)
    assert abs(images.mean()) < 0.01 and abs(images.std() - 1) < 0.01
    assert len(MNIST(str(raw_folder()))) == 60_000


@pytest.mark.real_mnist
def test_a_peer_reports_an_epoch_and_its_memory(real_mirror, home):
    (home / "data").mkdir()
    measured = in_a_process("benchmarks.peers", "platform", "fc", "--epochs", "1")
    assert len(measured["epoch_seconds"]) == 1 and measured["epoch_seconds"][0] > 0
    assert 10**8 < measured["peak_bytes"] < 10**10
