"""Small inputs that tests make, and how strictly types are checked in them."""

import gzip
from pathlib import Path

import torch
from beartype import BeartypeConf, beartype

# What checks every signature while the tests run: as PEP 484 has it, a whole number may stand for a float.
check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))


def write_idx(path: Path, values: torch.Tensor) -> None:
    """An idx file of bytes or, for int32, of whole numbers; gzipped, as MNIST's are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    item_type, content = (12, values.numpy().astype(">i4")) if values.dtype == torch.int32 else (8, values.numpy())
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(gzip.compress(bytes([0, 0, item_type, values.ndim]) + sizes + content.tobytes()))
