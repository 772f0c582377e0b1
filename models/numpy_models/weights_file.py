"""Weight files of the NumPy project https://github.com/Sivakumar3695/CNN-MNIST: `weight_details<model>.npz`.

The arrays are `weight_i` and `bias_i` in float64, where i counts all layers of the model string from 1, pooling
included. Convolutions have the shape (out, in, k, k), fully connected layers (out, in). The networks of that project
take pixels in [0, 1] without standardisation.
"""

import io
import math
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from models.model_string import Conv, FullyConnected, ModelString, Pool, Shape, parse
from utils.errors import UserError
from utils.files import shown, write_whole
from utils.outside import DamagedFile, read_arrays

Array = Float[np.ndarray, "..."]
Arrays = dict[str, Array]
FILE_NAME = re.compile(r"weight_details(.+)\.npz")


def weights_file_name(model_string: ModelString) -> str:
    return f"weight_details{model_string}.npz"


def read_weights(path: Path) -> tuple[ModelString, Arrays]:
    """The network that the file's name describes, and its arrays under this platform's names, such as `conv1.weight`.

    Raises UserError for a name without a model string of this format, and for an array that is missing, unexpected,
    of the wrong shape or not finite. Nothing in the file is unpickled.
    """
    match = FILE_NAME.fullmatch(path.name)
    if not match:
        raise UserError(f"{path.name}: expected a file name with the model, such as weight_detailsC(8,5)-P2-FC10.npz")
    model_string = parse(match[1])
    shapes = _file_shapes(model_string)
    try:
        file = read_arrays(path)
    except (OSError, DamagedFile) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"cannot read {shown(path)}: {reason}; expected plain arrays of weights") from None
    for name in sorted(set(file) - set(shapes)):
        raise UserError(f"{shown(path)}: {name} is not an array of {model_string}; expected {', '.join(shapes)}")
    for name in [name for name in shapes if name not in file]:
        raise UserError(f"{shown(path)}: {name} is missing; expected it with the shape {shapes[name]}")
    arrays = {name: _checked(path, name, file[name], shape) for name, shape in shapes.items()}
    return model_string, {_platform_name(model_string, name): array for name, array in arrays.items()}


def write_weights(path: Path, model_string: ModelString, arrays: Arrays) -> None:
    """Writes arrays with this platform's names. The standardisation, `standardize.mean` and `standardize.std`, is
    merged into the first weights.

    Raises UserError for a network that the format does not support.
    """
    arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    names = list(_file_shapes(model_string))
    first = _platform_name(model_string, names[0]).removesuffix(".weight")
    mean, std = arrays["standardize.mean"], arrays["standardize.std"]
    # w (x - mean) / std + b = (w / std) x + (b - mean * sum(w / std))
    weight = arrays[f"{first}.weight"] / std
    arrays[f"{first}.bias"] = arrays[f"{first}.bias"] - mean * weight.sum(axis=tuple(range(1, weight.ndim)))
    arrays[f"{first}.weight"] = weight
    content = io.BytesIO()
    np.savez(content, **{name: arrays[_platform_name(model_string, name)] for name in names})  # type: ignore[arg-type]
    write_whole(path, content.getvalue())


def _file_shapes(model_string: ModelString) -> dict[str, Shape]:
    """The arrays of the file and their shapes. Raises UserError for a layer that the format does not support."""
    shapes: dict[str, Shape] = {}
    for number, (layer, inputs) in enumerate(zip(model_string.layers, model_string.input_shapes, strict=True), start=1):
        match layer:
            case Conv(channels, size, False):
                shapes |= {f"weight_{number}": (channels, inputs[0], size, size), f"bias_{number}": (channels,)}
            case FullyConnected(width):
                shapes |= {f"weight_{number}": (width, math.prod(inputs)), f"bias_{number}": (width,)}
            case Pool(_, False):
                pass
            case _:
                raise UserError(
                    f"{layer} of {model_string} is not supported by this weight format: "
                    "expected valid convolutions, max pooling and fully connected layers"
                )
    return shapes


def _platform_name(model_string: ModelString, name: str) -> str:
    """`weight_1` -> `conv1.weight`."""
    kind, number = name.split("_")
    return f"{model_string.names[int(number) - 1]}.{kind}"


def _checked(path: Path, name: str, array: np.ndarray, shape: Shape) -> Array:
    """The array as float64. Raises UserError for another shape, other types than numbers, or values not finite."""
    if array.shape != shape or array.dtype.kind not in "fiu":
        raise UserError(f"{path}: {name} has the shape {array.shape}, {array.dtype}; expected numbers of shape {shape}")
    if not (np.abs(array) < np.finfo(np.float32).max).all():
        raise UserError(f"{path}: {name} holds values that are not finite; expected numbers")
    return array.astype(np.float64)
