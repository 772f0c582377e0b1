"""The HTTP server of the drawing page. It answers this machine only and bounds the size of every request."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from torch import nn

from model_interpretation.draw_app.pages import PAGE, WRITTEN_PAGE_POLICY, drawing_page, written_page
from model_interpretation.draw_app.prediction import ModelCache, grey_url, predict_drawing, prepare_picture
from model_interpretation.predict import load_run_split, load_test_predictions
from utils.data.datasets import ImageSet, class_names
from utils.data.digit_preprocessing import STEP_NAMES, read_digit
from utils.errors import UserError, needs_extra
from utils.evaluation import predict_logits
from utils.files import drawings_folder, shown, write_whole
from utils.navigation import TEMPLATE_FOLDER
from utils.run import Run

with needs_extra("draw"):
    from fastapi import FastAPI, Query, Request
    from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
    from fastapi.staticfiles import StaticFiles
    from starlette.middleware.base import RequestResponseEndpoint
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response

HOSTS = ("127.0.0.1", "localhost")
MAX_BODY_BYTES = 2**24
MAX_MODELS = 2  # side by side
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
KINDS = ("any", "correct", "wrong")
BATCH_SIZE, MAX_BATCHES = 500, 20  # training digits that are predicted to find one of the kind
Names = Annotated[list[str], Query(default_factory=list)]
T = TypeVar("T")


def make_app(runs: list[Run], port: int) -> FastAPI:
    """The page and its API for these runs, the default run first."""
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
    worker = ThreadPoolExecutor(max_workers=1)  # one prediction at a time: torch uses all cores for it
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.middleware("http")(functools.partial(same_origin_only, {f"http://{host}:{port}" for host in HOSTS}))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS))
    app.mount("/page", StaticFiles(directory=PAGE))
    app.mount("/common", StaticFiles(directory=TEMPLATE_FOLDER))

    async def in_worker(function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(worker, functools.partial(function, *arguments))

    @app.exception_handler(UserError)
    async def user_error(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

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
        picture = await bounded_body(request)
        if len(run) > MAX_MODELS:
            raise UserError(f"{len(run)} runs in one request: expected at most {MAX_MODELS}")

        def compute() -> dict[str, Any]:
            loaded = {name: models.get(name) for name in run}
            return predict_drawing(prepare_picture(picture, skip, mnist_form), loaded, extra)

        return JSONResponse(await in_worker(compute))

    @app.get("/api/digit")
    async def digit(run: str, split: str = "test", kind: str = "any") -> dict[str, Any]:
        def sample() -> dict[str, Any]:
            image_set, index = sample_digit(models.run(run), models.get(run).model, split, kind, generator)
            picture = grey_url(image_set.images[index].numpy() / np.float32(255))
            return {"index": index, "label": image_set.class_names[image_set.labels[index]], "picture": picture}

        return await in_worker(sample)

    @app.post("/api/drawings")
    async def save(request: Request, label: int) -> dict[str, str]:
        return {"file": shown(await in_worker(save_drawing, await bounded_body(request), label))}

    return app


async def same_origin_only(origins: set[str], request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Refuses requests from pages of other sites, and forbids the page to load anything from other sites."""
    origin = request.headers.get("origin")
    is_foreign = origin is not None and origin not in origins
    if is_foreign or request.headers.get("sec-fetch-site") == "cross-site":
        return JSONResponse({"detail": "request from another site"}, 403)
    response = await call_next(request)
    response.headers.setdefault("content-security-policy", POLICY)
    response.headers["cache-control"] = "no-store"
    return response


async def bounded_body(request: Request) -> bytes:
    """The body of the request. Raises UserError as soon as it exceeds MAX_BODY_BYTES."""
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise UserError(f"larger than {MAX_BODY_BYTES // 2**20} MiB: expected a picture of one digit")
    except ClientDisconnect:
        raise UserError("the picture is incomplete: the connection was closed") from None
    return bytes(body)


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
    """Writes the picture unchanged to runs/drawings/LABEL-TIME.png.

    Raises UserError for a label outside 0 to 9 and for a file that is no picture of a digit.
    """
    if label not in range(10):
        raise UserError(f"label {label}: expected 0 to 9")
    read_digit(picture)
    file = drawings_folder() / f"{label}-{datetime.now():%Y%m%d-%H%M%S-%f}.png"
    write_whole(file, picture)
    return file
