"""The machine: devices, precision, CPU threads, random seeds, and the description that a run records."""

import dataclasses
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from utils.errors import UserError, printable
from utils.files import PROJECT_FOLDER, is_checkout
from utils.recipe import Execution, Recipe

NUMPY_EXECUTION = {"device": ("auto", "cpu"), "precision": ("auto", "fp32", "fp64"), "compile": ("auto", "none")}


def resolve_execution(recipe: Recipe, model: nn.Module, execution: Execution) -> Execution:
    """The execution with every `auto` replaced by the choice for this machine and model. Also sets torch's number of
    CPU threads.

    Raises UserError for a request that the machine or the recipe's backend cannot fulfil.
    """
    threads = use_threads(model, execution.threads)
    if recipe.backend == "numpy":
        for name, values in NUMPY_EXECUTION.items():
            value = getattr(execution, name)
            if value not in values:
                raise UserError(f"--{name} {value}: the NumPy backend expects {' or '.join(values)}")
        is_double = execution.precision == "fp64"
        return dataclasses.replace(
            execution, device="cpu", precision="fp64" if is_double else "fp32", compile="none", threads=threads
        )
    device = choose_device(execution.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # streams and graphs belong to the current device
    return dataclasses.replace(
        execution,
        device=str(device),
        precision=choose_precision(execution.precision, device, model),
        compile=choose_compile(execution.compile, device, recipe),
        threads=threads,
    )


# Devices and precision.


def choose_device(name: str) -> torch.device:
    """The device of this name. `auto` is CUDA if available, else Apple's MPS, else the CPU.

    Raises UserError if this machine lacks the device.
    """
    available = available_devices()
    if name == "auto":
        return torch.device(available[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or (str(device) not in available and device.type not in available):
        raise UserError(f"device '{name}' is not on this machine: expected one of auto, {', '.join(available)}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device '{name}' is not on this machine: it has {torch.cuda.device_count()} CUDA device(s)")
    return device


def available_devices() -> list[str]:
    """The device types of this machine, the fastest first."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, is_available in found.items() if is_available]


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware. False for an unknown processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # new in torch 2.10
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def choose_precision(name: str, device: torch.device, model: nn.Module) -> Literal["fp32", "bf16"]:
    """`auto` is bf16 for a convolutional network on a device with bf16 arithmetic, else fp32: in small fully connected
    networks the conversions cost more than bf16 saves.

    Raises UserError for bf16 on a device that only emulates it.
    """
    if name == "auto":
        return "bf16" if is_convolutional(model) and has_fast_bf16(device) else "fp32"
    if name == "fp64":
        raise UserError("precision 'fp64' needs --backend numpy: expected auto, fp32 or bf16")
    if name == "bf16" and not has_fast_bf16(device):
        raise UserError(f"precision 'bf16' is not in the hardware of this {device.type}: expected auto or fp32")
    return "bf16" if name == "bf16" else "fp32"


def choose_compile(
    name: str, device: torch.device, recipe: Recipe = Recipe()
) -> Literal["none", "inductor", "cuda_graph"]:
    """How a training step runs on the device. `auto` is the fastest mode: cuda_graph on CUDA, none elsewhere (on a CPU,
    inductor does not speed up networks of this size) and for objectives besides classification, whose random draws a
    recorded step would repeat.

    Raises UserError for a mode that the device or the recipe does not allow.
    """
    if name == "auto":
        return "cuda_graph" if device.type == "cuda" and not recipe.has_objectives else "none"
    if name == "cuda_graph":
        if device.type != "cuda":
            raise UserError(f"compile 'cuda_graph' needs CUDA, this is {device.type}: expected auto, none or inductor")
        if recipe.has_objectives:
            raise UserError(
                "compile 'cuda_graph' has no adversarial training, consistency, mixing or outlier exposure: expected "
                "auto, none or inductor"
            )
        return "cuda_graph"
    if name != "inductor":
        return "none"
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")  # inductor's own search
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"compile 'inductor' is not for {device.type}: expected auto or none")
    if device.type == "cpu" and not shutil.which(compiler):
        raise UserError(f"compile 'inductor' needs a C++ compiler on a CPU, and {compiler} is not installed")
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise UserError("compile 'inductor' needs the package triton on CUDA: expected auto, none or cuda_graph")
    return "inductor"


def is_convolutional(model: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def memory_format(model: nn.Module) -> torch.memory_format:
    """channels_last for convolutional networks: pooling and convolution are fastest in this layout."""
    return torch.channels_last if is_convolutional(model) else torch.contiguous_format


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context for a forward pass in this precision."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def synchronize(device: torch.device) -> None:
    """Waits until the device has finished all its work, before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


# The number of CPU threads: a fixed rule, so that repeated runs are bit-equal.


# Below this size a second thread costs more in barriers than it saves in arithmetic: 784-128-64-10 trains three times
# as fast on one thread, 784-512-512-10 (669,706 weights) equally fast on one and on two (benchmarks/SPEED_LOG.md).
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
    most = min(cores, _omp_limit("OMP_THREAD_LIMIT", cores))
    if requested is not None:
        if not 1 <= requested <= cores:
            raise UserError(f"--threads {requested}: expected 1 to {cores}, the cores available to this process")
        if requested > most:
            raise UserError(f"--threads {requested}: OMP_THREAD_LIMIT is {most}. Raise or unset one of them.")
        return requested
    if "OMP_NUM_THREADS" in os.environ:
        return min(most, _omp_limit("OMP_NUM_THREADS", cores))
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    is_small = not is_convolutional(model) and num_parameters <= MAX_PARAMETERS_OF_ONE_THREAD
    return 1 if is_small else most


def use_threads(model: nn.Module, requested: int | None = None) -> int:
    """Sets torch's number of threads by `choose_num_threads` and returns it."""
    num_threads = choose_num_threads(model, requested)
    torch.set_num_threads(num_threads)
    return num_threads


def _omp_limit(name: str, default: int) -> int:
    """The first number of an OpenMP variable such as `4` or `4,2`, or the default if it is not set."""
    value = os.environ.get(name, str(default))
    found = re.fullmatch(r"\s*([1-9]\d{0,5})\s*(,.*)?", value)
    if not found:
        raise UserError(f"{name} is '{value[:40]}': expected a whole number from 1. Correct or unset it.")
    return int(found[1])


# All randomness is a function of (seed, epoch, purpose), so no generator state is ever saved.


Purpose = Literal["initialisation", "order", "augmentation", "transformations", "objectives", "dropout"]


def random_seed(seed: int, epoch: int, purpose: Purpose) -> int:
    """A 64-bit seed for one purpose in one epoch. Epochs count from 1; the initialisation is epoch 0.

    Nearby arguments give unrelated seeds (NumPy's SeedSequence, after O'Neill 2015).
    """
    sequence = np.random.SeedSequence([seed, epoch, *purpose.encode()])
    return int(sequence.generate_state(1, np.uint64)[0])


# What environment.json records: versions, machine, commit and execution.


PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn")


def describe_environment(execution: Execution, num_together: int = 1) -> dict[str, Any]:
    """Plain values for environment.json. `execution` is resolved; `git_commit` is None outside a git checkout."""
    commit = _git("rev-parse", "HEAD")
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *map(_without_home, sys.argv[1:])],
        "working_folder": _without_home(str(Path.cwd())),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "device": device_name(torch.device(execution.device)),
        "num_threads": execution.threads,
        "execution": {**dataclasses.asdict(execution), "num_together": num_together},
        "git_commit": commit,
        "git_tree_is_clean": None if commit is None else _git("status", "--porcelain") == "",
    }


def _without_home(text: str) -> str:
    """The text with ~ for the user's home folder, so that a published run does not name the user."""
    home = str(Path.home())
    return printable(text if home == Path(home).anchor else re.sub(rf"{re.escape(home)}(?![^/\\,])", "~", text))


def device_name(device: torch.device) -> str:
    """The name of the GPU, or of the processor with the number of threads that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' * (threads > 1)}"


def _processor() -> str:
    cpu_info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.*)", cpu_info.read_text(encoding="utf-8")) if cpu_info.exists() else []
    return names[0].strip() if names else platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    """The output of git in the checkout; None outside a checkout, where git would name an unrelated repository."""
    if not is_checkout():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(PROJECT_FOLDER), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
