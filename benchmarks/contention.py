"""Seconds per training epoch on a quiet machine and beside one other busy process, for this platform and its peers.

    python -m benchmarks.contention [--rounds 5] [--peers-python .venv-bench/bin/python]

Each measurement is a fresh process. In every round, each program runs once quiet and once beside a process that keeps
one core busy; the programs take turns. `torch's default threads` is this platform with the number of threads and the
waiting that torch would choose by itself; the peers wait as torch does by default. A peer whose package is missing is
left out. Writes benchmarks/output/contention.json.
"""

import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from tqdm import tqdm

from benchmarks.epoch_speed import NETWORKS, OURS, PEERS, TITLES, measure_epoch, peers_options
from benchmarks.results import CPU, markdown_table, spread, write
from utils.runtime import available_cores

UNTUNED = "this platform, torch's default threads"
PROGRAMS = {OURS: PEERS[OURS], UNTUNED: PEERS[OURS], **PEERS}
CONDITIONS = ("quiet", "busy")
LIBGOMP_SPINS = "300000"  # libgomp's default; if the variable is set, the package `utils` does not change it


@contextmanager
def busy_process() -> Iterator[None]:
    """Keeps one core busy with another process inside the `with` block."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def measure_all(network: str, num_rounds: int, peers_python: str) -> dict[str, dict[str, list[float]]]:
    """Program -> quiet, busy -> seconds of an epoch in each round."""
    seconds: dict[str, dict[str, list[float]]] = {program: defaultdict(list) for program in PROGRAMS}
    turns = [(program, condition) for _ in range(num_rounds) for program in PROGRAMS for condition in CONDITIONS]
    for program, condition in tqdm(turns, desc=network, unit="process", disable=None):
        variables = {} if program == OURS else {"GOMP_SPINCOUNT": LIBGOMP_SPINS}
        if program == UNTUNED:
            variables["OMP_NUM_THREADS"] = str(available_cores())
        with busy_process() if condition == "busy" else nullcontext():
            try:
                measured = measure_epoch(PROGRAMS[program], network, peers_python, variables)
                seconds[program][condition].append(measured["seconds"])
            except ModuleNotFoundError as error:
                tqdm.write(f"{program} is left out: {error}")
    return {program: dict(found) for program, found in seconds.items() if found}


def markdown(values: dict[str, Any]) -> str:
    """A row per program: medians with ranges, busy over quiet, and the ratio to this platform in both conditions."""
    header = ("seconds per epoch", "quiet", "beside a busy process", "busy / quiet", "times ours, quiet", "busy")
    rows = []
    for network, programs in values["seconds"].items():
        rows.append([TITLES[network], *[""] * 5])
        ours = [statistics.median(programs[OURS][condition]) for condition in CONDITIONS]
        for program, found in programs.items():
            quiet, busy = (statistics.median(found[condition]) for condition in CONDITIONS)
            ratios = [f"{ratio:.1f}" for ratio in (busy / quiet, quiet / ours[0], busy / ours[1])]
            rows.append([program, spread(found["quiet"]), spread(found["busy"]), *ratios])
    return markdown_table(header, rows)


def main() -> None:
    options = peers_options(__doc__, rounds=5)
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):  # this project set them for this process; the peers run without
        os.environ.pop(name, None)
    values = {"seconds": {name: measure_all(name, options.rounds, options.peers_python) for name in NETWORKS}}
    write("contention", values, CPU)
    print(markdown(values))


if __name__ == "__main__":
    main()
