"""Sweeps: plans, run names, resuming, pruning, failures that do not stop other runs, two sweeps at the same time."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from study.sweeps.executors import LocalExecutor, RunLocks
from study.sweeps.job import Job, Outcome, do_job
from study.sweeps.plan import Plan, Range, read_plan
from study.sweeps.search import NUM_UNPRUNED, Searcher
from study.sweeps.sweep import Sweep
from trainers.recipes import get_recipe
from trainers.train import load_splits, train
from utils.errors import UserError
from utils.recipe import Execution, Recipe
from utils.run import Run, RunSummary

QUICK = Recipe("linear", dataset="digits", num_epochs=1, batch_size=256)
THREE_EPOCHS = Recipe("linear", dataset="digits", num_epochs=3)


def make_plan(**changes):
    values = {"name": "test", "base": replace(QUICK, model=""), "models": ("linear",), "fields": {}, "seeds": (0,)}
    return Plan(**{**values, **changes})


def train_sweep(plan, executor=None, deadline=math.inf):
    sweep = Sweep(plan, executor or LocalExecutor(), deadline)
    sweep.train()
    return sweep


def do(job):
    return do_job(job, Execution(), load_splits(job.recipe))


def written_at(run):
    return (run.path / "summary.json").stat().st_mtime_ns


def test_a_grid_is_every_combination():
    grid = make_plan(
        models=("linear", "standard_fc"), fields={"learning_rate": (0.1, 0.2), "batch_size": (8, 16, 32)}
    ).grid()
    points = [(recipe.model, recipe.learning_rate, recipe.batch_size) for recipe in grid]
    assert len(points) == len(set(points)) == 12 and points[1] == ("linear", 0.1, 16)


def test_the_backend_can_be_swept(home):
    sweep = train_sweep(make_plan(models=("FC10",), fields={"backend": ("torch", "numpy")}))
    assert [run.recipe.backend for run in sweep.finished] == ["torch", "numpy"]


def test_a_run_name_depends_on_every_recipe_field_but_the_seed():
    def prefix(model="linear", **fields):
        return Job(Recipe(model, **fields), (0,)).prefix

    assert prefix() == prefix(seed=3) == prefix(learning_rate=1e-3)  # 1e-3 is the default
    names = {
        prefix(),
        prefix("standard_fc"),
        prefix(learning_rate=2e-3),
        prefix(momentum=0.5),
        prefix("C(16,3)-P2-FC10"),
    }
    assert len(names) == 5
    Run.check_name(prefix("C(16,3,same)-P2-" + "C(16,3,same)-" * 30 + "FC10") + "-s123")


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (Recipe("linear"), "linear-09002f63b9"),
        (Recipe("linear", weight_decay=1.0, learning_rate=0.01), "linear-57065e40e6"),
        (
            Recipe("C(16,3)-P2-FC10", optimizer="sgd", num_epochs=3, rotation_degrees=7.5),
            "C_16_3_P2_FC10-c88e94768d",
        ),
    ],
)
def test_run_names_are_stable_across_versions(recipe, name):
    assert Job(recipe, (0,)).prefix == Job(Recipe.from_json(recipe.to_json()), (0,)).prefix == name


def test_the_execution_does_not_change_run_names(home):
    first = train_sweep(make_plan())
    second = train_sweep(make_plan(), LocalExecutor(Execution(preload=False, num_workers=0)))
    assert first.finished == second.finished and second.seconds_in_runs == 0


def test_the_execution_applies_to_all_runs(home):
    sweep = train_sweep(make_plan(seeds=(0, 1)), LocalExecutor(Execution(device="tpu")))
    assert len(sweep.failures) == 2 and all("tpu" in reason for reason in sweep.failures.values())


def test_whole_numbers_and_floats_make_the_same_recipe():
    whole, point = (make_plan(fields={"weight_decay": (value,)}).grid()[0] for value in (1, 1.0))
    assert Job(whole, (0,)).prefix == Job(point, (0,)).prefix and type(whole.weight_decay) is float


def test_init_from_is_stored_as_the_run_name_however_it_is_given(copied_run, home, monkeypatch):
    monkeypatch.chdir(home)
    given = ("mine", "runs/mine", str(copied_run))
    assert {recipe.init_from for recipe in make_plan(fields={"init_from": given}).grid()} == {"mine"}
    with pytest.raises(UserError, match="no run at 'yours'"):
        make_plan(fields={"init_from": ("yours",)})


def test_a_range_of_an_integer_field_gives_whole_numbers():
    fields = {"learning_rate": Range(1, 3), "batch_size": Range(1, 3)}
    distributions = Searcher(make_plan(search="random", fields=fields)).distributions
    assert isinstance(distributions["learning_rate"], FloatDistribution)
    assert isinstance(distributions["batch_size"], IntDistribution)


def test_a_repeated_sweep_trains_only_what_is_missing(home):
    first = train_sweep(make_plan(seeds=(0, 1)))
    assert len(first.finished) == 2 and first.seconds_in_runs > 0
    before = [written_at(run) for run in first.finished]
    second = train_sweep(make_plan(seeds=(0, 1, 2), fields={"learning_rate": (1e-3, 1e-2)}))
    assert len(second.finished) == 6 and second.num_left == 0
    assert [written_at(run) for run in first.finished] == before  # both sweeps have these runs
    third = train_sweep(make_plan(seeds=(0, 1)))
    assert third.seconds_in_runs == 0 and len(third.finished) == 2


class StopAfter:
    """A callback that interrupts training like Ctrl-C."""

    def __init__(self, epoch):
        self.epoch = epoch

    def step_done(self):
        pass

    def epoch_done(self, metrics):
        if metrics.epoch == self.epoch:
            raise KeyboardInterrupt


def interrupt(job):
    """Trains two epochs of the job's first run."""
    with pytest.raises(KeyboardInterrupt):
        train(job.recipe, run_name=job.run(0).name, callbacks=[StopAfter(2)])
    assert len(job.run(0).metrics) == 2


