"""`mnist draw`: serves the drawing page on this machine."""

import contextlib
import secrets
import threading
import webbrowser

from utils.errors import needs_extra
from utils.ports import HOST, listen
from utils.run import Run

with needs_extra("draw"):
    import uvicorn

    from model_interpretation.draw_app.limits import MAX_CONNECTIONS, BoundedProtocol
    from model_interpretation.draw_app.server import make_app


def serve_drawing_page(run: Run, port: int = 8765, open_browser: bool = True) -> None:
    """Serves the page until Ctrl-C. It starts with this run's model and offers all other finished runs, the newest
    first. Port 0 takes a free port. The address has a random token, without which the server answers nothing.

    Raises UserError if the run is unfinished or damaged, or if the port is not available.
    """
    _ = run.summary
    others = [other for other in reversed(Run.all()) if not other.problem and other.name != run.name]
    listener = listen(port)
    port = listener.getsockname()[1]
    token = secrets.token_urlsafe(16)
    address = f"http://{HOST}:{port}/{token}/"
    config = uvicorn.Config(
        make_app([run, *others], port, token),
        http=BoundedProtocol,
        ws="none",
        log_level="error",
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=2,
    )
    print(f"draw a digit: {address} (Ctrl-C stops the server)", flush=True)
    if open_browser:
        threading.Timer(1.0, webbrowser.open, [address]).start()
    with listener, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
