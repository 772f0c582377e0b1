"""Who may ask the drawing server, and how much it holds: token and origin, bytes, drawings that wait, and time-outs."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from utils.errors import UserError, needs_extra

with needs_extra("draw"):
    from fastapi import Request
    from fastapi.responses import JSONResponse, RedirectResponse
    from starlette.datastructures import Headers, MutableHeaders
    from starlette.requests import ClientDisconnect
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from uvicorn.protocols.http.h11_impl import H11Protocol

HOSTS = ("127.0.0.1", "localhost")
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",  # the address has the token
    "x-content-type-options": "nosniff",
}
MAX_BODY_BYTES = 2**23
MAX_HELD_BYTES = 2**25  # of all requests together
# The page sends all other pictures as they appear on the canvas. WebP takes twice the memory of any of these.
MAX_PIXELS = 12_500_000
FORMATS = ("PNG", "JPEG", "BMP", "GIF")
MAX_WAITING = 8  # drawings that wait while one is predicted
MAX_CONNECTIONS = 64
HEADER_SECONDS, BODY_SECONDS, REQUEST_SECONDS = 10.0, 10.0, 60.0
T = TypeVar("T")


class Refused(Exception):
    """A request that is refused for the state of the server or of the connection, not for its content."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status

    def response(self) -> JSONResponse:
        headers = {503: {"retry-after": "1"}, 408: {"connection": "close"}}.get(self.status)
        return JSONResponse({"detail": str(self)}, self.status, headers)


class Gate:
    """ASGI middleware: passes on the requests of the page alone, and adds HEADERS to every response.

    Every address begins with the token, as in http://127.0.0.1:8765/TOKEN/api/start, so other users of the machine and
    other pages in the browser cannot ask. A browser's request from another page is also refused by its headers.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token = app, token
        self.origins = {f"http://{host}:{port}" for host in HOSTS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                for name, value in HEADERS.items():
                    MutableHeaders(scope=message).setdefault(name, value)
            await send(message)

        app = self._refusal(scope) or self.app
        await app({**scope, "root_path": f"/{self.token}"}, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        first_part = scope["path"].lstrip("/").split("/")[0]
        if headers.get("origin", next(iter(self.origins))) not in self.origins:
            return Refused(403, "request from another site").response()
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return Refused(403, "request from another site: type the address instead of following a link").response()
        if not secrets.compare_digest(first_part.encode(), self.token.encode()):
            return Refused(403, "open the whole address that mnist draw printed: it ends with a token").response()
        return RedirectResponse(f"/{self.token}/") if scope["path"] == f"/{self.token}" else None


class Load:
    """The pictures that the server holds and the computations that wait for the one worker."""

    def __init__(self) -> None:
        self.held_bytes = self.waiting = 0
        self.worker = ThreadPoolExecutor(max_workers=1)  # one prediction at a time: torch uses all cores for it

    @contextlib.asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body of the request, counted as held until the block ends.

        Raises UserError as soon as it exceeds MAX_BODY_BYTES, and Refused if it is slow or the server holds too much.
        """
        parts: list[bytes] = []

        async def read() -> None:
            async for part in request.stream():
                if sum(map(len, parts)) + len(part) > MAX_BODY_BYTES:
                    raise UserError(f"larger than {MAX_BODY_BYTES // 2**20} MiB: expected a picture of one digit")
                if self.held_bytes + len(part) > MAX_HELD_BYTES:
                    raise Refused(503, "the server is busy with other pictures: try again in a second")
                self.held_bytes += len(part)
                parts.append(part)

        try:
            await asyncio.wait_for(read(), BODY_SECONDS)
            yield b"".join(parts)
        except asyncio.TimeoutError:
            raise Refused(408, f"the picture did not arrive within {BODY_SECONDS:.0f} seconds") from None
        except ClientDisconnect:
            raise UserError("the picture is incomplete: the connection was closed") from None
        finally:
            self.held_bytes -= sum(map(len, parts))

    async def compute(self, function: Callable[..., T], *arguments: Any) -> T:
        """The value of the function, computed in the worker. Raises Refused if too many computations wait."""
        if self.waiting > MAX_WAITING:
            raise Refused(503, f"the server is busy: {MAX_WAITING} drawings are waiting. Try again in a second")
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.worker, function, *arguments)
        finally:
            self.waiting -= 1


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol with the limits that uvicorn lacks: at most MAX_CONNECTIONS, and a time limit for the headers
    of each request, from the start of the connection, and for the whole request with its response."""

    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._close_after(0 if len(self.connections) > MAX_CONNECTIONS else HEADER_SECONDS)

    def handle_events(self) -> None:
        cycle = self.cycle
        super().handle_events()
        if self.cycle is not cycle and not self.cycle.response_complete:  # the headers of a request are complete
            self._close_after(REQUEST_SECONDS)

    def on_response_complete(self) -> None:
        self._close_after(HEADER_SECONDS)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.deadline:
            self.deadline.cancel()
        super().connection_lost(exc)

    def _close_after(self, seconds: float) -> None:
        if self.deadline:
            self.deadline.cancel()
        self.deadline = self.loop.call_later(seconds, self.transport.abort)