def test_an_interrupted_run_is_resumed(home, monkeypatch):
    job = Job(THREE_EPOCHS, (0,))
    assert do(job).failures == {}
    expected = [row.val_loss for row in job.run(0).metrics]
    monkeypatch.setenv("MNIST_STUDY_HOME", str(home / "other"))
    interrupt(job)
    assert do(job).failures == {}
    assert [row.val_loss for row in job.run(0).metrics] == expected


def test_a_folder_without_a_recipe_is_replaced(home):
    job = Job(QUICK, (0,))
    (job.run(0).path / "checkpoints").mkdir(parents=True)
    assert do(job).failures == {} and job.run(0).is_finished


def test_a_run_of_another_recipe_under_the_same_name_fails_and_the_others_continue(home):
    job = Job(QUICK, (0, 1))
    train_sweep(make_plan())
    config = job.run(0).path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "batch_size": 3}))
    (job.run(0).path / "summary.json").unlink()
    outcome = do(job)
    assert "batch_size is 3, not 256" in outcome.failures[0] and job.run(1).is_finished


LOCK_HOLDER = """
import pathlib, sys
from utils.locks import RunIsLocked, RunLock
try:
    lock = RunLock(pathlib.Path(sys.argv[1]))
    lock.acquire()
    print(True, flush=True)
except RunIsLocked:
    print(False, flush=True)
sys.stdin.read()
"""


