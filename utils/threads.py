"""The number of CPU threads that torch computes a network with: a fixed rule, so that reruns are bit-equal."""

import os
import re

import torch
from torch import nn

from utils.devices import is_convolutional
from utils.errors import UserError

# Up to here a second thread costs more in barriers than it saves in arithmetic: 784-128-64-10 trains three times as
# fast on one thread, 784-512-512-10 (669,706 weights) equally fast on one and on two (benchmarks/SPEED_LOG.md).
MAX_PARAMETERS_OF_ONE_THREAD = 500_000


def available_cores() -> int:
    """Processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_num_threads(model: nn.Module, requested: int | None = None) -> int:
    """The number of threads for this network: `requested`, else OMP_NUM_THREADS (at most the available cores), else
    one for a network without convolutions and with at most 500,000 parameters, and all cores for any other.

    Raises UserError if `requested` or OMP_NUM_THREADS is not a usable number.
    """
    cores = available_cores()
    if requested is not None:
        check_num_threads(requested)
        return requested
    if "OMP_NUM_THREADS" in os.environ:
        return min(_omp_limit("OMP_NUM_THREADS"), cores)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    is_small = not is_convolutional(model) and num_parameters <= MAX_PARAMETERS_OF_ONE_THREAD
    return 1 if is_small else cores


def check_num_threads(requested: int) -> None:
    """Raises UserError unless this process can run that many threads at once."""
    cores = available_cores()
    if not 1 <= requested <= cores:
        raise UserError(f"--threads {requested}: expected 1 to {cores}, the cores available to this process")
    if "OMP_THREAD_LIMIT" in os.environ and requested > _omp_limit("OMP_THREAD_LIMIT"):
        raise UserError(
            f"--threads {requested}: OMP_THREAD_LIMIT is {os.environ['OMP_THREAD_LIMIT']}. Raise or unset one of them."
        )


def use_threads(model: nn.Module, requested: int | None = None) -> int:
    """Makes torch compute with as many threads as `choose_num_threads` says. Returns their number."""
    num_threads = choose_num_threads(model, requested)
    torch.set_num_threads(num_threads)
    return num_threads


def _omp_limit(name: str) -> int:
    """The first number of an OpenMP variable such as `4` or `4,2`."""
    found = re.fullmatch(r"\s*([1-9]\d{0,5})\s*(,.*)?", os.environ[name])
    if not found:
        raise UserError(f"{name} is '{os.environ[name][:40]}': expected a whole number from 1. Correct or unset it.")
    return int(found[1])
