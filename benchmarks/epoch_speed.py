"""Seconds and memory of a training epoch of 60,000 images on the CPU: this platform and its peers.

    python -m benchmarks.epoch_speed [--peers-python .venv-bench/bin/python]

Each measurement is a fresh process; the peers take turns, round by round. A peer whose package is missing is left out.
Also measures the machine's peak speed of matrix products, and the fraction of it that this platform's epoch reaches.
Writes benchmarks/output/epoch_speed.json.
"""

import argparse
import shutil
import statistics
import sys
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from benchmarks.results import CPU, in_a_process, markdown_table, script_parser, spread, write
from models import build_model
from utils.data import load_dataset
from utils.runtime import choose_precision

OURS = "this platform"
PEERS = {
    OURS: "platform",
    "bare loop": "bare_loop",
    "DataLoader": "data_loader",
    "Lightning": "lightning",
    "skorch": "skorch",
    "Keras on TensorFlow": "keras",
}
NETWORKS = {"fc": "standard_fc", "conv": "two_conv"}
TITLES = {"fc": "**784-128-64-10, batch 64**", "conv": "**conv 32 - pool - conv 64 - pool - dropout - 10, batch 128**"}
NUM_ROUNDS = {"fc": 3, "conv": 2}
# The last epoch counts. The first epoch of a process includes about 0.4 s of torch's imports and TensorFlow's compiler.
NUM_EPOCHS = {"fc": 2, "conv": 1}
NUM_DIGITS = 60_000
SIDE = 2048  # of the square matrices in the timed product


def measure_epoch(
    peer: str, network: str, peers_python: str, variables: dict[str, str] | None = None
) -> dict[str, float]:
    """Seconds of the last epoch and peak memory, in a fresh process with additional environment variables.

    Raises ModuleNotFoundError if the peer's package is missing.
    """
    num_epochs = NUM_EPOCHS[network] + (peer == "keras")
    python = sys.executable if peer == PEERS[OURS] else peers_python
    measured = in_a_process(
        "benchmarks.peers", peer, network, "--epochs", str(num_epochs), python=python, variables=variables
    )
    return {"seconds": measured["epoch_seconds"][-1], "peak_bytes": measured["peak_bytes"]}


def measure_all(peers_python: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Network -> peer -> one measurement per round."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {network: {} for network in NETWORKS}
    turns = [(network, peer) for network in NETWORKS for _ in range(NUM_ROUNDS[network]) for peer in PEERS]
    for network, peer in tqdm(turns, desc="epochs", disable=None, leave=False):
        try:
            found[network].setdefault(peer, []).append(measure_epoch(PEERS[peer], network, peers_python))
        except ModuleNotFoundError as error:
            tqdm.write(f"{peer} is left out: {error}")
    return {network: {peer: rounds for peer, rounds in peers.items() if rounds} for network, peers in found.items()}


def matrix_product_peak(dtype: torch.dtype) -> float:
    """FLOP/s of the fastest of several large square products."""
    left, right = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(12):
        started = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - started)
    return 2 * SIDE**3 / min(seconds)


def flops_per_epoch(model_name: str) -> int:
    """Multiplications and additions of the network's forward and backward pass over 60,000 images."""
    model = build_model(model_name)
    counter = FlopCounterMode(display=False)
    with counter:
        model(torch.zeros(2, 1, 28, 28)).sum().backward()
    return counter.get_total_flops() // 2 * NUM_DIGITS


def share_of_peak(network: str, seconds: float) -> dict[str, Any]:
    """The fraction of the machine's peak speed, in the network's precision, that our epoch reaches."""
    precision = choose_precision("auto", CPU, build_model(NETWORKS[network]))
    peak = matrix_product_peak(torch.bfloat16 if precision == "bf16" else torch.float32)
    flops = flops_per_epoch(NETWORKS[network])
    return {"precision": precision, "peak_flops": peak, "epoch_flops": flops, "share": flops / seconds / peak}


def markdown(values: dict[str, Any]) -> str:
    """The table of the README: medians with ranges; the ratio is a peer's median over ours."""
    rows = []
    for network, peers in values["epochs"].items():
        share = values["shares"][network]
        rows.append([TITLES[network], "", "", ""])
        ours = statistics.median(one["seconds"] for one in peers[OURS])
        for peer, measured in peers.items():
            seconds = [one["seconds"] for one in measured]
            memory = statistics.median(one["peak_bytes"] for one in measured) / 1e9
            note = f" ({share['precision']}, {share['share']:.0%} of peak)" if peer == OURS else ""
            ratio = statistics.median(seconds) / ours
            rows.append([f"{peer}{note}", spread(seconds), f"{ratio:.1f}", f"{memory:.2f} GB"])
    return markdown_table(("epoch of 60,000 images", "seconds", "ratio to ours", "peak memory"), rows)


def peers_options(description: str | None, **counts: int) -> argparse.Namespace:
    """The options of a script that starts the peers. Downloads MNIST before the first measurement."""
    parser = script_parser(description, **counts)
    parser.add_argument("--peers-python", default=sys.executable, help="Python interpreter with the peers installed")
    options = parser.parse_args()
    if not shutil.which(options.peers_python):
        parser.error(f"--peers-python {options.peers_python}: no such program; 'make bench' makes .venv-bench")
    load_dataset("mnist", "train")
    return options


def main() -> None:
    found = measure_all(peers_options(__doc__).peers_python)
    shares = {
        network: share_of_peak(network, statistics.median(one["seconds"] for one in found[network][OURS]))
        for network in NETWORKS
    }
    values = {"epochs": found, "shares": shares}
    write("epoch_speed", values, CPU)
    print(markdown(values))


if __name__ == "__main__":
    main()
