"""Seconds and memory of a training epoch of 60,000 images on the CPU: this platform and its peers.

    python -m benchmarks.epoch_speed [--peers-python .venv-bench/bin/python]

Each measurement is a fresh process; the peers take turns, round by round. A peer whose package is missing is left out.
Also measures the machine's peak speed of matrix products, and the fraction of it that this platform's epoch reaches.
Writes benchmarks/output/epoch_speed.json.
"""

import shutil
import statistics
import sys
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from benchmarks.results import CPU, in_a_process, script_parser, spread, write
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
NUM_ROUNDS = {"fc": 3, "conv": 2}
# The last epoch counts. The first epoch of a process includes about 0.4 s of torch's imports and TensorFlow's compiler.
NUM_EPOCHS = {"fc": 2, "conv": 1}
EXTRA_EPOCHS = {"Keras on TensorFlow": 1}
NUM_DIGITS = 60_000
SIDE = 2048  # of the square matrices in the timed product


def measure_once(peer: str, network: str, peers_python: str) -> dict[str, Any]:
    """Seconds of the last epoch and peak memory, in a fresh process."""
    num_epochs = NUM_EPOCHS[network] + EXTRA_EPOCHS.get(peer, 0)
    python = sys.executable if peer == OURS else peers_python
    measured = in_a_process("benchmarks.peers", PEERS[peer], network, "--epochs", str(num_epochs), python=python)
    return {"seconds": measured["epoch_seconds"][-1], "peak_bytes": measured["peak_bytes"]}


def measure_all(peers_python: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Network -> peer -> one measurement per round."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {network: {} for network in NETWORKS}
    missing: set[str] = set()
    turns = [(network, peer) for network in NETWORKS for _ in range(NUM_ROUNDS[network]) for peer in PEERS]
    for network, peer in tqdm(turns, desc="epochs", disable=None, leave=False):
        if peer in missing:
            continue
        try:
            found[network].setdefault(peer, []).append(measure_once(peer, network, peers_python))
        except ModuleNotFoundError as error:
            tqdm.write(f"{peer} is left out: {error}")
            missing.add(peer)
            del found[network][peer]
    return found


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


def markdown(found: dict[str, dict[str, list[dict[str, Any]]]], shares: dict[str, dict[str, Any]]) -> str:
    """The table of the README: medians with ranges; the ratio is a peer's median over ours."""
    lines = ["| epoch of 60,000 images | seconds | ratio to ours | peak memory |", "|---|---|---|---|"]
    titles = {
        "fc": "**784-128-64-10, batch 64**",
        "conv": "**conv 32 - pool - conv 64 - pool - dropout - 10, batch 128**",
    }
    for network, peers in found.items():
        share = shares[network]
        lines.append(f"| {titles[network]} | | | |")
        ours = statistics.median(one["seconds"] for one in peers[OURS])
        for peer, measured in peers.items():
            seconds = [one["seconds"] for one in measured]
            memory = statistics.median(one["peak_bytes"] for one in measured) / 1e9
            note = f" ({share['precision']}, {share['share']:.0%} of peak)" if peer == OURS else ""
            ratio = statistics.median(seconds) / ours
            lines.append(f"| {peer}{note} | {spread(seconds)} | {ratio:.1f} | {memory:.2f} GB |")
    return "\n".join(lines)


def main() -> None:
    parser = script_parser(__doc__)
    parser.add_argument("--peers-python", default=sys.executable, help="Python interpreter with the peers installed")
    options = parser.parse_args()
    if not shutil.which(options.peers_python):
        parser.error(f"--peers-python {options.peers_python}: no such program; 'make bench' makes .venv-bench")
    load_dataset("mnist", "train")  # downloaded before the first measurement
    found = measure_all(options.peers_python)
    shares = {
        network: share_of_peak(network, statistics.median(one["seconds"] for one in found[network][OURS]))
        for network in NETWORKS
    }
    table = markdown(found, shares)
    write("epoch_speed", {"epochs": found, "shares": shares, "table": table}, CPU)
    print(table)


if __name__ == "__main__":
    main()
