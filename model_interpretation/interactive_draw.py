"""`mnist draw`: a page on which one draws a digit and watches networks answer."""

import contextlib
import os
import socket
import sys
import threading
import webbrowser
from dataclasses import dataclass
from typing import Annotated

import tyro

from utils.command_line import parse_command_line
from utils.errors import UserError, exit_on_user_error
from utils.run_folder import RunFolder

HOST = "127.0.0.1"


@dataclass(frozen=True)
class DrawCommand:
    run: Annotated[str | None, tyro.conf.arg(metavar="RUN")] = None
    """The run whose network answers first, such as runs/NAME; by default the newest that is finished. The page offers
    all others too."""
    port: int = 8765
    """Where the page is served, on this machine alone; 0 takes one that is free."""
    browser: bool = True
    """Open the page in the browser."""


def main(argv: list[str]) -> None:
    """Serves a page on this machine on which one draws a digit, or drops a photo, and watches the network answer: what
    it is given after each step, how sure it is, which pixels decide, what each layer makes of it. Ctrl-C ends it."""
    options = parse_command_line(DrawCommand, argv, "mnist draw", main.__doc__)
    first = RunFolder.find_or_newest(options.run)
    first.summary()  # an unfinished run is refused here
    listener = _listen(options.port)
    port = listener.getsockname()[1]

    import uvicorn  # torch too: only once the command line is right

    from model_interpretation.draw_app.server import make_app

    app = make_app(_offered(first), port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    print(f"draw a digit: http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
    if options.browser:
        threading.Timer(1.0, webbrowser.open, [f"http://{HOST}:{port}"]).start()
    with listener, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def _offered(first: RunFolder) -> list[RunFolder]:
    """This run, then the others that are finished and whole, the newest first."""
    finished = [run for run in reversed(RunFolder.all()) if run.is_finished]
    others = [run for run in finished if run.path.name != first.path.name]
    return [first, *filter(_is_whole, others)]


def _is_whole(run: RunFolder) -> bool:
    try:
        run.summary()
    except UserError:
        return False
    return True


def _listen(port: int) -> socket.socket:
    """Raises UserError where the port cannot be had."""
    # Told that it is TCP, asyncio sends answers at once; else each small one waits 40 ms for the last one's receipt.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # elsewhere this would share the port with another program
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(f"cannot serve on port {port}: {error}; choose another --port") from None
    return listener


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
