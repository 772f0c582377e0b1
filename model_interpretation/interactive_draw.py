"""`mnist draw`: serves the drawing page on this machine."""

import contextlib
import os
import socket
import threading
import webbrowser

from utils.errors import UserError, needs_extra
from utils.run import Run

with needs_extra("draw"):
    import uvicorn

    from model_interpretation.draw_app.server import make_app

HOST = "127.0.0.1"


def serve_drawing_page(run: Run, port: int = 8765, open_browser: bool = True) -> None:
    """Serves the page until Ctrl-C. It starts with this run's model and offers all other finished runs, the newest
    first. Port 0 takes a free port.

    Raises UserError if the run is unfinished or damaged, or if the port is not available.
    """
    _ = run.summary
    others = [other for other in reversed(Run.all()) if not other.problem and other.name != run.name]
    listener = _listen(port)
    port = listener.getsockname()[1]
    app = make_app([run, *others], port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    print(f"draw a digit: http://{HOST}:{port} (Ctrl-C stops the server)", flush=True)
    if open_browser:
        threading.Timer(1.0, webbrowser.open, [f"http://{HOST}:{port}"]).start()
    with listener, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    """Raises UserError if the port is not available."""
    # asyncio sets TCP_NODELAY only on sockets created with IPPROTO_TCP; without it, small responses take 40 ms longer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # on Windows this option would share the port with another program
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error).removesuffix(".")
        raise UserError(
            f"cannot serve on port {port}: {reason}. Choose another --port from 1 to 65535, or 0 for a free one"
        ) from None
    return listener
