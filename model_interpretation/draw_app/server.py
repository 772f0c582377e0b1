"""The HTTP server of the drawing page. It answers this machine only; limits.py bounds all requests."""

import contextlib
import io
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from model_interpretation.draw_app.limits import FORMATS, HOSTS, MAX_PIXELS, Gate, Load, Refused
from model_interpretation.draw_app.pages import PAGE, WRITTEN_PAGE_POLICY, drawing_page, written_page
from model_interpretation.draw_app.prediction import ModelCache, grey_url, predict_drawing, prepare_picture
from model_interpretation.predict import load_run_split, load_test_predictions
from utils.data.datasets import ImageSet, class_names
from utils.data.digit_preprocessing import STEP_NAMES, prepare, read_picture
from utils.errors import UserError, needs_extra
from utils.evaluation import predict_logits
from utils.files import drawings_folder, shown, write_whole
from utils.navigation import TEMPLATE_FOLDER
from utils.run import Run

with needs_extra("draw"):
    from fastapi import FastAPI, Query, Request
    from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
    from fastapi.staticfiles import StaticFiles
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import Response

MAX_MODELS = 2  # side by side
MAX_DRAWINGS = 2_000
KINDS = ("any", "correct", "wrong")
BATCH_SIZE, MAX_BATCHES = 500, 20  # training digits that are predicted to find one of the kind
Names = Annotated[list[str], Query(default_factory=list)]


def make_app(runs: list[Run], port: int, token: str) -> FastAPI:
    """The page and its API for these runs, the default run first. The token is the first part of every path."""
    models = ModelCache(runs)
    described = [
        {
            "name": run.name,
            "model": run.summary.model,
            "test_accuracy": run.summary.test_accuracy,
            "classes": class_names(run.recipe.dataset),
        }
        for run in runs
    ]
    generator = np.random.default_rng()
    load = Load()

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        models.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS))
    app.add_middleware(Gate, token=token, port=port)
    app.mount("/page", StaticFiles(directory=PAGE))
    app.mount("/common", StaticFiles(directory=TEMPLATE_FOLDER))

    @app.exception_handler(UserError)
    async def user_error(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Any) -> JSONResponse:
        return error.response()

    @app.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(drawing_page(runs[0]))

    @app.get("/{package}/output/{path:path}")
    async def page_of_a_run_or_study(package: str, path: str) -> Response:
        file = written_page(package, path)
        headers = {"content-security-policy": WRITTEN_PAGE_POLICY}
        return FileResponse(file, headers=headers) if file else JSONResponse({"detail": "no such page"}, 404)

    @app.get("/api/start")
    async def start() -> dict[str, Any]:
        return {"runs": described, "steps": STEP_NAMES}

    @app.post("/api/predict")
    async def predict(
        request: Request, run: Names, skip: Names, extra: Names, mnist_form: bool = False
    ) -> JSONResponse:
        if len(run) > MAX_MODELS:
            raise UserError(f"{len(run)} runs in one request: expected at most {MAX_MODELS}")

        def predicted(picture: bytes) -> dict[str, Any]:
            loaded = {name: models.get(name) for name in run}
            return predict_drawing(prepare_picture(picture, skip, mnist_form), loaded, extra)

        async with load.body(request) as picture:
            return JSONResponse(await load.compute(predicted, picture))

    @app.get("/api/digit")
    async def digit(run: str, split: str = "test", kind: str = "any") -> dict[str, Any]:
        def sample() -> dict[str, Any]:
            image_set, index = sample_digit(models.run(run), models.get(run).model, split, kind, generator)
            picture = grey_url(image_set.images[index].numpy() / np.float32(255))
            return {"index": index, "label": image_set.class_names[image_set.labels[index]], "picture": picture}

        return await load.compute(sample)

    @app.post("/api/drawings")
    async def save(request: Request, label: int) -> dict[str, str]:
        async with load.body(request) as picture:
            return {"file": shown(await load.compute(save_drawing, picture, label))}

    return app


# Digits of the data set, and drawings that are saved.


def sample_digit(
    run: Run, model: nn.Module, split: str, kind: str, generator: np.random.Generator
) -> tuple[ImageSet, int]:
    """The run's `train` or `test` set, and the index of a random digit whose prediction is of this kind.

    Raises UserError if none is found, and for an unknown kind or split.
    """
    if split not in ("train", "test") or kind not in KINDS:
        raise UserError(f"expected split train or test, and kind {', '.join(KINDS)}")
    image_set = load_run_split(run, split)
    is_correct = torch.from_numpy(load_test_predictions(run, image_set).is_correct) if split == "test" else None
    for batch in torch.from_numpy(generator.permutation(len(image_set))).split(BATCH_SIZE)[:MAX_BATCHES]:
        if kind == "any":
            candidates = batch
        elif is_correct is not None:
            candidates = batch[is_correct[batch] == (kind == "correct")]
        else:
            predicted = predict_logits(model, image_set.images[batch], torch.device("cpu")).argmax(1)
            candidates = batch[(predicted == image_set.labels[batch]) == (kind == "correct")]
        if len(candidates):
            return image_set, int(candidates[0])
    raise UserError(f"no {kind} prediction among the {split} digits that were tried")


def save_drawing(picture: bytes, label: int) -> Path:
    """Writes runs/drawings/LABEL-TIME.png with the pixels of the picture, at most 400 x 400 and grey, and the digit in
    MNIST's form under the same name in runs/drawings/mnist_form/. Nothing else of the file is kept, and no other user
    of the machine may read the two.

    Raises UserError for a label outside 0 to 9, for a file that is no picture of a digit, and after MAX_DRAWINGS.
    """
    if label not in range(10):
        raise UserError(f"label {label}: expected 0 to 9")
    grey = read_picture(picture, MAX_PIXELS, FORMATS)
    digit = prepare(grey).digit
    folder = drawings_folder()
    if len(list(folder.glob("*.png"))) >= MAX_DRAWINGS:
        raise UserError(f"{shown(folder)} holds {MAX_DRAWINGS:,} drawings, the maximum: move some to another folder")
    file = folder / f"{label}-{datetime.now():%Y%m%d-%H%M%S-%f}.png"
    for path, pixels in ((folder / "mnist_form" / file.name, digit), (file, (grey * 255).round().astype(np.uint8))):
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "PNG")
        write_whole(path, content.getvalue(), mode=0o600)
    return file
