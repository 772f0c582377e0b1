"""Sweeps on a Ray cluster of two nodes on this machine: the same results, nothing lost with a node or the driver."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from study.sweeps.executors import LocalExecutor
from study.sweeps.job import Job
from study.sweeps.ray_executor import RayExecutor, Resources
from utils.errors import UserError
from utils.recipe import Recipe
from utils.run import Run

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
def executor(cluster):
    found = RayExecutor(cluster.address, Resources(1, 0))
    yield found
    found.close()


def jobs(count, **fields):
    values = {"dataset": "digits", "num_epochs": 2, **fields}
    return [Job(Recipe("linear", learning_rate=1e-3 * (1 + i), **values), (0,)) for i in range(count)]


def run_all(executor, jobs):
    return list(executor.run(jobs, float("inf")))


def metrics(job, seed=0):
    """The metrics without timings."""
    return [{**vars(row), "epoch_seconds": 0, "images_per_second": 0} for row in job.run(seed).metrics]


def test_both_executors_give_the_same_bits(executor, home, monkeypatch):
    some = [*jobs(2), Job(Recipe("C(4,5)-P4-FC10", dataset="digits", num_epochs=1), (0, 1))]
    assert not any(outcome.failures for outcome in run_all(executor, some))
    by_ray = [metrics(job, seed) for job in some for seed in job.seeds]
    assert not list((home / "runs").glob(".*.part"))
    monkeypatch.setenv("MNIST_STUDY_HOME", str(home / "local"))
    assert not any(outcome.failures for outcome in run_all(LocalExecutor(), some))
    assert [metrics(job, seed) for job in some for seed in job.seeds] == by_ray
    assert some[0].run(0).is_finished and some[0].run(0).predictions_file("test").exists()


def test_a_lost_node_loses_no_run(executor, cluster, home):
    many = jobs(6, num_epochs=5)
    node = cluster.add_node(num_cpus=1)
    killer = threading.Timer(1.0, lambda: cluster.remove_node(node, allow_graceful=False))
    killer.start()
    outcomes = run_all(executor, many)
    killer.join()
    assert len(outcomes) == 6 and not any(outcome.failures for outcome in outcomes)
    assert all(job.run(0).is_finished and len(job.run(0).metrics) == 5 for job in many)


def test_a_worker_that_is_terminated_loses_no_run(executor, home):
    psutil = pytest.importorskip("psutil")
    ended = []

    def terminate_a_worker():
        while not ended:
            for process in psutil.process_iter(["cmdline"]):
                if (process.info["cmdline"] or [""])[0].startswith("ray::_do_remotely"):
                    process.terminate()
                    ended.append(process.pid)
                    return

    terminator = threading.Thread(target=terminate_a_worker)
    terminator.start()
    outcomes = run_all(executor, jobs(2, num_epochs=30))
    ended.append(0)
    terminator.join()
    assert ended[0] and len(outcomes) == 2 and not any(outcome.failures for outcome in outcomes)


def test_a_failed_run_is_reported_and_an_interrupted_run_is_resumed(executor, home):
    [job] = jobs(1)
    run_all(LocalExecutor(), [job])
    (job.run(0).path / "summary.json").unlink()
    bad = Job(Recipe("linear", dataset="digits", optimizer="sgd", learning_rate=1e38), (0,))
    missing = Job(Recipe("linear", dataset="csv:/nowhere.csv"), (0,))
    reasons = {outcome.job: outcome.failures for outcome in run_all(executor, [bad, missing, job])}
    assert "not finite" in reasons[bad][0] and "nowhere.csv" in reasons[missing][0]
    assert reasons[job] == {} and job.run(0).is_finished and len(job.run(0).metrics) == 2


def test_a_run_that_was_finished_in_the_meantime_is_not_replaced(executor, home):
    [job] = jobs(1)
    run_all(LocalExecutor(), [job])
    before = (job.run(0).path / "summary.json").stat().st_mtime_ns
    assert [outcome.failures for outcome in run_all(executor, [job])] == [{}]
    assert (job.run(0).path / "summary.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)])
def test_a_killed_driver_is_completed_by_the_same_command(cluster, home, number, code):
    arguments = ["sweep", "--model", "linear", "--dataset", "digits", "--num-epochs", "3", "--executor", "ray"]
    arguments += ["--batch-size", *map(str, range(16, 22)), "--address", cluster.address, "--output", str(home / "out")]
    program = [sys.executable, "-m", "mnist", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not list((home / "runs").glob("[!.]*/summary.json")):
            time.sleep(0.05)
        os.kill(process.pid, number)
    assert process.returncode == code
    finished = {path: path.stat().st_mtime_ns for path in (home / "runs").glob("[!.]*/summary.json")}
    assert 1 <= len(finished) < 6
    found = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert "6 runs finished, 0 failed" in found.stdout, found.stderr
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert len(json.loads((home / "out" / "sweep" / "sweep.json").read_text())["finished"]) == 6
    assert len(Run.all()) == 6


def test_an_address_without_ray_is_refused(command, home):
    for address in ("127.0.0.1:1", "nonsense", "127.0.0.1:999999"):
        started = time.monotonic()
        code, _, error = command("sweep", "--model", "linear", "--executor", "ray", "--address", address)
        assert code == 2 and "no Ray at" in error and len(error.splitlines()) <= 2
        assert time.monotonic() - started < 20
    assert not (home / "runs").exists()


def test_init_from_is_refused_with_ray(command, copied_run):
    code, _, error = command("sweep", "--model", "linear", "--executor", "ray", "--init-from", "mine")
    assert code == 2 and "use --executor local" in error


def test_more_resources_than_the_cluster_has_are_refused(cluster):
    for resources in (Resources(1000, 0), Resources(1, 3), Resources(2, 0)):
        with pytest.raises(UserError, match="more than any machine of the cluster has"):
            RayExecutor(cluster.address, resources)
