"""Run folders: names that stay in runs/, rows that survive a kill, runs found again."""

import dataclasses

import pytest

from utils.errors import UserError
from utils.run_folder import EpochMetrics, RunFolder, best_row

ROW = EpochMetrics(1, 10, 0.1, 0.5, 0.8, 0.4, 0.85, 1.5, 2.0, 500.0)


def row(epoch, **changes):
    return dataclasses.replace(ROW, epoch=epoch, **changes)


def test_named_after_model_time_and_seed(home):
    run = RunFolder.create(None, "C(16,3)-P2-FC10", 7)
    assert run.path.parent == home / "runs"
    assert run.path.name.startswith("C_16_3_P2_FC10-20") and run.path.name.endswith("-s7")


@pytest.mark.parametrize(
    "name", ["../x", "/tmp/x", "a/b", "..", ".", ".hidden", "", "a\\b", "a b", "x" * 151, "-flag", "a\n", "é"]
)
def test_names_that_leave_runs_are_refused(home, name):
    with pytest.raises(UserError, match="plain folder name"):
        RunFolder.create(name, "linear", 0)
    assert not list(home.glob("**/checkpoints"))


def test_existing_run_is_never_overwritten():
    run = RunFolder.create("mine", "linear", 0)
    (run.path / "summary.json").write_text("precious")
    with pytest.raises(UserError, match="never overwritten"):
        RunFolder.create("mine", "linear", 0)
    assert (run.path / "summary.json").read_text() == "precious"


def test_rows_round_trip_and_a_cut_off_line_is_left_out():
    run = RunFolder.create("mine", "linear", 0)
    run.append_row(row(1))
    run.append_row(row(2))
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "ste')
    assert run.rows() == [row(1), row(2)]
    assert run.keep_rows(1) == [row(1)] == run.rows()
    with pytest.raises(UserError, match="1 rows"):
        run.keep_rows(2)


def test_damaged_rows_and_files_are_named():
    run = RunFolder.create("mine", "linear", 0)
    (run.path / "metrics.jsonl").write_text("nonsense\n")
    with pytest.raises(UserError, match=r"metrics.jsonl is damaged"):
        run.rows()
    (run.path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config.json is damaged"):
        run.read_json("config.json")
    with pytest.raises(UserError, match=r"summary.json is missing"):
        run.read_json("summary.json")


def test_found_by_path_or_name(home, monkeypatch):
    run = RunFolder.create("mine", "linear", 0)
    run.write_json("config.json", {"model": "linear"})
    assert RunFolder.find("mine") == run
    assert RunFolder.find(str(run.path)) == run
    monkeypatch.chdir(home)
    assert RunFolder.find("runs/mine").path.samefile(run.path)
    for name in ("other", "x" * 5000, "nul\0byte", ""):
        with pytest.raises(UserError, match="newest of 1 runs are mine"):
            RunFolder.find(name)


def test_best_row_breaks_ties_by_loss_then_by_age():
    rows = [row(1, val_accuracy=0.9), row(2, val_accuracy=0.95, val_loss=0.3), row(3, val_accuracy=0.95, val_loss=0.2)]
    assert best_row(rows).epoch == 3
    assert best_row([*rows, row(4, val_accuracy=0.95, val_loss=0.2)]).epoch == 3
