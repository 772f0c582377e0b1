"""Weights in the layout of a NumPy project, https://github.com/Sivakumar3695/CNN-MNIST: `weight_details<model>.npz`.

Arrays `weight_i` and `bias_i`, float64, i counting all layers of the model string from 1, pooling included;
convolutions (out, in, k, k), fully connected layers (out, in). Pixels are in [0, 1] there, and not standardised.
"""

import io
import math
import re
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from models.model_string import SIDE, Conv, FullyConnected, ModelString, Pool, parse
from utils.atomic_files import write_whole
from utils.errors import UserError

Arrays = dict[str, Float[np.ndarray, "..."]]
FILE_NAME = re.compile(r"weight_details(.+)\.npz")
MAX_BYTES = 2**30
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def weights_file_name(model_string: ModelString) -> str:
    return f"weight_details{model_string}.npz"


def read_weights(path: Path) -> tuple[ModelString, Arrays]:
    """The network that the file's name says, and its arrays by the platform's names, such as `conv1.weight`.

    Raises UserError where the name is no model string of this layout, or an array is missing, foreign, of another
    shape or not finite; nothing in the file is ever unpickled.
    """
    found = FILE_NAME.fullmatch(path.name)
    if not found:
        raise UserError(f"{path.name}: expected a name that says the model, as weight_detailsC(8,5)-P2-FC10.npz does")
    model_string = parse(found[1])
    shapes = _shapes(model_string)
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise UserError(f"{path} claims more than {MAX_BYTES // 2**30} GiB: expected weights of {model_string}")
        with np.load(path, allow_pickle=False) as file:
            foreign = sorted(set(file.files) - set(shapes))
            if foreign:
                raise UserError(f"{path}: {foreign[0]} is no array of {model_string}; expected {', '.join(shapes)}")
            arrays = {name: _checked(path, name, file, shape) for name, shape in shapes.items()}
    except UserError:
        raise
    except Exception as error:  # whatever zipfile and NumPy make of a damaged file
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "damaged, or no plain arrays"
        raise UserError(f"cannot read {path}: {reason}") from None
    return model_string, {_own_name(model_string, name): array for name, array in arrays.items()}


def write_weights(path: Path, model_string: ModelString, arrays: Arrays) -> None:
    """Writes arrays under the platform's names, those of `standardize` included, which go into the first weights.

    Raises UserError for a network that the layout does not have.
    """
    arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    names = list(_shapes(model_string))
    first = _own_name(model_string, names[0]).removesuffix(".weight")
    mean, std = arrays["standardize.mean"], arrays["standardize.std"]
    # w (x - mean) / std + b = (w / std) x + (b - mean * sum(w / std))
    weight = arrays[f"{first}.weight"] / std
    arrays[f"{first}.bias"] = arrays[f"{first}.bias"] - mean * weight.sum(axis=tuple(range(1, weight.ndim)))
    arrays[f"{first}.weight"] = weight
    content = io.BytesIO()
    np.savez(content, **{name: arrays[_own_name(model_string, name)] for name in names})  # type: ignore[arg-type]
    write_whole(path, content.getvalue())


def _shapes(model_string: ModelString) -> dict[str, tuple[int, ...]]:
    """The file's arrays and their shapes. Raises UserError for a layer that the layout does not have."""
    shapes: dict[str, tuple[int, ...]] = {}
    inputs: tuple[int, ...] = (1, SIDE, SIDE)
    for number, (layer, outputs) in enumerate(zip(model_string.layers, model_string.shapes, strict=True), start=1):
        match layer:
            case Conv(channels, size, False):
                shapes |= {f"weight_{number}": (channels, inputs[0], size, size), f"bias_{number}": (channels,)}
            case FullyConnected(width):
                shapes |= {f"weight_{number}": (width, math.prod(inputs)), f"bias_{number}": (width,)}
            case Pool(_, False):
                pass
            case _:
                raise UserError(
                    f"{layer} of {model_string} is not in this layout of weights: "
                    "it has valid convolutions, max pooling and fully connected layers"
                )
        inputs = outputs
    return shapes


def _own_name(model_string: ModelString, name: str) -> str:
    """`weight_1` -> `conv1.weight`."""
    kind, number = name.split("_")
    return f"{model_string.names[int(number) - 1]}.{kind}"


def _checked(path: Path, name: str, file: np.lib.npyio.NpzFile, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """An array of the file as float64. Raises UserError where it is not what the model string says."""
    if name not in file.files:
        raise UserError(f"{path}: {name} is missing; expected it with the shape {shape}")
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
        found_shape, _, dtype = HEADER_READERS[np.lib.format.read_magic(member)](member)  # before memory is taken
    if found_shape != shape or dtype.kind not in "fiu":
        raise UserError(f"{path}: {name} has the shape {found_shape}, {dtype}; expected numbers of shape {shape}")
    array = file[name].astype(np.float64)
    if not (np.abs(array) < np.finfo(np.float32).max).all():
        raise UserError(f"{path}: {name} holds values that are not finite; expected numbers")
    return array
