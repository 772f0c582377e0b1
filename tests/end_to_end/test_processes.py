"""Real processes: killed and resumed, stopped by Ctrl-C, out of disk, and TensorBoard asked over HTTP."""

import dataclasses
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.run import Run

TRAIN = [
    sys.executable, "-m", "mnist", "train", "--model", "C(8,5)-P2-FC32-FC10", "--dataset", "digits", "--device", "cpu",
    "--batch-size", "16", "--ema-decay", "0.9", "--rotation-degrees", "10",
]  # fmt: skip


def wait_until(condition, what, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def num_rows(run: Path) -> int:
    path = run / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def train_command(name: str, num_epochs: int) -> list[str]:
    return [*TRAIN, "--run-name", name, "--num-epochs", str(num_epochs)]


def start(name: str, num_epochs: int) -> subprocess.Popen:
    command = train_command(name, num_epochs)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def untimed(run: Run):
    return [dataclasses.replace(row, epoch_seconds=0, images_per_second=0) for row in run.metrics]


def untimed_summary(run: Run):
    return {key: value for key, value in vars(run.summary).items() if not key.endswith("seconds")}


def test_killed_in_mid_epoch_and_resumed_is_bit_equal(command, home):
    runs = home / "runs"
    num_epochs = 12
    assert command(*train_command("through", num_epochs)[3:])[0] == 0
    process = start("killed", num_epochs)
    wait_until(lambda: num_rows(runs / "killed") >= 2, "two epochs")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 2 <= num_rows(runs / "killed") < num_epochs and not (runs / "killed" / "summary.json").exists()
    resume = [sys.executable, "-m", "mnist", "train", "--resume", str(runs / "killed")]
    subprocess.run(resume, check=True, stdout=subprocess.DEVNULL)

    through, killed = Run(runs / "through"), Run(runs / "killed")
    assert untimed(through) == untimed(killed) and len(untimed(killed)) == num_epochs
    for file in ("last.pt", "best.pt"):
        one, other = (torch.load(run.path / "checkpoints" / file, weights_only=True) for run in (through, killed))
        assert one["epoch"] == other["epoch"]
        assert all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])
    one, other = (np.load(run.predictions_file("test")) for run in (through, killed))
    assert np.array_equal(one["logits"], other["logits"])
    assert untimed_summary(through) == untimed_summary(killed)


