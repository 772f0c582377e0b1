"""Run folders: names that stay in runs/, metrics that survive a kill, damaged files, runs of version 1."""

import json
import shutil
from dataclasses import asdict, replace

import pytest

from utils.errors import UserError
from utils.recipe import Execution, Recipe
from utils.run import EpochMetrics, Run, RunSummary, runs_by_recipe, selected_epoch

METRICS = EpochMetrics(1, 10, 0.1, 0.5, 0.8, 0.4, 0.85, 1.5, 2.0, 500.0)
SUMMARY = RunSummary("linear", 7850, 0, "cpu", "fp32", 3, 2, 0.9, 0.9, 0.91, 0.3, 910, 5.0, 6.0)
RECIPE = Recipe("linear", num_epochs=3)


TWICE = json.dumps({name: value for name, value in asdict(METRICS).items() if value is not None}) + "\n"


def epoch(number, **changes):
    return replace(METRICS, epoch=number, **changes)


def finished_run(name, recipe=RECIPE):
    run = Run.create(name, recipe, {})
    run.append_metrics(METRICS)
    run.write_summary(replace(SUMMARY, model=recipe.model, seed=recipe.seed))
    return run


def test_default_name_has_model_time_and_seed(home):
    run = Run.create(None, Recipe("C(16,3)-P2-FC10", seed=7), {})
    assert run.path.parent == home / "runs"
    assert run.name.startswith("C_16_3_P2_FC10-20") and run.name.endswith("-s7")
    assert Run.create(None, Recipe("C(16,3)-P2-FC10", seed=7), {}).name != run.name  # in the same second


@pytest.mark.parametrize(
    "name", ["../x", "/tmp/x", "a/b", "..", ".", ".hidden", "", "a\\b", "a b", "x" * 151, "-flag", "a\n", "é"]
)
def test_names_that_leave_runs_are_refused(home, name):
    with pytest.raises(UserError, match="plain folder name"):
        Run.create(name, RECIPE, {})
    assert not list(home.glob("**/checkpoints"))


def test_an_existing_run_is_never_overwritten():
    run = finished_run("mine")
    with pytest.raises(UserError, match="never overwritten"):
        Run.create("mine", RECIPE, {})
    assert run.summary.test_accuracy == 0.91


def test_recipe_environment_and_summary_round_trip():
    run = Run.create(
        "mine", RECIPE, {"python": "3.11", "execution": {**asdict(Execution(threads=2)), "num_together": 8}}
    )
    read = Run(run.path)
    assert read.recipe == RECIPE and read.environment["python"] == "3.11"
    assert read.execution == Execution(threads=2)
    assert not read.is_finished
    run.write_summary(SUMMARY)
    assert read.is_finished and read.summary == SUMMARY


def test_metrics_round_trip_and_an_incomplete_last_line_is_ignored():
    run = Run.create("mine", RECIPE, {})
    run.append_metrics(epoch(1))
    run.append_metrics(epoch(2, median_train_loss=0.1))
    assert run.keep_metrics(2) == run.metrics
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "ste')
    assert run.metrics == [epoch(1), epoch(2, median_train_loss=0.1)]
    assert run.keep_metrics(1) == [epoch(1)] == run.metrics
    with pytest.raises(UserError, match="1 epochs"):
        run.keep_metrics(2)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metrics.jsonl", "nonsense\n"),
        ("metrics.jsonl", '{"epoch": 1}\n'),
        ("metrics.jsonl", f"{TWICE}{TWICE}"),
        ("metrics.jsonl", TWICE.replace('"epoch": 1', '"epoch": 2')),
        ("config.json", "{"),
        ("config.json", '{"optimizer": "lion"}'),
        ("summary.json", "[]"),
        ("summary.json", '{"model": "linear"}'),
    ],
)
def test_damaged_files_are_named_and_do_not_hide_other_runs(file, content):
    finished_run("good")
    run = finished_run("bad")
    (run.path / file).write_text(content)
    bad = Run(run.path)
    with pytest.raises(UserError, match=f"{file} is damaged"):
        _ = bad.metrics, bad.recipe, bad.summary
    assert bad.problem.startswith(f"damaged: {file}")
    assert [run.name for run in Run.finished()] == ["good"]
    groups, _ = runs_by_recipe(Run.all())
    assert [[run.name for run in group] for group in groups] == [["good"]]


@pytest.mark.parametrize("name", ["checkpoints/best.pt", "predictions/test.npz", "predictions/validation.npz"])
@pytest.mark.parametrize("num_bytes", [0, 300])
def test_files_that_are_cut_off_make_a_run_damaged(copied_run, name, num_bytes):
    assert Run(copied_run).problem == ""
    content = (copied_run / name).read_bytes()
    (copied_run / name).write_bytes(content[:num_bytes])
    assert Run(copied_run).problem.startswith(f"damaged: {name}: it is empty, cut off")