def test_a_run_that_another_process_trains_is_skipped(home):
    job = Job(QUICK, (0,))
    (job.run(0).path / "checkpoints").mkdir(parents=True)  # the other process has just created it
    program = [sys.executable, "-c", LOCK_HOLDER, str(job.run(0).path)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"True\n"
        sweep = train_sweep(make_plan(seeds=(0, 1)))
        assert f"is being written by process {other.pid} " in sweep.failures[job.run(0).name]
        assert sweep.finished == [job.run(1)]
        assert [path.name for path in job.run(0).path.iterdir()] == ["checkpoints"]
        other.kill()
    assert len(train_sweep(make_plan(seeds=(0, 1))).finished) == 2  # the lock ended with its process


def test_a_run_that_was_finished_in_the_meantime_is_not_trained_again(home):
    job = Job(QUICK, (0,))
    do(job)
    before = written_at(job.run(0))
    assert list(LocalExecutor().run([job], math.inf)) == [Outcome(job, {})]
    assert written_at(job.run(0)) == before


def test_locks_are_acquired_and_released_per_run(home):
    job = Job(QUICK, (0, 1))
    with RunLocks() as locks:
        assert locks.acquire(job.run(0)) == locks.acquire(job.run(1)) == ""
        locks.release([job.run(0)])
        program = [sys.executable, "-c", LOCK_HOLDER]
        outputs = [
            subprocess.run([*program, str(run.path)], input=b"", capture_output=True, check=True).stdout
            for run in job.runs
        ]
    assert outputs == [b"True\n", b"False\n"]


def test_a_data_set_that_cannot_be_loaded_fails_its_runs_only(home):
    fields = {"dataset": ("digits", "csv:/nowhere.csv"), "train_size": (0.5, 1e6)}
    sweep = train_sweep(make_plan(fields=fields, seeds=(0, 1)))
    assert len(sweep.finished) == 2 and len(sweep.failures) == 6
    assert sum("nowhere.csv" in reason for reason in sweep.failures.values()) == 4


def test_an_unexpected_exception_fails_its_runs_only(home, monkeypatch):
    from models.registry import MODELS

    def broken(*_):
        raise RuntimeError("no such kernel")

    monkeypatch.setitem(MODELS, "broken", MODELS["linear"])
    plan = make_plan(models=("broken", "linear"), seeds=(0, 1))
    monkeypatch.setitem(MODELS, "broken", broken)
    sweep = train_sweep(plan)
    assert len(sweep.finished) == 2 and set(sweep.failures.values()) == {"RuntimeError: no such kernel"}


def test_each_run_measures_its_own_time(home):
    sweep = train_sweep(make_plan(models=("linear", "C(2,5)-P4-FC10"), seeds=(0, 1)))
    assert len(sweep.finished) == 4
    assert sum(run.summary.total_seconds for run in sweep.finished) <= sweep.seconds


def test_a_failed_run_is_recorded_and_the_others_continue(command, home):
    code, out, error = command(
        "sweep", "--model", "linear", "--dataset", "digits", "--num-epochs", "1", "--learning-rate", "1e-3", "1e38",
        "--schedule", "constant", "--optimizer", "sgd", "--seeds", "0:2", "--output", str(home / "out"),
    )  # fmt: skip
    assert code == 2 and "2 runs failed" in error and "not finite" in error and len(error.strip().splitlines()) <= 4
    assert "2 runs finished, 2 failed" in out
    record = json.loads((home / "out" / "sweep" / "sweep.json").read_text())
    assert len(record["finished"]) == 2 and len(record["failed"]) == 2
    assert (home / "out" / "sweep" / "comparison.html").exists()


def test_a_sweep_over_two_data_sets_is_compared_and_its_failures_reported(command, home):
    rows = "".join(f"{label},{','.join(['0', '200'] * 392)}\n" for label in range(10)) * 30
    (home / "mine.csv").write_text(rows)
    code, out, error = command(
        "sweep", "--model", "linear", "--dataset", "digits", f"csv:{home / 'mine.csv'}", "--num-epochs", "1",
        "--learning-rate", "1e-3", "1e38", "--optimizer", "sgd", "--output", str(home / "out"),
    )  # fmt: skip
    assert code == 2 and "2 runs failed" in error and "not finite" in error
    assert "2 runs finished, 2 failed" in out and "not compared image by image" in out
    assert (home / "out" / "sweep" / "comparison.html").exists()


class ScriptedExecutor:
    """Ends the job's only run as the next word says."""

    num_parallel = 1

    def __init__(self, *words):
        self.words = list(words)

    def run(self, jobs, deadline):  # noqa: ARG002
        for job in jobs:
            word = self.words.pop(0)
            if word == "finished":
                finish(job.run(0), 0.5)
            yield Outcome(job, {0: "broken"} if word == "failed" else {}, (0,) if word == "pruned" else ())

    def close(self):
        pass


def finish(run, val_accuracy):
    """Makes a finished run without training."""
    run.path.mkdir(parents=True)
    run.write_summary(
        RunSummary(
            model="linear",
            num_parameters=7850,
            seed=0,
            device="cpu",
            precision="fp32",
            num_epochs_run=0,
            best_epoch=0,
            best_val_accuracy=val_accuracy,
            val_accuracy=val_accuracy,
            test_accuracy=0.5,
            test_loss=1.0,
            test_num_correct=1,
            train_seconds=1.0,
            total_seconds=1.0,
        )
    )


@pytest.mark.parametrize(
    ("words", "failed", "pruned", "finished"),
    [
        (["pruned", "pruned", "pruned"], 0, 1, 0),
        (["pruned", "failed", "pruned"], 0, 1, 0),
        (["failed", "pruned", "failed"], 1, 0, 0),
        (["failed", "pruned", "finished"], 0, 0, 1),
    ],
)
def test_a_point_that_is_proposed_again_counts_once_with_its_last_outcome(home, words, failed, pruned, finished):
    sweep = train_sweep(make_plan(search="random", num_points=3), ScriptedExecutor(*words))
    assert (len(sweep.failures), len(sweep.pruned), len(sweep.finished)) == (failed, pruned, finished)
    assert sweep.num_runs == sweep.bar.total == len(sweep.ended) == 1 and sweep.num_left == 0


def test_a_failed_run_that_another_sweep_finished_does_not_count_as_failed(home):
    class OtherSweep(ScriptedExecutor):
        def run(self, jobs, deadline):
            yield from super().run(jobs, deadline)
            self.words = ["finished"]
            list(super().run(jobs, deadline))

    sweep = train_sweep(make_plan(), OtherSweep("failed"))
    assert sweep.failures == {} and len(sweep.finished) == 1 and sweep.num_left == 0


def test_failures_are_reported_even_if_nothing_can_be_compared(home, capsys):
    plan = make_plan(fields={"learning_rate": (1e-3, 1e-2)})
    sweep = train_sweep(plan, ScriptedExecutor("finished", "failed"))  # the finished run has no recipe: damaged
    with pytest.raises(UserError, match="1 runs failed"):
        sweep.report(home / "out")
    assert "not compared" in capsys.readouterr().err


def test_no_run_is_started_after_the_deadline(home):
    sweep = train_sweep(make_plan(seeds=(0, 1)), deadline=time.monotonic() - 1)
    assert sweep.finished == [] and sweep.num_left == 2


def test_ctrl_c_says_how_to_continue(home):
    class Interrupted(ScriptedExecutor):
        def run(self, jobs, deadline):
            yield from super().run(jobs[:1], deadline)
            raise KeyboardInterrupt("stopped; ...")

    with pytest.raises(KeyboardInterrupt, match="1 of 2 runs are finished"):
        train_sweep(make_plan(fields={"learning_rate": (1e-3, 1e-2)}), Interrupted("finished"))


def test_a_killed_sweep_is_completed_by_the_same_command(command, home):
    arguments = ["sweep", "--model", "linear", "--dataset", "digits", "--num-epochs", "2"]
    arguments += ["--batch-size", "16", "32", "64", "128", "--output", str(home / "out")]
    with subprocess.Popen([sys.executable, "-m", "mnist", *arguments], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not list((home / "runs").glob("*/summary.json")):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert 1 <= len([run for run in Run.all() if run.is_finished]) < 4
    code, printed, error = command(*arguments)
    assert code == 0 and "4 runs finished, 0 failed" in printed, error
    assert len(list((home / "runs").glob("*/summary.json"))) == 4


def test_a_terminated_sweep_says_how_to_continue_and_does(command, home):
    arguments = ["sweep", "--model", "linear", "--dataset", "digits", "--num-epochs", "2"]
    arguments += ["--batch-size", "16", "32", "64", "128", "--output", str(home / "out")]
    program = [sys.executable, "-m", "mnist", *arguments]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list((home / "runs").glob("*/summary.json")):
            time.sleep(0.02)
        process.terminate()
        error = process.stderr.read()
    assert process.returncode == 128 + signal.SIGTERM and "Traceback" not in error
    assert "of 4 runs are finished. Repeat the same 'mnist sweep'" in error
    code, printed, error = command(*arguments)
    assert code == 0 and "4 runs finished, 0 failed" in printed, error


def test_random_points_are_within_their_ranges_and_reproducible(home):
    fields = {
        "learning_rate": Range(1e-4, 1e-1, log=True),
        "batch_size": Range(64, 512),
        "optimizer": ("adam", "sgd"),
    }
    wide = make_plan(search="random", num_points=3, fields=fields)
    first, again = train_sweep(wide), train_sweep(wide)
    assert first.finished == again.finished and again.seconds_in_runs == 0
    recipes = [run.recipe for run in first.finished]
    assert len(recipes) == 3
    assert all(1e-4 <= recipe.learning_rate <= 1e-1 and 64 <= recipe.batch_size <= 512 for recipe in recipes)


class InstantExecutor:
    """Finishes each job at once. The validation accuracy is a function of the learning rate, best at 0.01."""

    num_parallel = 1

    def run(self, jobs, deadline):  # noqa: ARG002
        for job in jobs:
            for run in job.runs:
                finish(run, 1 - abs(math.log10(job.recipe.learning_rate) + 2) / 10)
            yield Outcome(job, {})

    def close(self):
        pass


def test_tpe_search_finds_better_points_than_random_search(home):
    fields = {"learning_rate": Range(1e-6, 1e2, log=True)}
    means = {}
    for search in ("random", "tpe"):
        sweep = train_sweep(make_plan(search=search, num_points=40, fields=fields), InstantExecutor())
        late = [run.summary.val_accuracy for run in sweep.finished[-15:]]
        means[search] = sum(late) / len(late)
    assert means["tpe"] > means["random"] + 0.05


def test_a_run_below_the_required_accuracy_is_pruned_and_stays_pruned(home):
    good = Job(THREE_EPOCHS, (0,), required_accuracy=(0.0, 0.0, 0.0))
    assert do(good).pruned == () and good.run(0).is_finished
    hopeless = Job(replace(THREE_EPOCHS, batch_size=32), (0,), required_accuracy=(0.0, 1.1, 1.1))
    for _ in range(2):
        assert do(hopeless).pruned == (0,)
        assert len(hopeless.run(0).metrics) == 2 and not hopeless.run(0).is_finished


def test_a_resumed_run_is_pruned_too(home):
    job = Job(THREE_EPOCHS, (0,), required_accuracy=(0.0, 0.0, 1.1))
    interrupt(job)
    assert do(job).pruned == (0,) and len(job.run(0).metrics) == 3


def test_the_required_accuracy_is_the_median_of_the_finished_runs():
    searcher = Searcher(make_plan(search="random", pruning=True))
    searcher.curves = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]
    assert searcher.required_accuracy() == ()  # too few runs
    searcher.curves += [[0.3, 0.5]] * (NUM_UNPRUNED - 3)
    assert searcher.required_accuracy() == pytest.approx((0.3, 0.45))


HUGE = f"0x{'f' * 8000}"  # a whole number that Python reads, but refuses to print
FILE = """
recipe = "fc"
models = ["linear", "FC10"]
seeds = "0:3"
search = "random"
num_points = 7
[fields]
num_epochs = 2
batch_size = [32, 64]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
"""


def test_a_file_describes_a_sweep(tmp_path):
    (tmp_path / "wide.toml").write_text(FILE)
    found = read_plan(tmp_path / "wide.toml")
    assert found.name == "wide" and found.models == ("linear", "FC10") and found.seeds == (0, 1, 2)
    assert found.fields["batch_size"] == (32, 64) and found.fields["num_epochs"] == (2,)
    assert found.fields["learning_rate"] == Range(1e-4, 1e-1, log=True)
    assert found.base == get_recipe("fc") and found.num_points == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = [", "not valid TOML"),
        ("model = 3", "unknown key 'model'"),
        ("models = 'linear'", "expected a list"),
        ("models = []", "needs a model"),
        ("models = ['linear']\nseeds = 'x'", "--seeds x"),
        ("models = ['linear']\n[fields]\nspeed = 3", "unknown recipe field 'speed'"),
        ("models = ['linear']\n[fields]\ndevice = 'cpu'", "unknown recipe field 'device'"),
        ("models = ['linear']\n[fields]\nlearning_rate = []", "no values: the grid is empty"),
        ("models = ['linear']\n[fields]\nlearning_rate = ['high']", "expected a number"),
        ("models = ['linear']\n[fields]\nbatch_size = [0]", "expected at least 1"),
        ("models = ['linear']\n[fields]\nlearning_rate = {low = 1, high = 2}", "cannot make a grid"),
        ("models = ['linear']\nsearch = 'tpe'\n[fields]\nlearning_rate = {low = 2, high = 1}", "is empty"),
        ("models = ['linear']\nsearch = 'tpe'\n[fields]\nlearning_rate = {low = 'a', high = 1}", "expected a value"),
        ("models = ['linear']\nsearch = 'tpe'\n[fields]\nlearning_rate = {low = 1, high = 'a'}", "expected a value"),
        (
            "models = ['linear']\nsearch = 'tpe'\n[fields]\nlearning_rate = {low = 1, high = 2, log = 1}",
            "expected a value",
        ),
        ("models = ['linear']\n[fields]\nlearning_rate = [[1]]", "expected a number"),
        ("models = ['linear']\n[fields]\nlearning_rate = 1979-05-27", "expected a number"),
        ("models = ['linear']\nsearch = 'best'", "search 'best'"),
        ("models = ['linear']\nnum_points = 0\nsearch = 'random'", "--num-points 0"),
        ("models = ['linear']\npruning = true", "pruning needs search"),
        ("recipe = 'magic'", "unknown recipe 'magic'"),
        ("models = [3]", "expected a list of texts"),
        ("models = ['linear']\nnum_points = true", "num_points = True: expected a whole number"),
        (f"num_points = '{'x' * 1000}'", "num_points = x{80}[.]{3}: expected a whole number"),
        (f"models = ['linear']\nnum_points = {HUGE}", "--num-points a number of thousands of digits"),
        (f"models = ['linear']\nseeds = [{HUGE}]", "--seeds a number of thousands of digits"),
        (f"models = ['linear']\n[fields]\nbatch_size = {HUGE}", "--batch-size a number of thousands of digits"),
        (f"models = ['linear']\n[fields]\nlearning_rate = {HUGE}", "a number below"),
        (f"models = ['linear']\n[fields]\noptimizer = {HUGE}", "a number of thousands of digits: expected one of"),
        (
            f"models = ['linear']\nsearch = 'tpe'\n[fields]\nbatch_size = {{low = 1, high = 1{'0' * 400}}}",
            "--batch-size 10+[.]{3}: expected a number below",
        ),
        (
            f"models = ['linear']\nsearch = 'tpe'\n[fields]\nlearning_rate = {{low = 1, high = 1{'0' * 400}}}",
            "--learning-rate 10+[.]{3}: expected a number below",
        ),
    ],
)
def test_a_bad_file_is_refused(text, message, tmp_path):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_plan(tmp_path / "bad.toml")
    assert len(str(error.value).splitlines()) <= 2 and len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "needs a model"),
        (["--model", "magic"], "magic"),
        (["--recipe", "magic"], "magic"),
        (["--model", "linear", "--learning-rate", "high"], "--learning-rate"),
        (["--model", "linear", "--speed", "3"], "--speed"),
        (["--model", "linear", "--batch-size", "0"], "at least 1"),
        (["--model", "linear", "--seeds", "3:1"], "--seeds 3:1"),
        (["--model", "linear", "--max-hours", "0"], "--max-hours"),
        (["--model", "linear", "--address", "auto"], "belong to --executor ray"),
        (["--model", "linear", "--cpus-per-run", "0"], "belong to --executor ray"),
        (["--model", "linear", "--dataset", "digits", "letters"], "unknown data set 'letters'"),
        (["--model", "linear", "--init-from", "nowhere"], "no run at 'nowhere'"),
        (["--model", "linear", "--batch-size", "1" + "0" * 100], "a number below"),
        (["--model", "linear", "--executor", "ray", "--cpus-per-run", "0.00001"], "--cpus-per-run 1e-05: expected 0"),
        (["--model", "linear", "--executor", "ray", "--cpus-per-run", "nan"], "--cpus-per-run nan: expected 0"),
        (["--model", "linear", "--executor", "ray", "--gpus-per-run", "1.5"], "a whole number, or a fraction"),
        (["--model", "linear", "--executor", "ray", "--cpus-per-run", "0"], "one of them above 0"),
        (["nothing.toml"], "cannot read"),
        (["nothing.toml", "--learning-rate", "1"], "the file already describes"),
        (["nothing.toml", "--seeds", "0:2"], "the file already describes"),
    ],
)
def test_bad_flags_are_refused_before_anything_is_trained(command, home, flags, message):
    code, _, error = command("sweep", *flags, "--output", str(home / "out"))
    assert code == 2 and message in error and len(error.splitlines()) <= 2
    assert not (home / "out").exists() and not list(Path(home).glob("runs/*"))


def test_the_ray_executor_without_ray_says_what_to_install(command, home, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, error = command("sweep", "--model", "linear", "--executor", "ray", "--output", str(home / "out"))
    assert code == 2 and 'pip install "mnist-study-platform[ray]"' in error and len(error.splitlines()) <= 2
    assert not (home / "out").exists() and not (home / "runs").exists()
