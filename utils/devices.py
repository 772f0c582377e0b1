"""Which device, which precision: asked of the hardware, not assumed."""

import importlib.util
import os
import shutil
import sys
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from utils.errors import UserError


def choose_device(name: str) -> torch.device:
    """The device of this name; `auto` takes CUDA, then Apple's MPS, then the CPU.

    Raises UserError for a device that this machine lacks, naming those that it has.
    """
    available = available_devices()
    if name == "auto":
        return torch.device(available[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or (str(device) not in available and device.type not in available):
        raise UserError(f"device '{name}' is not on this machine: expected auto or one of {', '.join(available)}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device '{name}' is not on this machine: it has {torch.cuda.device_count()} CUDA device(s)")
    return device


def available_devices() -> list[str]:
    """Types of the devices of this machine, the fastest first."""
    cuda = ["cuda"] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware. An unknown processor counts as one that does not."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # came with torch 2.10
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def choose_precision(name: str, device: torch.device, model: nn.Module) -> str:
    """`fp32` or `bf16`. `auto` is bf16 for a convolutional network where the device is made for it:
    for small fully connected networks the conversions cost more than they bring.

    Raises UserError for bf16 on a device that would only emulate it.
    """
    if name == "auto":
        return "bf16" if is_convolutional(model) and has_fast_bf16(device) else "fp32"
    if name == "fp64":
        raise UserError("precision 'fp64' is for --engine numpy: expected auto, fp32 or bf16")
    if name == "bf16" and not has_fast_bf16(device):
        raise UserError(f"precision 'bf16' is not in this {device.type}'s hardware: expected auto or fp32")
    return name


def choose_compile(name: str, device: torch.device) -> str:
    """How a training step runs on the device: `none`, `inductor` or `cuda_graph`. `auto` is what measures best:
    a recorded graph on CUDA; on a CPU, where inductor brings nothing for networks of this size, none.

    Raises UserError for a mode that the device lacks.
    """
    if name == "auto":
        return "cuda_graph" if device.type == "cuda" else "none"
    if name == "cuda_graph" and device.type != "cuda":
        raise UserError(f"compile 'cuda_graph' needs CUDA, this is {device.type}: expected auto, none or inductor")
    if name == "inductor" and device.type not in ("cpu", "cuda"):
        raise UserError(f"compile 'inductor' is not for {device.type}: expected auto or none")
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")  # as inductor looks for it
    if name == "inductor" and device.type == "cpu" and not shutil.which(compiler):
        raise UserError(f"compile 'inductor' needs a C++ compiler on a CPU, and there is no {compiler} here")
    if name == "inductor" and device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise UserError("compile 'inductor' needs the package triton on CUDA: expected auto, none or cuda_graph")
    return name


def is_convolutional(model: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def memory_format(model: nn.Module) -> torch.memory_format:
    """channels_last for convolutional networks, where pooling and convolution are fastest in it."""
    return torch.channels_last if is_convolutional(model) else torch.contiguous_format


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which a forward pass runs."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all that it was asked, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