def test_a_new_run_appears_when_its_config_is_written(home):
    with pytest.raises(ValueError, match="JSON compliant"):
        Run.create("mine", RECIPE, {"time": float("nan")})
    assert not (home / "runs" / "mine").exists() and not list((home / "runs").glob(".new/*"))
    with Run.staged("mine", RECIPE, {}) as run:
        assert run.name == "mine" and run.recipe == RECIPE and not Run.all()
    assert [run.name for run in Run.all()] == ["mine"]


def test_a_folder_that_is_no_run_is_not_called_one(home):
    (home / "runs" / "mine" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match=r"is not a run: it has no config.json") as error:
        Run.create("mine", RECIPE, {})
    assert "--resume" not in str(error.value)


def test_a_deleted_folder_is_not_written_to(home):
    run = Run.create("mine", RECIPE, {})
    shutil.rmtree(run.path)
    with pytest.raises(UserError, match="runs/mine was deleted or moved while it was being trained"):
        run.append_metrics(METRICS)
    assert not run.path.exists()


def test_missing_files_are_named():
    run = Run.create("mine", RECIPE, {})
    with pytest.raises(UserError, match=r"summary.json is missing"):
        _ = run.summary
    with pytest.raises(UserError, match=r"test.npz is missing"):
        run.predictions("test")
    assert run.problem == "unfinished, 0 of 3 epochs"


def test_runs_are_found_by_path_or_name(home, monkeypatch):
    run = Run.create("mine", RECIPE, {})
    assert Run.find("mine") == run
    assert Run.find(str(run.path)) == run
    monkeypatch.chdir(home)
    assert Run.find("runs/mine").path.samefile(run.path)
    for name in ("other", "x" * 5000, "nul\0byte", ""):
        with pytest.raises(UserError, match="the newest runs: mine"):
            Run.find(name)


def test_finished_runs_are_in_the_order_of_their_age():
    with pytest.raises(UserError, match="no finished run"):
        Run.finished()
    finished_run("first")
    finished_run("a-second")
    Run.create("unfinished", RECIPE, {})
    assert [run.name for run in Run.finished()] == ["first", "a-second"]


def test_runs_are_grouped_by_recipe_and_repeated_seeds_superseded():
    for name, recipe in (("b", RECIPE.with_seed(1)), ("a", RECIPE), ("other", Recipe("FC10")), ("again", RECIPE)):
        finished_run(name, recipe)
    groups, superseded = runs_by_recipe(Run.all())
    assert [[run.name for run in group] for group in groups] == [["again", "b"], ["other"]]
    assert [run.name for run in superseded] == ["a"]


def test_best_epoch_has_ties_broken_by_loss_then_by_age():
    metrics = [
        epoch(1, val_accuracy=0.9),
        epoch(2, val_accuracy=0.95, val_loss=0.3),
        epoch(3, val_accuracy=0.95, val_loss=0.2),
        epoch(4, val_accuracy=0.95, val_loss=0.2),
    ]
    assert selected_epoch(metrics, "best").epoch == 3
    assert selected_epoch(metrics, "last").epoch == 4


def test_a_run_of_version_1_can_be_read(home):
    folder = home / "runs" / "old"
    folder.mkdir(parents=True)
    train = {"dataset": "digits", "seed": 4, "judged_epoch": "last", "device": "cpu", "precision": "fp32"}
    (folder / "config.json").write_text(json.dumps({"model": "linear", "train": train}))
    (folder / "environment.json").write_text(json.dumps({"num_threads": 1, "device": "AMD EPYC, 1 threads"}))
    (folder / "metrics.jsonl").write_text(
        json.dumps({k: v for k, v in asdict(METRICS).items() if v is not None}) + "\n"
    )
    (folder / "summary.json").write_text(json.dumps(asdict(SUMMARY)))
    run = Run.find("old")
    assert run.recipe == Recipe("linear", "digits", seed=4, checkpoint="last")
    assert run.execution == Execution(device="cpu", precision="fp32", threads=1)
    assert run.metrics == [METRICS] and run.summary == SUMMARY and run.problem == ""


def test_a_summary_takes_its_fields_out_of_all_values():
    values = {**asdict(SUMMARY), **RECIPE.to_json(), "test_num_digits": 1000}
    assert RunSummary.from_values(values) == SUMMARY
    with pytest.raises(TypeError, match="test_loss"):
        RunSummary.from_values({**values, "test_loss": "low"})