@pytest.mark.parametrize(
    ("number", "code", "name"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")],
)
def test_a_signal_ends_training_and_says_how_to_go_on(home, number, code, name):
    process = start("stopped", 10_000)
    wait_until(lambda: num_rows(home / "runs" / "stopped") >= 1, "an epoch")
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"stopped by {name}; the last whole epoch is saved" in error
    assert "train --resume" in error and "Traceback" not in error
    last = torch.load(home / "runs" / "stopped" / "checkpoints" / "last.pt", weights_only=True)
    assert 0 <= num_rows(home / "runs" / "stopped") - last["epoch"] <= 1  # stopped before or after the epoch was saved


def test_a_signal_to_all_processes_of_a_job_ends_training_too(home):
    """Schedulers send it to the processes that load the data as well."""
    command = [*train_command("stopped", 10_000), "--no-preload", "--num-workers", "2"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_until(lambda: num_rows(home / "runs" / "stopped") >= 1, "an epoch", 120)
    os.killpg(process.pid, signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143 and "train --resume" in error and "Traceback" not in error, error


STOPS_SLOWLY = """
import time
from utils.errors import exit_on_user_error
with exit_on_user_error():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("stopping", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once_without_a_traceback(second):
    program = [sys.executable, "-c", STOPS_SLOWLY]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(second)
        assert process.wait(timeout=20) == 128 + second and process.stderr.read() == ""


def test_a_signal_that_the_caller_ignores_stays_ignored():
    """As after nohup, so that training continues when its terminal is closed."""
    program = "import signal, time; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    program += "from utils.errors import exit_on_user_error; x = exit_on_user_error(); x.__enter__(); "
    program += "signal.raise_signal(signal.SIGHUP); print('goes on')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "goes on\n"


def test_full_disk_gets_two_lines_and_keeps_what_was_saved(home):
    """No file may grow over a megabyte, which holds the weights of 100,000 parameters, but not Adam's state besides."""
    command = [
        sys.executable,
        "-m",
        "mnist",
        "train",
        "fc",
        "--dataset",
        "digits",
        "--device",
        "cpu",
        "--run-name",
        "full",
    ]
    limit = 1_000_000  # the first checkpoint, without Adam's state, takes half of it, the second more than all
    answer = subprocess.run(
        command,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2, answer.stderr
    assert "File too large" in answer.stderr and len(answer.stderr.splitlines()) <= 2
    assert "train --resume" in answer.stderr
    assert torch.load(home / "runs" / "full" / "checkpoints" / "last.pt", weights_only=True)["epoch"] == 0


def test_runs_folder_that_cannot_be_made_gets_two_lines(command, home):
    (home / "runs").write_text("in the way")
    code, _, error = command("train", "linear", "--dataset", "digits", "--num-epochs", "1")
    assert code == 2 and len(error.splitlines()) <= 2


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture
def tensorboard(home, command):
    """A real TensorBoard on two runs; asks it for a path and gives the JSON of the answer."""
    for seed in ("0", "1"):
        arguments = ("--dataset", "digits", "--num-epochs", "2", "--seed", seed, "--run-name", f"run{seed}")
        assert command("train", "linear", *arguments)[0] == 0
    port = free_port()
    program = str(Path(sys.executable).parent / "tensorboard")
    process = subprocess.Popen(
        [program, "--logdir", str(home / "runs"), "--port", str(port), "--host", "127.0.0.1", "--load_fast=false"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )

    def ask(path: str, body: dict | None = None):
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/data/{path}", data, {"Content-Type": "application/json"} if data else {}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def has_loaded():
        try:
            return len(ask("plugin/images/tags")) == 2 and len(ask("runs")) == 4
        except OSError:
            return False

    try:
        wait_until(has_loaded, "TensorBoard")
        yield ask
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_tensorboard_shows_two_runs(tensorboard):
    assert set(tensorboard("runs")) == {"run0", "run1", "run0/results", "run1/results"}
    tags = tensorboard("plugin/scalars/tags")
    expected = {
        "loss/train",
        "loss/val",
        "accuracy/train",
        "accuracy/val",
        "error_rate/val",
        "learning_rate",
        "grad_norm",
        "images_per_second",
    }
    for run in ("run0", "run1"):
        assert expected <= set(tags[run])
        points = tensorboard(f"plugin/scalars/scalars?run={run}&tag=accuracy%2Fval")
        assert [step for _, step, _ in points] == [1, 2]
        pictures = tensorboard("plugin/images/tags")[run]
        drawn = {"confusion_matrix", "worst_mistakes", "reliability"}
        assert set(pictures) == {*(f"test/{name}" for name in drawn), "filters/first_layer"}
        assert tensorboard("plugin/graphs/info")[run]["run_graph"]
    layout = tensorboard("plugin/custom_scalars/layout")
    charts = [chart for category in layout["category"] for chart in category["chart"]]
    assert ["loss/train", "loss/val"] in [chart["multiline"]["tag"] for chart in charts]
    experiment = tensorboard("plugin/hparams/experiment", {"experimentName": ""})
    names = {info["name"] for info in experiment["hparamInfos"]}
    assert {"model", "learning_rate", "device"} <= names and "seed" not in names
    groups = tensorboard(
        "plugin/hparams/session_groups",
        {
            "experimentName": "",
            "colParams": [],
            "startIndex": 0,
            "sliceSize": 10,
            "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        },
    )
    assert re.search("final/test_accuracy", json.dumps(groups))
