"""What the page is told of a drawing: each step of its way to 28 x 28, the answers, and what lies behind them."""

import base64
import io
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from model_interpretation.attribution_methods import integrated_gradients
from model_interpretation.draw_app.networks import LoadedNetwork
from model_interpretation.layer_outputs import as_rectangle, layer_outputs
from utils.errors import UserError
from utils.handwriting import STEP_NAMES, PreparedDigit, prepare
from utils.mnist_form import SIDE
from utils.pictures import read_picture
from utils.preloading import to_pixels

STAGE_SIDE = 120  # pixels of a step's small picture
SHEET_PIXELS, MAP_PIXELS, VALUE_PIXELS = 960, 48, 12  # of the screen: all maps, a small one, a unit's value
ROW = 16  # values that stand in one row
EXTRAS = ("stages", "layers", "pixels")  # what the page may ask for besides
FOR, AGAINST = (221, 107, 32), (66, 153, 225)  # colours of pixels that speak for the answer and against it


def read_drawing(picture: bytes, without: Collection[str], is_ready: bool) -> PreparedDigit:
    """The digit in a picture; `is_ready` where it is one of a data set, in MNIST's form already.

    Raises UserError for no picture, one without a stroke, and steps that there are not.
    """
    unknown = sorted({*without} - {*STEP_NAMES})
    if unknown:
        raise UserError(f"unknown step: {', '.join(unknown)[:60]}")
    grey = read_picture(picture)
    if not is_ready:
        return prepare(grey, without)
    if grey.shape != (SIDE, SIDE):
        raise UserError(f"a picture of {grey.shape[1]} x {grey.shape[0]} pixels: expected {SIDE} x {SIDE}")
    return PreparedDigit({"grey": grey}, (grey * 255).round().astype(np.uint8))


def describe(prepared: PreparedDigit, networks: dict[str, LoadedNetwork], extras: Collection[str]) -> dict[str, Any]:
    """All that the page shows of a digit, as plain values; pictures as data URIs.

    Raises UserError for extras that there are not.
    """
    unknown = sorted({*extras} - {*EXTRAS})
    if unknown:
        raise UserError(f"unknown extra: {', '.join(unknown)[:60]}")
    answer: dict[str, Any] = {
        "digit": prepared.digit.ravel().tolist(),
        "answers": {name: _answer(network, prepared.digit, extras) for name, network in networks.items()},
    }
    if "stages" in extras:
        answer["stages"] = {name: grey_uri(stage, STAGE_SIDE) for name, stage in prepared.stages.items()}
    return answer


def _answer(network: LoadedNetwork, digit: UInt8[np.ndarray, "28 28"], extras: Collection[str]) -> dict[str, Any]:
    image = torch.from_numpy(digit)
    pixels = to_pixels(image[None])
    with torch.no_grad():
        logits = network.model(pixels)[0].float()
    answer: dict[str, Any] = {
        "probabilities": logits.softmax(0).tolist(),
        "strange": network.familiarity.is_strange(logits) if network.familiarity else None,
    }
    if "layers" in extras:
        answer["layers"] = [
            {"name": output.name, "shape": output.shape, **_sheet(output.values)}
            for output in layer_outputs(network.model, image)
            if output.kind != "Flatten"
        ]
    if "pixels" in extras:
        found = integrated_gradients(network.model, pixels, logits.argmax()[None])[0]
        answer["pixels"] = _uri(_coloured(found.numpy()))
    return answer


def _sheet(values: Float[np.ndarray, "..."]) -> dict[str, Any]:
    """Maps side by side, values as a rectangle, few in a row; and how large a pixel of that is to be shown."""
    scaled = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
    if scaled.ndim == 1:
        sheet = scaled[None] if len(scaled) <= ROW else as_rectangle(scaled)
        return {"picture": grey_uri(sheet), "zoom": VALUE_PIXELS}
    side = scaled.shape[2] + 1  # with the line between maps
    zoom = max(2, MAP_PIXELS // side)
    columns = min(len(scaled), SHEET_PIXELS // (zoom * side))
    framed = np.pad(scaled, ((0, -len(scaled) % columns), (0, 1), (0, 1)))
    rows = framed.reshape(-1, columns, *framed.shape[1:])
    sheet = rows.transpose(0, 2, 1, 3).reshape(rows.shape[0] * rows.shape[2], -1)
    return {"picture": grey_uri(sheet), "zoom": zoom}


def _coloured(found: Float[np.ndarray, "28 28"]) -> Image.Image:
    """The more a pixel matters, the less it can be seen through."""
    strength = np.abs(found) / max(float(np.abs(found).max()), 1e-12)
    colours = np.where((found > 0)[..., None], FOR, AGAINST)
    return Image.fromarray(np.dstack([colours, 255 * strength]).astype(np.uint8), "RGBA")


def grey_uri(values: Float[np.ndarray, "height width"], side: int | None = None) -> str:
    """Values from 0 to 1 as a picture, no larger than `side`."""
    picture = Image.fromarray((values * 255).round().clip(0, 255).astype(np.uint8))
    if side:
        picture.thumbnail((side, side))
    return _uri(picture)


def _uri(picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
