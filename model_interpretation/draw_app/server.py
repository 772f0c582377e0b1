"""The server behind the page: answers to this machine alone, bounds what it takes in, and survives what it is sent."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from model_interpretation.draw_app.digits import ChosenDigit, choose_digit
from model_interpretation.draw_app.drawings import save_drawing
from model_interpretation.draw_app.networks import Networks
from model_interpretation.draw_app.reading import describe, grey_uri, read_drawing
from utils.errors import UserError
from utils.handwriting import STEP_NAMES
from utils.paths import shown
from utils.run_folder import RunFolder

PAGE = Path(__file__).parent / "page"
HOSTS = ("127.0.0.1", "localhost")
MAX_BODY_BYTES = 2**24
MAX_NETWORKS = 2  # side by side
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
Names = Annotated[list[str], Query(default_factory=list)]
T = TypeVar("T")


def make_app(runs: list[RunFolder], port: int) -> FastAPI:
    """The page and what it asks for, for these runs, the default first."""
    networks = Networks(runs)
    described = [_described(run) for run in runs]
    generator = np.random.default_rng()
    worker = ThreadPoolExecutor(max_workers=1)  # one at a time: torch uses all cores by itself
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(OnlyFromThePage, port=port)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS))
    app.mount("/page", StaticFiles(directory=PAGE))

    async def worked(function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(worker, functools.partial(function, *arguments))

    @app.exception_handler(UserError)
    async def refuse(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @app.get("/")
    async def index() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/api/start")
    async def start() -> dict[str, Any]:
        return {"runs": described, "steps": STEP_NAMES}

    @app.post("/api/read")
    async def read(request: Request, run: Names, without: Names, extra: Names, ready: bool = False) -> JSONResponse:
        picture = await bounded_body(request)
        if len(run) > MAX_NETWORKS:
            raise UserError(f"{len(run)} runs at once: expected at most {MAX_NETWORKS}")

        def answer() -> dict[str, Any]:
            asked = {name: networks.get(name) for name in run}
            return describe(read_drawing(picture, without, ready), asked, extra)

        return JSONResponse(await worked(answer))

    @app.get("/api/digit")
    async def digit(run: str, split: str = "test", kind: str = "any") -> dict[str, Any]:
        def choose() -> ChosenDigit:
            return choose_digit(networks.run(run), networks.get(run).model, split, kind, generator)

        chosen = await worked(choose)
        return {"index": chosen.index, "label": chosen.label, "picture": grey_uri(chosen.image / np.float32(255))}

    @app.post("/api/drawings")
    async def keep(request: Request, label: int) -> dict[str, str]:
        return {"file": shown(await worked(save_drawing, await bounded_body(request), label))}

    return app


def _described(run: RunFolder) -> dict[str, Any]:
    summary = run.summary()
    return {"name": run.path.name, "model": summary["model"], "test_accuracy": summary["test_accuracy"]}


async def bounded_body(request: Request) -> bytes:
    """The request's body. Raises UserError as soon as it grows beyond the bound."""
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise UserError(f"larger than {MAX_BODY_BYTES // 2**20} MiB: expected a picture of one digit")
    except ClientDisconnect:
        raise UserError("the picture did not come whole") from None
    return bytes(body)


class OnlyFromThePage:
    """Refuses requests that another site's page sends, and tells the browser to fetch nothing from elsewhere."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self.app = app
        self.origins = {f"http://{host}:{port}" for host in HOSTS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        is_foreign = origin is not None and origin.decode("latin-1") not in self.origins
        if is_foreign or headers.get(b"sec-fetch-site") == b"cross-site":
            await JSONResponse({"detail": "asked from another site"}, 403)(scope, receive, send)
            return

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = [(b"content-security-policy", POLICY.encode()), (b"cache-control", b"no-store")]
                message["headers"] = [*message["headers"], *policy]
            await send(message)

        await self.app(scope, receive, send_with_policy)
