"""Faults while runs are trained, resumed, swept, imported and repaired: no run is lost, and every result is bit-equal.
Seeds that are trained together and resumed alone are compared within rounding.

python -m tests.soak.runs                 the long version, a part of make soak
python -m tests.soak.runs kills 200       one part: kills, failures, power, resumes, signals, sync; or several
"""

import contextlib
import functools
import io
import itertools
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from models.model_string import parse
from models.numpy_models.weights_file import write_weights
from models.registry import build_model
from study.sweeps import sweep
from tests.soak.faults import Fault, disk_of, lose_power, run_command, start_command
from trainers import Execution, train
from trainers.generic_trainers.basic_trainer import LAST_KEYS
from utils.checkpoints import load_checkpoint
from utils.data import datasets
from utils.errors import UserError
from utils.run import EpochMetrics, Run

IMPORTED_BEFORE_THE_FORKS = sweep
CPU = ["--dataset", "digits", "--device", "cpu", "--threads", "1"]
TRAIN = ["train", "--model", "FC8-FC10", *CPU, "--num-epochs", "3", "--ema-decay", "0.9", "--rotation-degrees", "10"]
TRAIN += ["--run-name", "mine"]
RESUME = ["train", "--resume", "mine"]
STACK = ["train", "--model", "linear", *CPU, "--num-epochs", "2", "--run-name", "mine"]
SWEEP = ["sweep", "--model", "linear", *CPU, "--num-epochs", "1", "--learning-rate", "1e-3", "1e-2"]
WEIGHTS = "weight_detailsFC8-FC10.npz"
IMPORT = ["weights", "import", WEIGHTS, "--dataset", "digits", "--run-name", "mine"]
REPAIR = ["evaluate", "--repair", "mine"]


def main(arguments: list[str]) -> None:
    parts = {
        "kills": (kills, 200),
        "failures": (failures, 60),
        "power": (power_losses, 20),
        "resumes": (concurrent_resumes, 100),
        "signals": (signals, 6),
        "sync": (cost_of_synchronising, 3),
    }
    counts = dict(zip(arguments[::2], map(int, arguments[1::2]), strict=True))
    counts = counts or {name: count for name, (_, count) in parts.items()}
    warm_up()
    for name, count in counts.items():
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            print(f"{parts[name][0](Path(folder), count)} ({time.monotonic() - started:.0f} s)", flush=True)


def warm_up() -> None:
    """Trains in this process, so that its forks have imported everything and prepared the bundled digits. One thread
    leaves no thread pool behind."""
    torch.set_num_threads(1)
    datasets._load_bundled = functools.cache(datasets._load_bundled)
    with tempfile.TemporaryDirectory() as home, contextlib.redirect_stdout(io.StringIO()):
        os.environ["MNIST_STUDY_HOME"] = home
        train("linear", dataset="digits", num_epochs=1, execution=Execution(device="cpu", threads=1))


# The parts. Each returns a line for docs/reliability.md, or raises AssertionError.


def kills(folder: Path, count: int) -> str:
    """Kills commands at enumerated file operations, half-written files among them, and goes on as a user would."""
    references = [Reference.make(scenario, folder) for scenario in SCENARIOS]
    points = [[(reference, number) for number in spread(reference, count)] for reference in references]
    chosen = [point for points in itertools.zip_longest(*points) for point in points if point][:count]
    for reference, number in chosen:
        reference.trial(folder, Fault(number, "kill"))
    enumerated = ", ".join(f"{r.scenario.name} {len(r.operations)}" for r in references)
    return (
        f"kills: {len(chosen)} of {len(chosen)} continued, no name blocked; "
        f"{equality([reference for reference, _ in chosen])}; file operations enumerated: {enumerated}"
    )


