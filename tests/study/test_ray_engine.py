"""Sweeps on a real Ray of two nodes on this machine: the same results, nothing lost with a node or the driver."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from study.sweeps.engines import LocalEngine
from study.sweeps.job import Job
from study.sweeps.ray_engine import RayEngine, Resources
from trainers.recipe import Recipe, TrainConfig
from utils.errors import UserError
from utils.run_folder import RunFolder

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    found.add_node(num_cpus=1)
    yield found
    found.shutdown()


@pytest.fixture(scope="module")
def engine(cluster):
    found = RayEngine(cluster.address, Resources(1, 0))
    yield found
    found.close()


def jobs(count, **settings):
    config = {"dataset": "digits", "num_epochs": 2, **settings}
    return [Job(Recipe("linear", TrainConfig(learning_rate=1e-3 * (1 + i), **config)), (0,)) for i in range(count)]


def metrics(job, seed=0):
    """All that is no time."""
    return [{**vars(row), "epoch_seconds": 0, "images_per_second": 0} for row in job.run(seed).rows()]


def test_both_engines_give_the_same_bits(engine, home, monkeypatch):
    some = [*jobs(2), Job(Recipe("C(4,5)-P4-FC10", TrainConfig(dataset="digits", num_epochs=1)), (0, 1))]
    assert all(not outcome.failures for outcome in engine.run(some, float("inf")))
    by_ray = [metrics(job, seed) for job in some for seed in job.seeds]
    assert not list((home / "runs").glob(".*.part"))
    monkeypatch.setenv("MNIST_STUDY_HOME", str(home / "local"))
    assert all(not outcome.failures for outcome in LocalEngine().run(some, float("inf")))
    assert [metrics(job, seed) for job in some for seed in job.seeds] == by_ray
    assert (some[0].run(0).path / "summary.json").exists() and some[0].run(0).test_predictions.exists()


def test_a_node_that_is_lost_loses_nothing(engine, cluster, home):
    many = jobs(6, num_epochs=5)
    node = cluster.add_node(num_cpus=1)
    killer = threading.Timer(1.0, lambda: cluster.remove_node(node, allow_graceful=False))
    killer.start()
    outcomes = list(engine.run(many, float("inf")))
    killer.join()
    assert len(outcomes) == 6 and not any(outcome.failures for outcome in outcomes)
    assert all(job.run(0).is_finished and len(job.run(0).rows()) == 5 for job in many)


def test_a_run_that_fails_is_told_and_a_stopped_one_gone_on_with(engine, home):
    [job] = jobs(1)
    for _ in LocalEngine().run([job], float("inf")):
        pass
    (job.run(0).path / "summary.json").unlink()
    bad = Job(Recipe("linear", TrainConfig(dataset="digits", optimizer="sgd", learning_rate=1e38)), (0,))
    missing = Job(Recipe("linear", TrainConfig(dataset="csv:/nowhere.csv")), (0,))
    reasons = {outcome.job: outcome.failures for outcome in engine.run([bad, missing, job], float("inf"))}
    assert "not finite" in reasons[bad][0] and "nowhere.csv" in reasons[missing][0]
    assert reasons[job] == {} and job.run(0).is_finished and len(job.run(0).rows()) == 2


def test_a_run_that_was_finished_after_it_was_listed_is_not_replaced(engine, home):
    [job] = jobs(1)
    for _ in LocalEngine().run([job], float("inf")):
        pass
    before = (job.run(0).path / "summary.json").stat().st_mtime_ns
    assert [outcome.failures for outcome in engine.run([job], float("inf"))] == [{}]
    assert (job.run(0).path / "summary.json").stat().st_mtime_ns == before


def test_a_killed_driver_is_started_again(cluster, home):
    arguments = ["sweep", "--model", "linear", "--dataset", "digits", "--num-epochs", "3", "--engine", "ray"]
    arguments += ["--batch-size", *map(str, range(16, 22)), "--address", cluster.address, "--output", str(home / "out")]
    program = [sys.executable, "-m", "mnist", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not list((home / "runs").glob("*/summary.json")):
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    finished = {path: path.stat().st_mtime_ns for path in (home / "runs").glob("*/summary.json")}
    assert 1 <= len(finished) < 6
    found = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert "6 runs finished, 0 failed" in found.stdout, found.stderr
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert len(json.loads((home / "out" / "sweep" / "sweep.json").read_text())["finished"]) == 6
    assert len(RunFolder.all()) == 6


def test_an_address_where_nobody_answers(command, home):
    for address in ("127.0.0.1:1", "nonsense", "127.0.0.1:999999"):
        started = time.monotonic()
        code, _, error = command("sweep", "--model", "linear", "--engine", "ray", "--address", address)
        assert code == 2 and "no Ray at" in error and len(error.splitlines()) <= 2
        assert time.monotonic() - started < 20
    assert not Path(home / "runs").exists()


def test_more_than_the_cluster_has_is_refused(cluster):
    for resources in (Resources(1000, 0), Resources(1, 3), Resources(2, 0)):
        with pytest.raises(UserError, match="more than any machine of the cluster has"):
            RayEngine(cluster.address, resources)
