"""Many recipes as one: the plan, names by content, what is missing and nothing else, failures that stop nobody."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from study.sweeps.engines import LocalEngine
from study.sweeps.job import Job, Outcome, do_job
from study.sweeps.plan import Plan, Range, base_recipe, read_plan
from study.sweeps.run_locks import RunLocks
from study.sweeps.running import SweepRun
from study.sweeps.search import NUM_UNPRUNED, Searcher
from study.sweeps.stacks import TAKEN
from trainers.generic_trainers.training_run import Digits, Setting
from trainers.recipe import Recipe, TrainConfig
from utils.errors import UserError
from utils.run_folder import RunFolder

QUICK = TrainConfig(dataset="digits", num_epochs=1, batch_size=256)


def plan(**changes):
    values = {"name": "test", "base": Recipe("", QUICK), "models": ("linear",), "settings": {}, "seeds": (0,)}
    return Plan(**{**values, **changes})


def go(plan, engine=None, deadline=math.inf):
    sweep = SweepRun(plan, engine or LocalEngine(), deadline)
    sweep.go()
    return sweep


def test_a_grid_is_every_combination():
    grid = plan(
        models=("linear", "standard_fc"), settings={"learning_rate": (0.1, 0.2), "batch_size": (8, 16, 32)}
    ).grid()
    points = [(recipe.model, recipe.train.learning_rate, recipe.train.batch_size) for recipe in grid]
    assert len(points) == len(set(points)) == 12 and points[1] == ("linear", 0.1, 16)


def test_names_tell_recipes_apart_and_nothing_else():
    def prefix(model="linear", **settings):
        return Job(Recipe(model, TrainConfig(**settings)), (0,)).prefix

    assert prefix() == prefix(seed=3) == prefix(learning_rate=1e-3)  # the default, said or not
    names = {
        prefix(),
        prefix("standard_fc"),
        prefix(learning_rate=2e-3),
        prefix(momentum=0.5),
        prefix("C(16,3)-P2-FC10"),
    }
    assert len(names) == 5
    RunFolder.check_name(prefix("C(16,3,same)-P2-" + "C(16,3,same)-" * 30 + "FC10") + "-s123")


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (Recipe("linear"), "linear-09002f63b9"),
        (Recipe("linear", TrainConfig(weight_decay=1.0, learning_rate=0.01)), "linear-57065e40e6"),
        (
            Recipe("C(16,3)-P2-FC10", TrainConfig(optimizer="sgd", num_epochs=3, rotation_degrees=7.5)),
            "C_16_3_P2_FC10-c88e94768d",
        ),
    ],
)
def test_names_stay_as_they_are(recipe, name):
    assert Job(recipe, (0,)).prefix == Job(Recipe.from_json(recipe.to_json()), (0,)).prefix == name


def test_a_whole_number_is_the_same_setting_with_and_without_its_point():
    whole, point = (plan(settings={"weight_decay": (value,)}).grid()[0] for value in (1, 1.0))
    assert Job(whole, (0,)).prefix == Job(point, (0,)).prefix and type(whole.train.weight_decay) is float


def test_a_run_to_start_from_has_one_name_however_it_is_said(copied_run, home, monkeypatch):
    monkeypatch.chdir(home)
    said = ("mine", "runs/mine", str(copied_run))
    assert {recipe.train.start for recipe in plan(settings={"start": said}).grid()} == {"mine"}
    with pytest.raises(UserError, match="no run at 'yours'"):
        plan(settings={"start": ("yours",)})


def test_a_range_is_of_whole_numbers_where_its_setting_is():
    settings = {"learning_rate": Range(1, 3), "batch_size": Range(1, 3)}
    distributions = Searcher(plan(search="random", settings=settings)).distributions
    assert isinstance(distributions["learning_rate"], FloatDistribution)
    assert isinstance(distributions["batch_size"], IntDistribution)


def test_a_sweep_started_again_trains_only_what_is_missing(home):
    first = go(plan(seeds=(0, 1)))
    assert len(first.finished) == 2 and first.seconds_in_runs > 0
    before = {run.path: (run.path / "summary.json").stat().st_mtime_ns for run in first.finished}
    second = go(plan(seeds=(0, 1, 2), settings={"learning_rate": (1e-3, 1e-2)}))
    assert len(second.finished) == 6 and second.num_left == 0
    assert {path: (path / "summary.json").stat().st_mtime_ns for path in before} == before  # shared by both
    nothing_new = go(plan(seeds=(0, 1)))
    assert nothing_new.seconds_in_runs == 0 and len(nothing_new.finished) == 2


def test_a_run_that_was_stopped_is_gone_on_with(home, monkeypatch):
    from trainers.generic_trainers import basic_trainer

    job = Job(Recipe("linear", TrainConfig(dataset="digits", num_epochs=3)), (0,))
    assert do_job(job).failures == {}
    expected = [row.val_loss for row in job.run(0).rows()]
    other = Job(Recipe("linear", TrainConfig(dataset="digits", num_epochs=3, precision="fp32")), (0,))
    train_epoch = basic_trainer.BasicTrainer.train_epoch

    def stopped(self, epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        return train_epoch(self, epoch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(basic_trainer.BasicTrainer, "train_epoch", stopped)
        do_job(other)
    assert len(other.run(0).rows()) == 2
    assert do_job(other).failures == {}
    assert [row.val_loss for row in other.run(0).rows()] == expected


def test_a_folder_that_was_made_and_no_more(home):
    job = Job(Recipe("linear", QUICK), (0,))
    (job.run(0).path / "checkpoints").mkdir(parents=True)
    assert do_job(job).failures == {} and job.run(0).is_finished


def test_a_name_that_belongs_to_another_recipe_fails_alone(home):
    job = Job(Recipe("linear", QUICK), (0, 1))
    go(plan())
    config = job.run(0).read_json("config.json")
    config["train"]["batch_size"] = 3
    job.run(0).write_json("config.json", config)
    (job.run(0).path / "summary.json").unlink()
    outcome = do_job(job)
    assert "batch_size is 3, not 256" in outcome.failures[0] and job.run(1).is_finished


HOLDER = """
import pathlib, sys
from study.sweeps.run_locks import RunLocks
from utils.run_folder import RunFolder
locks = RunLocks()
print(locks.take(RunFolder(pathlib.Path(sys.argv[1]))), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl")
def test_a_run_that_another_sweep_trains_is_left_to_it(home):
    job = Job(Recipe("linear", QUICK), (0,))
    (job.run(0).path / "checkpoints").mkdir(parents=True)  # just begun there
    program = [sys.executable, "-c", HOLDER, str(job.run(0).path)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"True\n"
        sweep = go(plan(seeds=(0, 1)))
        assert sweep.failures == {job.run(0).path.name: TAKEN} and sweep.finished == [job.run(1)]
        assert [path.name for path in job.run(0).path.iterdir()] == ["checkpoints"]
        other.kill()
    assert len(go(plan(seeds=(0, 1))).finished) == 2  # a lock goes with its process


def test_a_run_that_was_finished_after_it_was_listed_is_not_trained_again(home):
    job = Job(Recipe("linear", QUICK), (0,))
    do_job(job)
    before = (job.run(0).path / "summary.json").stat().st_mtime_ns
    assert list(LocalEngine().run([job], math.inf)) == [Outcome(job, {})]
    assert (job.run(0).path / "summary.json").stat().st_mtime_ns == before


@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl")
def test_locks_are_given_back_and_taken_run_by_run(home):
    job = Job(Recipe("linear", QUICK), (0, 1))
    with RunLocks() as locks:
        assert locks.take(job.run(0)) and locks.take(job.run(1))
        locks.give_back([job.run(0)])
        program = [sys.executable, "-c", HOLDER]
        answers = [
            subprocess.run([*program, str(run.path)], input=b"", capture_output=True, check=True).stdout
            for run in job.runs
        ]
    assert answers == [b"True\n", b"False\n"]


def test_an_unforeseen_error_stops_nobody(home, monkeypatch):
    setting_of, digits_of = Setting.of, Digits.of

    def setting(recipe, digits=None):
        if recipe.train.batch_size == 64:
            raise RuntimeError("no such kernel")
        return setting_of(recipe, digits)

    def digits(config):
        if config.train_size == 0.5:
            raise EOFError("cut off")
        return digits_of(config)

    monkeypatch.setattr(Setting, "of", staticmethod(setting))
    monkeypatch.setattr(Digits, "of", staticmethod(digits))
    sweep = go(plan(settings={"batch_size": (64, 256), "train_size": (0.5, 1.0)}, seeds=(0, 1)))
    assert len(sweep.finished) == 2
    assert sorted(set(sweep.failures.values())) == ["EOFError: cut off", "RuntimeError: no such kernel"]


def test_the_setting_is_found_once_a_recipe(home, monkeypatch):
    setting_of, recipes = Setting.of, []
    monkeypatch.setattr(Setting, "of", staticmethod(lambda *given: recipes.append(given[0]) or setting_of(*given)))
    sweep = go(plan(models=("linear", "C(2,5)-P4-FC10"), seeds=(0, 1)))
    assert len(sweep.finished) == 4 and len(recipes) == 2
    seconds = [run.summary()["total_seconds"] for run in sweep.finished]
    assert sum(seconds) <= sweep.seconds  # each counts from its own beginning


def test_a_failed_run_is_recorded_and_stops_nobody(command, home):
    code, out, error = command(
        "sweep", "--model", "linear", "--dataset", "digits", "--num-epochs", "1", "--learning-rate", "1e-3", "1e38",
        "--schedule", "constant", "--optimizer", "sgd", "--seeds", "0:2", "--output", str(home / "out"),
    )  # fmt: skip
    assert code == 2 and "2 runs failed" in error and "not finite" in error and len(error.strip().splitlines()) <= 4
    assert "2 runs finished, 2 failed" in out
    record = json.loads((home / "out" / "sweep" / "sweep.json").read_text())
    assert len(record["finished"]) == 2 and len(record["failed"]) == 2
    assert (home / "out" / "sweep" / "comparison.html").exists()


def test_a_sweep_over_two_data_sets_is_compared_and_its_failures_told(command, home):
    rows = "".join(f"{label},{','.join(['0', '200'] * 392)}\n" for label in range(10)) * 30
    (home / "mine.csv").write_text(rows)
    code, out, error = command(
        "sweep", "--model", "linear", "--dataset", "digits", f"csv:{home / 'mine.csv'}", "--num-epochs", "1",
        "--learning-rate", "1e-3", "1e38", "--optimizer", "sgd", "--output", str(home / "out"),
    )  # fmt: skip
    assert code == 2 and "2 runs failed" in error and "not finite" in error
    assert "2 runs finished, 2 failed" in out and "not compared digit by digit" in out
    assert (home / "out" / "sweep" / "comparison.html").exists()


def test_what_cannot_be_compared_does_not_hide_what_failed(command, home, monkeypatch):
    from study.comparison import compare_runs

    def refused(*_):
        raise UserError("nothing to compare")

    monkeypatch.setattr(compare_runs, "compare", refused)
    arguments = ["sweep", "--model", "linear", "--dataset", "digits", "--num-epochs", "1", "--output", str(home)]
    code, _, error = command(*arguments)
    assert code == 0 and "not compared: nothing to compare" in error
    code, _, error = command(*arguments, "--optimizer", "sgd", "--learning-rate", "1e-3", "1e38")
    assert code == 2 and "1 runs failed" in error.splitlines()[-1]


class ScriptedEngine:
    """Ends the job's only run as the next word says."""

    num_parallel = 1

    def __init__(self, *words):
        self.words = list(words)

    def run(self, jobs, deadline):  # noqa: ARG002
        for job in jobs:
            word = self.words.pop(0)
            if word == "finished":
                job.run(0).path.mkdir(parents=True)
                (job.run(0).path / "summary.json").write_text("{}")
            yield Outcome(job, {0: "broken"} if word == "failed" else {}, (0,) if word == "pruned" else ())

    def close(self):
        pass


@pytest.mark.parametrize(
    ("words", "failed", "pruned", "finished"),
    [
        (["pruned", "pruned", "pruned"], 0, 1, 0),
        (["pruned", "failed", "pruned"], 0, 1, 0),
        (["failed", "pruned", "failed"], 1, 0, 0),
        (["failed", "pruned", "finished"], 0, 0, 1),
    ],
)
def test_a_point_that_comes_again_counts_once_as_it_ended_last(home, monkeypatch, words, failed, pruned, finished):
    monkeypatch.setattr(RunFolder, "summary", lambda run: {"val_accuracy": 0.5})
    sweep = go(plan(search="random", num_points=3), ScriptedEngine(*words))
    assert (len(sweep.failures), len(sweep.pruned), len(sweep.finished)) == (failed, pruned, finished)
    assert sweep.num_runs == sweep.bar.total == len(sweep.ended) == 1 and sweep.num_left == 0


def test_what_another_sweep_finished_meanwhile_did_not_fail(home):
    class OtherSweep(ScriptedEngine):
        def run(self, jobs, deadline):
            yield from super().run(jobs, deadline)
            self.words = ["finished"]
            list(super().run(jobs, deadline))

    sweep = go(plan(), OtherSweep("failed"))
    assert sweep.failures == {} and len(sweep.finished) == 1 and sweep.num_left == 0


def test_no_run_is_begun_after_the_deadline(home):
    sweep = go(plan(seeds=(0, 1)), deadline=time.monotonic() - 1)
    assert sweep.finished == [] and sweep.num_left == 2


def test_ctrl_c_says_how_to_go_on(home, monkeypatch):
    from study.sweeps import engines

    def stopped(job, _setting_of):
        if job.recipe.train.learning_rate > 0.005:
            raise KeyboardInterrupt("stopped; ...")
        return do_job(job)

    monkeypatch.setattr(engines, "do_job", stopped)
    with pytest.raises(KeyboardInterrupt, match="1 of 2 runs are finished"):
        go(plan(settings={"learning_rate": (1e-3, 1e-2)}))


def test_a_killed_sweep_is_finished_by_the_same_command(home):
    arguments = ["sweep", "--model", "linear", "--dataset", "digits", "--num-epochs", "2"]
    arguments += ["--batch-size", "16", "32", "64", "128", "--output", str(home / "out")]
    with subprocess.Popen([sys.executable, "-m", "mnist", *arguments], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not list((home / "runs").glob("*/summary.json")):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert 1 <= len([run for run in RunFolder.all() if run.is_finished]) < 4
    found = subprocess.run([sys.executable, "-m", "mnist", *arguments], capture_output=True, text=True, check=True)
    assert "4 runs finished, 0 failed" in found.stdout
    assert len(list((home / "runs").glob("*/summary.json"))) == 4


def test_random_points_lie_in_their_ranges_and_come_again(home):
    settings = {
        "learning_rate": Range(1e-4, 1e-1, log=True),
        "batch_size": Range(64, 512),
        "optimizer": ("adam", "sgd"),
    }
    wide = plan(search="random", num_points=3, settings=settings)
    first, again = go(wide), go(wide)
    assert [run.path for run in first.finished] == [run.path for run in again.finished] and again.seconds_in_runs == 0
    trains = [Recipe.from_json(run.config()).train for run in first.finished]
    assert len(trains) == 3
    assert all(1e-4 <= train.learning_rate <= 1e-1 and 64 <= train.batch_size <= 512 for train in trains)


class FakeEngine:
    """Finishes each job at once, with the validation accuracy that its learning rate says."""

    num_parallel = 1

    def run(self, jobs, deadline):  # noqa: ARG002
        for job in jobs:
            for run in job.runs:
                run.path.mkdir(parents=True)
                accuracy = 1 - abs(math.log10(job.recipe.train.learning_rate) + 2) / 10
                summary = {"val_accuracy": accuracy, "total_seconds": 1.0}
                (run.path / "summary.json").write_text(json.dumps(summary))
                (run.path / "metrics.jsonl").write_text("")
            yield Outcome(job, {})

    def close(self):
        pass


def test_guided_search_finds_better_points_than_chance(home, monkeypatch):
    monkeypatch.setattr(RunFolder, "summary", lambda run: run.read_json("summary.json"))
    settings = {"learning_rate": Range(1e-6, 1e2, log=True)}
    means = {}
    for search in ("random", "tpe"):
        sweep = go(plan(search=search, num_points=40, settings=settings), FakeEngine())
        late = [run.summary()["val_accuracy"] for run in sweep.finished[-15:]]
        means[search] = sum(late) / len(late)
    assert means["tpe"] > means["random"] + 0.05


def test_what_falls_below_the_median_is_pruned_and_stays_so(home):
    good = Job(Recipe("linear", TrainConfig(dataset="digits", num_epochs=3)), (0,), bar=(0.0, 0.0, 0.0))
    assert do_job(good).pruned == () and good.run(0).is_finished
    hopeless = Job(
        Recipe("linear", TrainConfig(dataset="digits", num_epochs=3, batch_size=32)), (0,), bar=(0.0, 1.1, 1.1)
    )
    assert do_job(hopeless).pruned == (0,)
    assert len(hopeless.run(0).rows()) == 2 and not hopeless.run(0).is_finished
    started_again = do_job(hopeless)
    assert started_again.pruned == (0,) and len(hopeless.run(0).rows()) == 2


def test_the_bar_is_the_median_of_what_is_finished():
    searcher = Searcher(plan(search="random", pruning=True))
    searcher.curves = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]
    assert searcher._bar() == ()  # too few to measure by
    searcher.curves += [[0.3, 0.5]] * (NUM_UNPRUNED - 3)
    assert searcher._bar() == pytest.approx((0.3, 0.45))


HUGE = f"0x{'f' * 8000}"  # a whole number that Python reads, but does not write
FILE = """
trainer = "fc"
models = ["linear", "FC10"]
seeds = "0:3"
search = "random"
num_points = 7
[settings]
num_epochs = 2
batch_size = [32, 64]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
"""


def test_a_file_says_what_the_flags_say(tmp_path):
    (tmp_path / "wide.toml").write_text(FILE)
    found = read_plan(tmp_path / "wide.toml")
    assert found.name == "wide" and found.models == ("linear", "FC10") and found.seeds == (0, 1, 2)
    assert found.settings["batch_size"] == (32, 64) and found.settings["num_epochs"] == (2,)
    assert found.settings["learning_rate"] == Range(1e-4, 1e-1, log=True)
    assert found.base == base_recipe("fc") and found.num_points == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = [", "no TOML"),
        ("model = 3", "unknown key 'model'"),
        ("models = 'linear'", "expected a list"),
        ("models = []", "needs a model"),
        ("models = ['linear']\nseeds = 'x'", "--seeds x"),
        ("models = ['linear']\n[settings]\nspeed = 3", "unknown setting 'speed'"),
        ("models = ['linear']\n[settings]\nlearning_rate = []", "no values: the grid is empty"),
        ("models = ['linear']\n[settings]\nlearning_rate = ['high']", "expected a number"),
        ("models = ['linear']\n[settings]\nbatch_size = [0]", "expected at least 1"),
        ("models = ['linear']\n[settings]\nlearning_rate = {low = 1, high = 2}", "cannot make a grid"),
        ("models = ['linear']\nsearch = 'tpe'\n[settings]\nlearning_rate = {low = 2, high = 1}", "is empty"),
        ("models = ['linear']\nsearch = 'tpe'\n[settings]\nlearning_rate = {low = 'a', high = 1}", "expected a value"),
        ("models = ['linear']\nsearch = 'tpe'\n[settings]\nlearning_rate = {low = 1, high = 'a'}", "expected a value"),
        (
            "models = ['linear']\nsearch = 'tpe'\n[settings]\nlearning_rate = {low = 1, high = 2, log = 1}",
            "expected a value",
        ),
        ("models = ['linear']\n[settings]\nlearning_rate = [[1]]", "expected a number"),
        ("models = ['linear']\n[settings]\nlearning_rate = 1979-05-27", "expected a number"),
        ("models = ['linear']\nsearch = 'best'", "search 'best'"),
        ("models = ['linear']\nnum_points = 0\nsearch = 'random'", "--num-points 0"),
        ("models = ['linear']\npruning = true", "pruning needs search"),
        ("trainer = 'magic'", "unknown trainer 'magic'"),
        (f"models = {'[' * 3000}{']' * 3000}", "nested too deeply"),
        ("models = [3]", "models = 3: expected text"),
        (f"num_points = '{'x' * 1000}'", "num_points = x{80}[.]{3}: expected a whole number"),
        (f"models = ['linear']\nnum_points = {HUGE}", "--num-points a number of thousands of digits"),
        (f"models = ['linear']\nseeds = [{HUGE}]", "--seeds a number of thousands of digits"),
        (f"models = ['linear']\n[settings]\nbatch_size = {HUGE}", "--batch-size a number of thousands of digits"),
        (f"models = ['linear']\n[settings]\nlearning_rate = {HUGE}", "a number below"),
        (f"models = ['linear']\n[settings]\noptimizer = {HUGE}", "a number of thousands of digits: expected one of"),
        (
            f"models = ['linear']\nsearch = 'tpe'\n[settings]\nbatch_size = {{low = 1, high = 1{'0' * 400}}}",
            "--batch-size 10+[.]{3}: expected a number below",
        ),
        (
            f"models = ['linear']\nsearch = 'tpe'\n[settings]\nlearning_rate = {{low = 1, high = 1{'0' * 400}}}",
            "--learning-rate 10+[.]{3}: expected a number below",
        ),
    ],
)
def test_bad_files(text, message, tmp_path):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_plan(tmp_path / "bad.toml")
    assert len(str(error.value).splitlines()) <= 2 and len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "needs a model"),
        (["--model", "magic"], "magic"),
        (["--model", "linear", "--learning-rate", "high"], "--learning-rate"),
        (["--model", "linear", "--speed", "3"], "--speed"),
        (["--model", "linear", "--batch-size", "0"], "at least 1"),
        (["--model", "linear", "--seeds", "3:1"], "--seeds 3:1"),
        (["--model", "linear", "--max-hours", "0"], "--max-hours"),
        (["--model", "linear", "--address", "auto"], "belong to --engine ray"),
        (["--model", "linear", "--cpus-per-run", "0"], "belong to --engine ray"),
        (["--model", "linear", "--dataset", "digits", "letters"], "unknown data set 'letters'"),
        (["--model", "linear", "--start", "nowhere"], "no run at 'nowhere'"),
        (["--model", "linear", "--batch-size", "1" + "0" * 100], "a number below"),
        (["--model", "linear", "--engine", "ray", "--cpus-per-run", "0.00001"], "--cpus-per-run 1e-05: expected 0"),
        (["--model", "linear", "--engine", "ray", "--cpus-per-run", "nan"], "--cpus-per-run nan: expected 0"),
        (["--model", "linear", "--engine", "ray", "--gpus-per-run", "1.5"], "expected a whole number, or a share"),
        (["--model", "linear", "--engine", "ray", "--cpus-per-run", "0"], "one of them above 0"),
        (["nothing.toml"], "cannot read"),
        (["nothing.toml", "--learning-rate", "1"], "the file says"),
    ],
)
def test_bad_flags_begin_nothing(command, home, flags, message):
    code, _, error = command("sweep", *flags, "--output", str(home / "out"))
    assert code == 2 and message in error and len(error.splitlines()) <= 2
    assert not (home / "out").exists() and not list(Path(home).glob("runs/*"))


def test_without_ray_its_engine_is_refused_with_what_to_install(command, home, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, error = command("sweep", "--model", "linear", "--engine", "ray", "--output", str(home / "out"))
    assert code == 2 and "requirements-cluster.txt" in error and len(error.splitlines()) <= 2
    assert not (home / "out").exists() and not (home / "runs").exists()