def failures(folder: Path, count: int) -> str:
    """Lets single operations fail with an input/output error, or fills the disk from an operation on."""
    references = [Reference.make(scenario, folder) for scenario in SCENARIOS[: 1 if count < 10 else None]]
    per_reference = -(-count // (2 * len(references)))
    done = []
    for reference in references:
        for number in spread(reference, per_reference):
            for kind in ("fail", "full"):
                reference.trial(folder, Fault(number, kind))
                done.append(reference)
    return (
        f"failing operations and full disks: {len(done)} of {len(done)} ended without a traceback and continued; "
        f"{equality(done)}"
    )


def power_losses(folder: Path, count: int) -> str:
    """Loses everything that was not synchronised, or parts of it, at operations spread over a training."""
    reference = Reference.make(SCENARIOS[0], folder)
    lost = [reference.trial(folder, Fault(n, "kill"), loss=n) for n in spread(reference, count)]
    assert max(lost) <= 1, lost
    return (
        f"power losses: {len(lost)} of {len(lost)} continued to bit-equal results; at most {max(lost)} epoch was lost"
    )


def concurrent_resumes(folder: Path, count: int) -> str:
    """Resumes one run by several processes at the same moment."""
    at_once = min(10, count)
    reference = Reference.make(SCENARIOS[1], folder)
    codes: list[int] = []
    for number in range(count // at_once):
        home = folder / f"resumes-{number}"
        shutil.copytree(reference.prepared, home)
        start = time.monotonic() + 1
        children = [start_command(home, RESUME, start=start, name=str(child)) for child in range(at_once)]
        results = [wait() for wait in children]
        winners = [result for result in results if result.code == 0]
        assert len(winners) == 1, [result.output for result in results]
        for result in results:
            is_named = "is being written by process" in result.output or "is finished" in result.output
            assert result in winners or (result.code == 2 and is_named), result.output
        check_equal(Run(home / "runs" / "mine"), reference.runs[0], "concurrent resumes")
        codes += [result.code for result in results]
        shutil.rmtree(home)
    return (
        f"concurrent resumes: {len(codes)}, {at_once} at a time: {codes.count(0)} finished the run, "
        f"{codes.count(2)} exited with 2 and changed nothing; all {codes.count(0)} runs bit-equal"
    )


def signals(folder: Path, count: int) -> str:
    """Ends trainings by signals and resumes them. Measures the time from the signal to the end of the process."""
    environment = {**os.environ, "MNIST_STUDY_HOME": str(folder)}
    numbers = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
    seconds = []
    for number in (numbers * count)[:count]:
        shutil.rmtree(folder / "runs", ignore_errors=True)
        command = [sys.executable, "-m", "mnist", *(word if word != "3" else "10000" for word in TRAIN)]  # epochs
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while num_lines(folder) < 2:
                time.sleep(0.01)
            process.send_signal(number)
            sent = time.monotonic()
            output = process.stderr.read().decode()
        seconds.append(time.monotonic() - sent)
        assert process.returncode == 128 + number and "train --resume" in output, output
        assert "Traceback" not in output, output
        assert num_lines(folder) - num_epochs_kept(folder) <= 1
    return (
        f"signals: {count} of {count} trainings ended with exit code 143, 129 or 130 and the command that resumes "
        f"them, {statistics.median(seconds):.2f} s after the signal (median; at most {max(seconds):.2f} s)"
    )


def cost_of_synchronising(folder: Path, num_epochs: int) -> str:
    """The time that training waits for the disk, on real MNIST."""
    os.environ["MNIST_STUDY_HOME"] = str(folder)
    fsync, waits, num_at_epochs = os.fsync, [], []

    def timed(descriptor: int) -> None:
        started = time.perf_counter()
        fsync(descriptor)
        waits.append(time.perf_counter() - started)

    class Epochs:
        def step_done(self) -> None:
            pass

        def epoch_done(self, _metrics: EpochMetrics) -> None:
            num_at_epochs.append(len(waits))

    os.fsync = timed
    with contextlib.redirect_stdout(io.StringIO()):
        run = train("fast_conv", num_epochs=num_epochs, execution=Execution(device="cpu"), callbacks=[Epochs()])
    os.fsync = fsync
    first, last = num_at_epochs[0], num_at_epochs[-1]
    wait = sum(waits[first:last]) / (num_epochs - 1)
    epoch = statistics.mean(row.epoch_seconds for row in run.metrics[1:])
    once = sum(waits[:first] + waits[last:]) - wait
    return (
        f"synchronising: an epoch of fast_conv waits {1000 * wait:.0f} ms for the disk, {wait / epoch:.2%} of its "
        f"{epoch:.1f} s of training; the begin and the end of a run together {1000 * once:.0f} ms"
    )


# Scenarios.


@dataclass(frozen=True)
class Scenario:
    """A command that a fault interrupts."""

    name: str
    arguments: list[str]
    next_commands: Callable[[Path], list[list[str]]]
    """What a user of this home types after the fault."""
    prepare: Callable[[Path], object] = lambda home: None
    """Makes the home before the command."""
    is_exact: bool = True
    """Whether the result has the same bits; networks that are resumed alone after a stack are equal within rounding."""


def resume_or_train(home: Path) -> list[list[str]]:
    run = home / "runs" / "mine"
    return [TRAIN] if not run.exists() else [] if (run / "summary.json").exists() else [RESUME]


def resume_or_train_each(home: Path) -> list[list[str]]:
    commands = []
    for seed in range(3):
        run = home / "runs" / f"mine-s{seed}"
        if not run.exists():
            commands.append([*STACK[:-1], run.name, "--seed", str(seed)])
        elif not (run / "summary.json").exists():
            commands.append(["train", "--resume", run.name])
    return commands


def import_again(home: Path) -> list[list[str]]:
    return [] if (home / "runs" / "mine").exists() else [IMPORT]


def prepare_killed(home: Path) -> None:
    """A run whose process was killed when it saved its second epoch."""
    operations = run_command(home, TRAIN).operations
    renames = [number for number, line in enumerate(operations, 1) if line == "rename runs/mine/checkpoints/last.pt"]
    shutil.rmtree(home)
    home.mkdir()
    assert run_command(home, TRAIN, Fault(renames[2], "kill")).code == -signal.SIGKILL


def prepare_weights(home: Path) -> None:
    torch.manual_seed(0)
    state = build_model("FC8-FC10").state_dict()
    arrays = {name.removeprefix("layers."): value.double().numpy() for name, value in state.items()}
    write_weights(home / WEIGHTS, parse("FC8-FC10"), arrays)


def prepare_damaged(home: Path) -> None:
    run_command(home, TRAIN)
    (home / "runs" / "mine" / "predictions" / "test.npz").write_bytes(b"damaged")


SCENARIOS = [
    Scenario("training", TRAIN, resume_or_train),
    Scenario("resuming", RESUME, resume_or_train, prepare_killed),
    Scenario("stacked seeds", [*STACK, "--seeds", "0:3"], resume_or_train_each, is_exact=False),
    Scenario("sweep", SWEEP, lambda home: [SWEEP]),
    Scenario("import", IMPORT, import_again, prepare_weights),
    Scenario("repair", REPAIR, lambda home: [REPAIR], prepare_damaged),
]


@dataclass(frozen=True)
class Reference:
    """A scenario, its prepared home, and what the command does without a fault."""

    scenario: Scenario
    prepared: Path
    runs: list[Run]
    operations: list[str]

    @staticmethod
    def make(scenario: Scenario, folder: Path) -> "Reference":
        prepared, home = folder / f"{scenario.name}-prepared", folder / f"{scenario.name}-reference"
        prepared.mkdir()
        scenario.prepare(prepared)
        shutil.copytree(prepared, home)
        result = run_command(home, scenario.arguments)
        assert result.code == 0, result.output
        return Reference(scenario, prepared, runs_in(home), result.operations)

    def trial(self, folder: Path, fault: Fault, loss: int | None = None) -> int:
        """Causes the fault, then a power loss if `loss` is its seed, and goes on. Returns how many epochs were lost.

        Raises AssertionError unless the runs end as the reference.
        """
        home = folder / "trial"
        for path in (home, disk_of(home)):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.prepared, home)
        what = f"{self.scenario.name}, {fault.kind} at {fault.number}, {self.operations[fault.number - 1]}, loss {loss}"
        result = run_command(home, self.scenario.arguments, fault)
        expected = (-signal.SIGKILL,) if fault.kind == "kill" else (0, 2)
        assert result.code in expected and "Traceback" not in result.output, f"{what}\n{result.output}"
        num_done = num_lines(home)
        if loss is not None:
            lose_power(home, loss)
        num_lost = num_done - num_epochs_kept(home)
        print(".", end="", file=sys.stderr, flush=True)
        for command in self.scenario.next_commands(home):
            again = run_command(home, command)
            assert again.code == 0, f"{what}\n{again.output}"
        found = runs_in(home)
        assert [run.name for run in found] == [run.name for run in self.runs], what
        for run, reference in zip(found, self.runs, strict=True):
            (check_equal if self.scenario.is_exact else check_close)(run, reference, what)
        remains = [*(home / "runs").rglob("*.part"), *(home / "runs").glob(".new/*")]
        assert not remains, f"{what}: {remains}"
        return num_lost


def equality(trials: Sequence[Reference]) -> str:
    """How the results of these trials were compared with those of undisturbed runs."""
    num_exact = sum(reference.scenario.is_exact for reference in trials)
    return f"results: {num_exact} bit-equal, {len(trials) - num_exact} (stacked seeds) equal within rounding"


def spread(reference: Reference, count: int) -> list[int]:
    """At most this many numbers of operations, spread over all, in random order."""
    numbers = np.linspace(1, len(reference.operations), min(count, len(reference.operations))).round().astype(int)
    return random.Random(0).sample(numbers.tolist(), len(numbers))


def runs_in(home: Path) -> list[Run]:
    return [Run(path) for path in sorted((home / "runs").glob("[!.]*"))]


def num_lines(home: Path) -> int:
    path = home / "runs" / "mine" / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def num_epochs_kept(home: Path) -> int:
    """The epoch after which the run goes on."""
    run = Run(home / "runs" / "mine")
    if run.is_finished:
        return num_lines(home)
    for path in (run.last_checkpoint, run.previous_checkpoint):
        try:
            epoch: int = load_checkpoint(path, LAST_KEYS)["epoch"]
        except UserError:
            continue
        if epoch <= num_lines(home):
            return epoch
    return 0


# Comparison of runs.


def check_equal(run: Run, reference: Run, what: str) -> None:
    """Raises AssertionError unless both runs have the same bits, apart from times."""
    assert run.problem == "", f"{what}: {run.problem}"
    for one, other in zip(run.metrics, reference.metrics, strict=True):
        times = {"epoch_seconds": 0, "images_per_second": 0}
        assert replace(one, **times) == replace(other, **times), f"{what}: other metrics"
    times = {"train_seconds": 0, "total_seconds": 0}
    assert replace(run.summary, **times) == replace(reference.summary, **times), f"{what}: another summary"
    for split in ("test", "validation"):
        assert np.array_equal(run.predictions(split).logits, reference.predictions(split).logits), f"{what}: {split}"
    for name in ("last.pt", "best.pt"):
        one, other = (path / "checkpoints" / name for path in (run.path, reference.path))
        if other.exists():
            values, others = (tensors(torch.load(path, weights_only=True)) for path in (one, other))
            assert values.keys() == others.keys(), f"{what}: {name}"
            assert all(torch.equal(values[key], others[key]) for key in values), f"{what}: {name}"


def check_close(run: Run, reference: Run, what: str) -> None:
    """Raises AssertionError unless validation losses and test logits are equal within rounding."""
    assert run.problem == "", f"{what}: {run.problem}"
    for one, other in zip(run.metrics, reference.metrics, strict=True):
        assert abs(one.val_loss - other.val_loss) < 1e-4 * other.val_loss, f"{what}: other metrics"
    logits = run.predictions("test").logits, reference.predictions("test").logits
    assert np.allclose(*logits, atol=1e-3), f"{what}: other predictions"


def tensors(value: object, key: str = "") -> dict[str, torch.Tensor]:
    """All tensors and numbers of a checkpoint except its time."""
    if isinstance(value, torch.Tensor):
        return {key: value}
    parts: list[dict[str, torch.Tensor]] = []
    if isinstance(value, dict):
        parts = [tensors(part, f"{key}/{name}") for name, part in value.items() if name != "seconds"]
    elif isinstance(value, list):
        parts = [tensors(part, f"{key}/{place}") for place, part in enumerate(value)]
    elif isinstance(value, int | float):
        return {key: torch.tensor(value)}
    return {name: tensor for part in parts for name, tensor in part.items()}


if __name__ == "__main__":
    main(sys.argv[1:])
