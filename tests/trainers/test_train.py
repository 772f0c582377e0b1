"""train, resume, train_seeds and import_weights: what they write, refuse, and repeat."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.registry import build_model, load_trained
from trainers import Execution, Recipe, resume, train, train_seeds
from trainers.generic_trainers.logging import report_run, report_seeds
from trainers.quickstart import retrain
from trainers.recipes import get_recipe
from trainers.train import DataSplits, import_weights, load_splits, repair
from utils.data import load_dataset, load_training_sets
from utils.errors import UserError
from utils.evaluation import predict
from utils.run import Run, selected_epoch

RECIPE = Recipe("C(4,5)-P2-D0.3-FC10", dataset="digits", num_epochs=3, batch_size=100, learning_rate=0.01)
CPU = Execution(device="cpu")


class StopInEpoch:
    """A callback that interrupts the training in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch, self.num_steps = epoch, 0

    def step_done(self):
        self.num_steps += 1
        if self.num_steps == 14 * self.epoch - 5:
            raise KeyboardInterrupt

    def epoch_done(self, metrics):
        pass


def stopped_run(recipe, name="stopped", epoch=2, **options):
    with pytest.raises(KeyboardInterrupt, match=r"stopped; the last whole epoch is saved. Resume with: .*--resume"):
        train(recipe, run_name=name, callbacks=[StopInEpoch(epoch)], **options)
    return Run.find(name)


def untimed(run):
    return [replace(row, epoch_seconds=0, images_per_second=0) for row in run.metrics]


def untimed_summary(run):
    return replace(run.summary, train_seconds=0, total_seconds=0)


def test_train_returns_a_finished_run(finished_run):
    assert finished_run.is_finished and finished_run.problem == ""
    assert finished_run.summary.num_epochs_run == len(finished_run.metrics) == 2
    assert finished_run.environment["execution"]["precision"] == finished_run.summary.precision
    sets = {
        "test": load_dataset("digits", "test"),
        "validation": load_training_sets("digits", finished_run.recipe.validation_size)[1],
    }
    model = load_trained(finished_run)
    for split, image_set in sets.items():
        stored, expected = finished_run.predictions(split), predict(model, image_set)
        assert np.array_equal(stored.logits, expected.logits) and np.array_equal(stored.labels, expected.labels)
    summary = finished_run.summary
    assert summary.test_accuracy == finished_run.predictions("test").accuracy
    assert summary.val_accuracy == finished_run.predictions("validation").accuracy


def test_a_recipe_by_name_with_changes(few_digits):
    splits = DataSplits(few_digits, few_digits, few_digits)
    run = train("linear", num_epochs=1, dataset="digits", splits=splits)
    assert run.recipe == replace(get_recipe("linear"), num_epochs=1, dataset="digits")
    run = train("FC10", num_epochs=1, dataset="digits", splits=splits)
    assert run.recipe == Recipe("FC10", num_epochs=1, dataset="digits")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_epoch": 3}, "num_epoch is not a field of the recipe: expected one of model, dataset"),
        ({"device": "cpu"}, r"expected execution=Execution\(device=...\)"),
        ({"model": "vgg"}, "vgg"),
        ({"model": ""}, "--model NAME"),
        ({"dataset": "mnst"}, "mnst"),
        ({"init_from": "nothing"}, "no run at 'nothing'"),
        ({"learning_rate": 0}, "--learning-rate"),
        ({"train_size": 5000}, "5,000"),
        ({"run_name": "../x"}, "plain folder name"),
        ({"execution": Execution(device="tpu")}, "'tpu'"),
        ({"execution": Execution(threads=10_000)}, "--threads"),
    ],
)
def test_bad_input_is_refused_before_a_folder_is_made(home, changes, message):
    with pytest.raises(UserError, match=message):
        train(RECIPE, **changes)
    assert not list((home / "runs").glob("*"))


def test_callbacks_see_every_step_and_epoch(few_digits):
    class Counter:
        steps, epochs = 0, 0

        def step_done(self):
            self.steps += 1

        def epoch_done(self, metrics):
            self.epochs += 1
            assert metrics.epoch == self.epochs

    counter = Counter()
    splits = DataSplits(few_digits, few_digits, few_digits)
    train(RECIPE, splits=splits, callbacks=[counter])
    assert (counter.steps, counter.epochs) == (6, 3)


