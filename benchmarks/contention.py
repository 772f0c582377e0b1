"""Seconds per training epoch on a quiet machine and beside one other busy process, for this platform and its peers.

    python -m benchmarks.contention [--rounds 5] [--peers-python .venv-bench/bin/python]

Each measurement is a fresh process. In every round, each program runs once quiet and once beside a process that keeps
one core busy; the programs take turns. `torch's default threads` is this platform with the number of threads and the
waiting that torch would choose by itself; the peers wait as torch does by default. A peer whose package is missing is
left out. Writes benchmarks/output/contention.json.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from tqdm import tqdm

from benchmarks.epoch_speed import EXTRA_EPOCHS, NETWORKS, NUM_EPOCHS, PEERS
from benchmarks.results import CPU, at_least_one, in_a_process, spread, write
from utils.data.datasets import load_dataset
from utils.runtime import available_cores

OURS, UNTUNED = "this platform", "this platform, torch's default threads"
PROGRAMS = {OURS: PEERS[OURS], UNTUNED: PEERS[OURS], **PEERS}
TITLES = {"fc": "784-128-64-10, batch 64", "conv": "conv 32 - pool - conv 64 - pool - dropout - 10, batch 128"}
LIBGOMP_SPINS = "300000"  # libgomp's default; with a value given, the package `utils` sets none of its own

Seconds = dict[str, dict[str, list[float]]]  # program -> quiet, busy -> a value per round


@contextmanager
def busy_process() -> Iterator[None]:
    """One other process computes without pause meanwhile."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def measure(program: str, network: str, peers_python: str) -> float:
    """Seconds of the last epoch of a fresh process."""
    num_epochs = NUM_EPOCHS[network] + EXTRA_EPOCHS.get(program, 0)
    variables = {} if program == OURS else {"GOMP_SPINCOUNT": LIBGOMP_SPINS}
    if program == UNTUNED:
        variables["OMP_NUM_THREADS"] = str(available_cores())
    python = sys.executable if PROGRAMS[program] == PEERS[OURS] else peers_python
    measured = in_a_process(
        "benchmarks.peers", PROGRAMS[program], network, "--epochs", str(num_epochs), python=python,
        variables=variables,
    )  # fmt: skip
    return float(measured["epoch_seconds"][-1])


def measure_all(network: str, num_rounds: int, peers_python: str) -> Seconds:
    seconds: Seconds = {program: defaultdict(list) for program in PROGRAMS}
    with tqdm(total=num_rounds * len(PROGRAMS) * 2, desc=network, unit="process", disable=None) as bar:
        for _ in range(num_rounds):
            for program in PROGRAMS:
                for condition, neighbour in (("quiet", nullcontext()), ("busy", busy_process())):
                    bar.set_postfix_str(f"{program}, {condition}")
                    with neighbour:
                        try:
                            seconds[program][condition].append(measure(program, network, peers_python))
                        except ModuleNotFoundError as error:
                            tqdm.write(f"without {program}: {error}")
                    bar.update()
    return {program: dict(found) for program, found in seconds.items() if found}


def markdown(seconds: dict[str, Seconds]) -> str:
    """A row per program: medians with ranges, busy over quiet, and the ratio to this platform in both conditions."""
    lines = ["| seconds per epoch | quiet | beside a busy process | busy / quiet | times ours, quiet | busy |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for network, programs in seconds.items():
        lines.append(f"| **{TITLES[network]}** | | | | | |")
        median: dict[str, Any] = {
            program: {condition: statistics.median(values) for condition, values in found.items()}
            for program, found in programs.items()
        }
        for program, found in programs.items():
            ratios = [median[program][condition] / median[OURS][condition] for condition in ("quiet", "busy")]
            slowdown = median[program]["busy"] / median[program]["quiet"]
            cells = [spread(found["quiet"]), spread(found["busy"]), *(f"{ratio:.1f}" for ratio in (slowdown, *ratios))]
            lines.append(f"| {program} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=at_least_one, default=5)
    parser.add_argument("--peers-python", default=sys.executable, help="the Python in which the peers are installed")
    options = parser.parse_args()
    if not shutil.which(options.peers_python):
        parser.error(f"--peers-python {options.peers_python}: no such program; 'make bench' makes .venv-bench")
    load_dataset("mnist", "train")  # downloaded before the first measurement
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):  # set by this project for this process; the peers do without
        os.environ.pop(name, None)
    seconds = {network: measure_all(network, options.rounds, options.peers_python) for network in NETWORKS}
    write("contention", {"seconds": seconds, "table": markdown(seconds)}, CPU)
    print(markdown(seconds))


if __name__ == "__main__":
    main()
