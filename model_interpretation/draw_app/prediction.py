"""Predictions for a drawing: models of runs, loaded once, with the check whether a drawing is like their digits."""

import base64
import functools
import io
import threading
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import nn

from model_interpretation.activations import as_rectangle, layer_outputs, penultimate_layer, record_outputs
from model_interpretation.attribution_methods import integrated_gradients
from model_interpretation.draw_app.limits import FORMATS, MAX_PIXELS
from model_interpretation.ood_check import OodCheck, Stopped, compute_check, stored_check
from models.registry import load_trained
from utils.data.batches import to_pixels
from utils.data.digit_preprocessing import SIDE, STEP_NAMES, PreparedDigit, prepare, read_picture
from utils.errors import UserError
from utils.run import Run

MAX_LOADED = 4  # models in memory
STAGE_SIDE = 120  # pixels; the picture of a preprocessing step
SHEET_WIDTH, MAP_SIZE, VALUE_SIZE = 960, 48, 12  # pixels on the screen: all maps, one map, one value of a vector
VALUES_PER_ROW = 16
EXTRAS = ("stages", "activations", "attribution")
POSITIVE, NEGATIVE = (221, 107, 32), (66, 153, 225)  # RGB of pixels for and against the predicted class


@dataclass(frozen=True)
class LoadedModel:
    model: nn.Module
    check: Future[OodCheck | None]
    """None if the check cannot be computed, for example without the training digits of the run."""


class ModelCache:
    """The models of runs by run name, loaded on first use. The least recently used ones are dropped.

    A check that the run does not store is computed in the background, so predictions need not wait for it.
    """

    def __init__(self, runs: list[Run]) -> None:
        self.runs = {run.name: run for run in runs}
        self.get = functools.lru_cache(MAX_LOADED)(self._load)
        self.background = ThreadPoolExecutor(max_workers=1)
        self.is_closed = threading.Event()

    def run(self, name: str) -> Run:
        """Raises UserError for an unknown name."""
        if name not in self.runs:
            raise UserError(f"no run '{name[:60]}' on this page")
        return self.runs[name]

    def close(self) -> None:
        """Stops the computations in the background."""
        self.is_closed.set()
        self.background.shutdown(wait=False, cancel_futures=True)

    def _load(self, name: str) -> LoadedModel:
        """Raises UserError for an unknown name and for a run whose files are missing or damaged."""
        run = self.run(name)
        model = load_trained(run, num_threads=1).requires_grad_(False)  # more threads do not pay for one digit
        stored = stored_check(run)
        if stored is None:
            return LoadedModel(model, self.background.submit(self._compute_check, run))
        check: Future[OodCheck | None] = Future()
        check.set_result(stored)
        return LoadedModel(model, check)

    def _compute_check(self, run: Run) -> OodCheck | None:
        try:  # with a network of its own: hooks on a shared one would receive the outputs of both threads
            return compute_check(run, load_trained(run, num_threads=1), self.is_closed.is_set)
        except (UserError, Stopped):
            return None


def prepare_picture(picture: bytes, skipped_steps: Collection[str], is_mnist_form: bool) -> PreparedDigit:
    """The digit in a picture file. A digit of a data set has MNIST's form (`is_mnist_form`) and skips all steps.

    Raises UserError for anything but a picture with a stroke, and for unknown steps.
    """
    _check_known("step", skipped_steps, STEP_NAMES)
    grey = read_picture(picture, MAX_PIXELS, FORMATS)
    if not is_mnist_form:
        return prepare(grey, skipped_steps)
    if grey.shape != (SIDE, SIDE):
        raise UserError(f"a picture of {grey.shape[1]} x {grey.shape[0]} pixels: expected {SIDE} x {SIDE}")
    return PreparedDigit({"grey": grey}, (grey * 255).round().astype(np.uint8))