def test_a_run_from_another_starts_with_its_weights():
    first = train("FC10", dataset="digits", num_epochs=2, run_name="first")
    run = train(Recipe(dataset="digits", num_epochs=1, learning_rate=1e-9, init_from="first"))
    assert run.recipe.model == "FC10"
    weights, start = load_trained(run).state_dict(), load_trained(first).state_dict()
    for name in weights:
        torch.testing.assert_close(weights[name], start[name], atol=1e-5, rtol=0)
    with pytest.raises(UserError, match="another network"):
        train("FC20-FC10", dataset="digits", init_from="first")


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_resumed_run_is_bit_equal_with_the_recorded_execution(epoch):
    execution = Execution(device="cpu", precision="fp32", preload=False, num_workers=0, threads=1)
    whole = train(RECIPE, run_name="whole", execution=execution)
    run = stopped_run(RECIPE, epoch=epoch, execution=execution)
    assert len(run.metrics) == epoch - 1 and not run.is_finished
    assert run.execution == replace(execution, compile="none")
    resumed = resume(run)
    assert resumed == run and untimed(resumed) == untimed(whole)
    assert untimed_summary(resumed) == untimed_summary(whole)
    for split in ("test", "validation"):
        assert np.array_equal(resumed.predictions(split).logits, whole.predictions(split).logits)


