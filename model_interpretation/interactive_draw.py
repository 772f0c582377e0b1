"""`mnist draw`: serves the drawing page on this machine."""

import contextlib
import threading
import webbrowser

from utils.errors import needs_extra
from utils.ports import HOST, listen
from utils.run import Run

with needs_extra("draw"):
    import uvicorn

    from model_interpretation.draw_app.server import make_app


def serve_drawing_page(run: Run, port: int = 8765, open_browser: bool = True) -> None:
    """Serves the page until Ctrl-C. It starts with this run's model and offers all other finished runs, the newest
    first. Port 0 takes a free port.

    Raises UserError if the run is unfinished or damaged, or if the port is not available.
    """
    _ = run.summary
    others = [other for other in reversed(Run.all()) if not other.problem and other.name != run.name]
    listener = listen(port)
    port = listener.getsockname()[1]
    app = make_app([run, *others], port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    print(f"draw a digit: http://{HOST}:{port} (Ctrl-C stops the server)", flush=True)
    if open_browser:
        threading.Timer(1.0, webbrowser.open, [f"http://{HOST}:{port}"]).start()
    with listener, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
