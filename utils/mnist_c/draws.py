"""Random numbers of a block of digits: each digit's are the same, however many digits of its block are asked for."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

BLOCK = 1000  # digits that share a generator

Levels = Float[Tensor, "n 28 28"]  # 0 to 255, at most a block of digits


def uniform(digits: Levels, generator: torch.Generator, *sizes: int) -> Float[Tensor, "n ..."]:
    """Numbers in [0, 1) of this shape for each digit, on the digits' device.

    Drawn for the whole block, on the CPU: so they depend neither on the number of digits nor on the device.
    """
    return torch.rand(BLOCK, *sizes, generator=generator)[: len(digits)].to(digits.device)


def normal(digits: Levels, generator: torch.Generator, *sizes: int) -> Float[Tensor, "n ..."]:
    """Standard normal numbers, as `uniform` draws its own."""
    return torch.randn(BLOCK, *sizes, generator=generator)[: len(digits)].to(digits.device)


def whole_number(digits: Levels, generator: torch.Generator, low: int, high: int) -> Int64[Tensor, " n"]:
    """One of low, ..., high - 1 for each digit, all equally likely."""
    return torch.randint(low, high, (BLOCK,), generator=generator)[: len(digits)].to(digits.device)


def sign(digits: Levels, generator: torch.Generator) -> Int64[Tensor, " n"]:
    """-1 or 1 for each digit."""
    return whole_number(digits, generator, 0, 2) * 2 - 1
