"""Checkpoints: tensors and plain values, never code; written whole or not at all."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from utils.atomic_files import write_whole
from utils.errors import UserError
from utils.paths import shown

MAX_BYTES = 4 * 2**30  # three times the largest model string with Adam's state


def save_checkpoint(path: Path, values: dict[str, Any]) -> None:
    """Writes tensors and plain values. Raises OSError where the disk is full or read-only; the old file then stays."""
    buffer = io.BytesIO()  # torch.save to a path would hide the disk's error in a RuntimeError
    torch.save(_without_views(values), buffer)
    write_whole(path, buffer.getvalue())


def _without_views(values: Any) -> Any:
    """The same values; a tensor that is a part of a larger one is copied, for torch.save would write all of that."""
    if isinstance(values, Tensor):
        return values.clone() if values.untyped_storage().nbytes() > values.nbytes else values
    if isinstance(values, dict):
        return {key: _without_views(value) for key, value in values.items()}
    return [_without_views(value) for value in values] if isinstance(values, list) else values


def load_checkpoint(path: Path, keys: set[str]) -> dict[str, Any]:
    """The values of a checkpoint with exactly these keys, on the CPU.

    Raises UserError for a file that is missing, damaged, foreign, too large, or holds anything but tensors and
    plain values: no code of the file is ever run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise UserError(f"{shown(path)} claims more than {MAX_BYTES // 2**30} GiB: it is no checkpoint of ours")
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{shown(path)} is missing: the run cannot be loaded") from None
    except IsADirectoryError:
        raise UserError(f"{shown(path)} is a folder: expected a checkpoint") from None
    except pickle.UnpicklingError:
        raise UserError(
            f"{shown(path)} holds more than tensors and plain values and is not loaded: such a file could run code.\n"
            "Expected a checkpoint that this platform wrote."
        ) from None
    except (zipfile.BadZipFile, RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{shown(path)} is damaged or no checkpoint: {reason}") from None
    if not isinstance(values, dict) or set(values) != keys:
        raise UserError(f"{shown(path)} is a foreign file: expected a checkpoint with {', '.join(sorted(keys))}")
    return values


def load_weights(model: nn.Module, weights: Any, path: Path) -> None:
    """Puts a checkpoint's weights into the model. Raises UserError where they belong to another network."""
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{shown(path)} holds the weights of another network: {reason}") from None
