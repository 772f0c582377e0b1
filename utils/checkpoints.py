"""Checkpoints: files of tensors and plain values, read with `weights_only` and written whole or not at all. Weights in
safetensors files."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from utils.errors import UserError, brief, needs_extra
from utils.files import replace_file, shown
from utils.outside import open_regular, parse_json, read_bounded

MAX_NETWORK_BYTES = 2**30  # of a file with a network: 268 million parameters


def save_checkpoint(path: Path, values: dict[str, Any], previous: Path | None = None) -> None:
    """Writes tensors and plain values. The old file is renamed to `previous`, if given. Raises OSError if the disk is
    full or read-only; the old file then remains."""
    buffer = io.BytesIO()  # torch.save to a path hides the disk's error in a RuntimeError
    torch.save(_without_views(values), buffer)
    replace_file(path, buffer.getvalue(), previous)


def _without_views(values: Any) -> Any:
    """The same values with every view of a larger tensor copied: torch.save writes the whole storage of a tensor."""
    if isinstance(values, Tensor):
        return values.clone() if values.untyped_storage().nbytes() > values.nbytes else values
    if isinstance(values, dict):
        return {key: _without_views(value) for key, value in values.items()}
    return [_without_views(value) for value in values] if isinstance(values, list) else values


def load_checkpoint(path: Path, keys: set[str]) -> dict[str, Any]:
    """The values of a checkpoint with exactly these keys, on the CPU.

    Raises UserError for a file that is missing, damaged or foreign. No code in the file is ever run.
    """
    try:
        with open_regular(path) as file:
            with zipfile.ZipFile(file) as archive:  # torch.load does not compare the checksums
                if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                    raise zipfile.BadZipFile("it is compressed")  # it could unpack to any size
                damaged_part = archive.testzip()
            if damaged_part is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged_part} is wrong")
            file.seek(0)
            values = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{shown(path)} is missing: the run cannot be loaded") from None
    except pickle.UnpicklingError:
        raise UserError(
            f"{shown(path)} is damaged or holds more than tensors and plain values, and is not loaded: such a file "
            "could run code.\nExpected a checkpoint that this platform wrote."
        ) from None
    except (
        zipfile.BadZipFile, OSError, RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError
    ) as error:  # fmt: skip
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{shown(path)} is damaged or not a checkpoint: {reason}") from None
    if not isinstance(values, dict) or set(values) != keys:
        raise UserError(f"{shown(path)} is a foreign file: expected a checkpoint with {', '.join(sorted(keys))}")
    return values


def load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file by name, and its texts. Raises UserError for a file that is missing, damaged or
    foreign."""
    with needs_extra("export"):
        import safetensors.torch
    try:
        content = read_bounded(path, MAX_NETWORK_BYTES)
        tensors = safetensors.torch.load(content)  # checks the header, which says where the tensors are
        header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")].decode())
    except (OSError, safetensors.SafetensorError, ValueError, LookupError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or brief(error)
        raise UserError(f"{shown(path)} cannot be read as a safetensors file: {reason}") from None
    return tensors, header.get("__metadata__", {})


def load_weights(model: nn.Module, weights: Any, path: Path) -> None:
    """Loads a checkpoint's weights into the model. Raises UserError if they belong to another network, and for NaN and
    infinite weights."""
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{shown(path)} holds the weights of another network: {reason}") from None
    for name, values in model.state_dict().items():
        if not values.isfinite().all():
            raise UserError(f"{shown(path)} is damaged: {name} has NaN or infinite values. Train the run again")