def predict_drawing(prepared: PreparedDigit, models: dict[str, LoadedModel], extras: Collection[str]) -> dict[str, Any]:
    """Everything that the page shows for a digit, as JSON values; pictures are data URLs.

    Raises UserError for unknown extras.
    """
    _check_known("extra", extras, EXTRAS)
    result: dict[str, Any] = {
        "digit": prepared.digit.ravel().tolist(),
        "predictions": {name: _prediction(loaded, prepared.digit, extras) for name, loaded in models.items()},
    }
    if "stages" in extras:
        result["stages"] = {name: grey_url(stage, STAGE_SIDE) for name, stage in prepared.stages.items()}
    return result


def _check_known(kind: str, names: Collection[str], known: Collection[str]) -> None:
    unknown = sorted({*names} - {*known})
    if unknown:
        raise UserError(f"unknown {kind}: {', '.join(unknown)[:60]}; expected one of {', '.join(known)}")


def _prediction(loaded: LoadedModel, digit: UInt8[np.ndarray, "28 28"], extras: Collection[str]) -> dict[str, Any]:
    image = torch.from_numpy(digit)
    pixels = to_pixels(image[None])
    check = loaded.check.result() if loaded.check.done() else None
    layers = {"embedding": penultimate_layer(loaded.model)} if check else {}
    with torch.no_grad(), record_outputs(layers) as outputs:
        logits = loaded.model(pixels)[0].float()
    similarity = check(outputs["embedding"].flatten(1).float())[0] if check else None
    probabilities = logits.softmax(0)
    result: dict[str, Any] = {
        "prediction": int(logits.argmax()),
        "confidence": float(probabilities.max()),
        "probabilities": probabilities.tolist(),
        "similarity": similarity and similarity.value,
        "similarity_threshold": similarity and similarity.threshold,
        "out_of_distribution": similarity and similarity.is_out_of_distribution,
        "is_check_pending": not loaded.check.done(),
    }
    if "activations" in extras:
        result["activations"] = [
            {"name": output.name, "shape": output.shape, **_sheet(output.values)}
            for output in layer_outputs(loaded.model, image)
            if output.kind != "Flatten"
        ]
    if "attribution" in extras:
        attribution = integrated_gradients(loaded.model, pixels, logits.argmax()[None])[0]
        result["attribution"] = _url(_overlay(attribution.numpy()))
    return result


def _sheet(values: Float[np.ndarray, "..."]) -> dict[str, Any]:
    """One picture of all maps or values of a layer, and the factor by which the page enlarges it."""
    scaled = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
    if scaled.ndim == 1:
        sheet = scaled[None] if len(scaled) <= VALUES_PER_ROW else as_rectangle(scaled)
        return {"picture": grey_url(sheet), "zoom": VALUE_SIZE}
    side = scaled.shape[2] + 1  # with the line between two maps
    zoom = max(2, MAP_SIZE // side)
    columns = min(len(scaled), SHEET_WIDTH // (zoom * side))
    framed = np.pad(scaled, ((0, -len(scaled) % columns), (0, 1), (0, 1)))
    rows = framed.reshape(-1, columns, *framed.shape[1:])
    sheet = rows.transpose(0, 2, 1, 3).reshape(rows.shape[0] * rows.shape[2], -1)
    return {"picture": grey_url(sheet), "zoom": zoom}


def _overlay(attribution: Float[np.ndarray, "28 28"]) -> Image.Image:
    """The attribution map as a picture whose opacity is the absolute attribution."""
    opacity = np.abs(attribution) / max(float(np.abs(attribution).max()), 1e-12)
    colours = np.where((attribution > 0)[..., None], POSITIVE, NEGATIVE)
    return Image.fromarray(np.dstack([colours, 255 * opacity]).astype(np.uint8), "RGBA")


def grey_url(values: Float[np.ndarray, "height width"], max_side: int | None = None) -> str:
    """Values in [0, 1] as the data URL of a PNG, shrunk to `max_side` pixels if larger."""
    picture = Image.fromarray((values * 255).round().clip(0, 255).astype(np.uint8))
    if max_side:
        picture.thumbnail((max_side, max_side))
    return _url(picture)


def _url(picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