def flip(path):
    """Changes a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(damage, capsys):
    whole = train(RECIPE, run_name="whole", execution=CPU)
    run = stopped_run(RECIPE, epoch=3, execution=CPU)
    damage(run.last_checkpoint)
    resume(run)
    assert "last.pt is missing or damaged: continues after epoch 1 (last.previous.pt)" in capsys.readouterr().out
    assert untimed(run) == untimed(whole) and untimed_summary(run) == untimed_summary(whole)
    assert not run.previous_checkpoint.exists()  # it is of use only while the run is unfinished


def test_two_damaged_checkpoints_end_a_run():
    run = stopped_run(RECIPE, epoch=3, execution=CPU)
    flip(run.last_checkpoint)
    flip(run.previous_checkpoint)
    with pytest.raises(UserError, match=r"last.pt is damaged"):
        resume(run)


def test_resuming_restores_best_weights_that_the_kill_left_out():
    """last.pt is written before best.pt."""
    whole = train(RECIPE, run_name="whole", execution=CPU)
    run = stopped_run(RECIPE, epoch=3, execution=CPU)
    assert len(run.metrics) == 2 and selected_epoch(run.metrics, "best").epoch == 2
    run.best_checkpoint.unlink()
    resume(run)
    assert untimed_summary(run) == untimed_summary(whole)
    assert np.array_equal(run.predictions("test").logits, whole.predictions("test").logits)


def test_a_run_whose_best_weights_are_lost_is_not_resumed():
    run = stopped_run(RECIPE, epoch=3, execution=CPU)
    first, second = (run.path / "metrics.jsonl").read_text().splitlines()
    first = json.dumps({**json.loads(first), "val_accuracy": 1.0})  # so the first epoch is the best
    (run.path / "metrics.jsonl").write_text(f"{first}\n{second}\n")
    run.best_checkpoint.write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"best.pt is damaged.*\nThe weights of epoch 1 are in no other file"):
        resume(run)


def test_resuming_removes_what_killed_writes_left():
    run = stopped_run(RECIPE, execution=CPU)
    left = run.path / "checkpoints" / ".last.pt.4711.part"
    left.write_bytes(b"incomplete")
    resume(run)
    assert not left.exists()


def test_a_run_that_another_process_writes_is_not_resumed(home):
    run = stopped_run(RECIPE, execution=CPU)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    program = "import sys; from pathlib import Path; from utils.locks import RunLock; "
    program += "lock = RunLock(Path(sys.argv[1])); lock.acquire(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with pytest.raises(UserError, match=f"stopped is being written by process {other.pid}"):
            resume(run)
        other.kill()
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_training_ends_when_its_folder_is_deleted(home):
    class Delete(StopInEpoch):
        def step_done(self):
            self.num_steps += 1
            if self.num_steps == 20:
                shutil.rmtree(home / "runs" / "mine")

    with pytest.raises(UserError, match="runs/mine was deleted or moved while it was being trained"):
        train(RECIPE, run_name="mine", callbacks=[Delete(0)], execution=CPU)
    assert not (home / "runs" / "mine").exists()


@pytest.mark.parametrize("name", ["predictions/test.npz", "predictions/validation.npz", "summary.json"])
def test_a_finished_run_is_repaired(name):
    run = train(RECIPE, run_name="mine", execution=CPU)
    summary, before = run.summary, {split: run.predictions(split).logits for split in ("test", "validation")}
    (run.path / name).write_bytes(b"")
    assert Run(run.path).problem.startswith(f"damaged: {name}")
    repaired = repair(Run(run.path))
    assert repaired.problem == "" and repaired.summary.test_loss == summary.test_loss
    assert all(np.array_equal(repaired.predictions(split).logits, before[split]) for split in before)


def test_damaged_best_weights_are_restored_if_the_last_epoch_was_the_best():
    run = train(replace(RECIPE, checkpoint="last"), run_name="mine", execution=CPU)
    before = untimed_summary(run)
    run.best_checkpoint.write_bytes(b"")
    assert untimed_summary(repair(Run(run.path))) == before
    run.best_checkpoint.write_bytes(b"")
    run.last_checkpoint.unlink()
    with pytest.raises(UserError, match=r"best.pt is damaged"):
        repair(Run(run.path))


def test_an_unfinished_run_is_not_repaired():
    with pytest.raises(UserError, match=r"unfinished: finish it with mnist train --resume"):
        repair(stopped_run(RECIPE, execution=CPU))


def test_resume_accepts_another_execution():
    run = stopped_run(RECIPE, execution=Execution(device="cpu", threads=1))
    resume(run, Execution(device="cpu", precision="fp32", preload=False, num_workers=0))
    assert run.is_finished and torch.get_num_threads() == 1  # the recorded number


def test_a_run_of_version_1_is_resumed():
    whole = train(RECIPE, run_name="whole", execution=CPU)
    run = stopped_run(RECIPE, execution=CPU)
    names = {"checkpoint": "judged_epoch", "init_from": "start", "backend": "engine"}
    fields = {names.get(name, name): value for name, value in run.recipe.to_json().items() if name != "model"}
    fields |= {"device": "cpu", "precision": "auto", "compile": "auto", "preload": True, "num_workers": 2}
    (run.path / "config.json").write_text(json.dumps({"model": RECIPE.model, "train": fields}))
    environment = {name: value for name, value in run.environment.items() if name != "execution"}
    (run.path / "environment.json").write_text(json.dumps(environment))
    resumed = resume(Run(run.path))
    assert untimed(resumed) == untimed(whole) and untimed_summary(resumed) == untimed_summary(whole)


def test_threads_of_a_larger_machine_do_not_hinder_a_resume():
    run = stopped_run(RECIPE, execution=CPU)
    environment = run.environment
    environment["execution"]["threads"] = 10_000
    (run.path / "environment.json").write_text(json.dumps(environment))
    assert resume(Run(run.path)).is_finished


def test_a_finished_run_is_not_resumed(finished_run):
    with pytest.raises(UserError, match="is finished"):
        resume(finished_run)


def test_seeds_share_their_splits_and_print_a_report(capsys):
    recipe = replace(RECIPE, model="linear", num_epochs=1)
    runs, failures = train_seeds(recipe, range(3), run_name="many", splits=load_splits(recipe))
    assert [run.name for run in runs] == ["many-s0", "many-s1", "many-s2"] and not failures
    assert [run.recipe for run in runs] == [recipe.with_seed(seed) for seed in range(3)]
    assert capsys.readouterr().out.count("many-s") == 3  # a line for each
    report_seeds(runs)
    assert "mean test accuracy of 3 seeds" in capsys.readouterr().out
    report_run(runs[0])
    printed = capsys.readouterr().out
    summary = runs[0].summary
    assert "kept epoch 1 of 1 (best validation)" in printed and "tensorboard" in printed
    assert f"test accuracy {summary.test_accuracy:.2%} ({summary.test_num_correct} of 359 correct)" in printed


def test_retrain_uses_the_next_seed_and_saves_on_request(copied_run, capsys):
    retrain(Run(copied_run))
    assert "not saved" in capsys.readouterr().out and len(Run.all()) == 1
    retrain(Run(copied_run), save=True)
    assert [run.recipe.seed for run in Run.all()] == [0, 1]


# Imported weights.


def test_imported_weights_are_a_finished_run():
    recipe = Recipe("FC10", dataset="digits")
    torch.manual_seed(0)
    model = build_model("FC10")
    run = import_weights(recipe, model.state_dict(), "weights.npz", "imported")
    assert run.recipe == replace(recipe, init_from="weights.npz") and run.problem == ""
    (metrics,) = run.metrics
    assert (metrics.epoch, metrics.step, run.summary.num_epochs_run) == (0, 0, 0)
    images = load_dataset("digits", "test")
    assert np.array_equal(run.predictions("test").logits, predict(model, images).logits)
    assert metrics.val_accuracy == run.summary.val_accuracy


def test_imported_weights_that_are_not_finite_leave_no_folder():
    weights = {name: torch.full_like(value, torch.nan) for name, value in build_model("FC10").state_dict().items()}
    with pytest.raises(UserError, match=r"x.npz: the loss of these weights is not finite"):
        import_weights(Recipe("FC10", dataset="digits"), weights, "x.npz")
    assert not Run.all()


def test_the_environment_holds_the_resolved_execution(finished_run):
    recorded = finished_run.environment["execution"]
    assert "auto" not in recorded.values() and recorded["num_together"] == 1
    assert asdict(finished_run.execution) == {k: v for k, v in recorded.items() if k != "num_together"}
