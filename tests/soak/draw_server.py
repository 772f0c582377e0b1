"""The drawing server under load and abuse: latency, memory, and connections that do nothing.

python -m tests.soak.draw_server                 with a small network that is trained first; a part of make soak
python -m tests.soak.draw_server 60 RUN          60 seconds of load; with this finished run
"""

import asyncio
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image, ImageDraw

from model_interpretation.draw_app.limits import MAX_BODY_BYTES, MAX_PIXELS
from model_interpretation.draw_app.server import MAX_DRAWINGS
from utils.run import Run

RATE = 20  # drawings a second
MAX_GROWTH = 200  # MiB
MAX_IDLE_SECONDS = 15
NUM_CONNECTIONS = 60
QUICK = ["train", "linear", "--dataset", "digits", "--num-epochs", "2", "--run-name", "quick"]


def main(arguments: list[str]) -> None:
    seconds = int(arguments[0]) if arguments else 60
    with tempfile.TemporaryDirectory(prefix="draw-") as folder:
        os.environ["MNIST_STUDY_HOME"] = folder
        home, environment = Path(folder), dict(os.environ)
        if arguments[1:]:
            run = Path(arguments[1])
            shutil.copytree(run, home / "runs" / run.name)
        else:
            subprocess.run([sys.executable, "-m", "mnist", *QUICK], env=environment, check=True, capture_output=True)
        for line in measure(home, environment, seconds):
            print(line, flush=True)


def measure(home: Path, environment: dict[str, str], seconds: int):
    """Lines for docs/reliability.md. Raises AssertionError where the server does not keep its limits."""
    with Server.started(home, environment) as server:
        asyncio.run(server.drawings(20, RATE))  # loads the model
        before = server.cpu_seconds()
        latencies, statuses = asyncio.run(server.drawings(seconds * RATE, RATE))
        p50, p99 = np.percentile(latencies, [50, 99]) * 1000
        cpu = (server.cpu_seconds() - before) / len(latencies) * 1000
        yield f"load: {len(latencies)} drawings in {seconds} s: {statuses}; median {p50:.0f} ms, p99 {p99:.0f} ms"
        yield f"processor time {cpu:.0f} ms a drawing; load average of the machine {os.getloadavg()[0]:.0f}"
        assert statuses[200] == len(latencies)
        base = server.memory("VmRSS")
        yield f"memory before the abuses: {base:.0f} MiB"
        for name, abuse in ABUSES.items():
            server.reset_peak()
            result = asyncio.run(abuse(server))
            growth = server.memory("VmHWM") - base
            yield f"{name}: {result}; at most {growth:+.0f} MiB"
            assert growth <= MAX_GROWTH, f"{name}: {growth:.0f} MiB more"
        asyncio.run(asyncio.sleep(2))
        answered = asyncio.run(server.drawings(20, RATE))[1]
        yield f"after all: {answered}, {server.memory('VmRSS') - base:+.0f} MiB"
        assert answered == {200: 20}


class Server:
    """The process of `mnist draw`, and requests to it."""

    def __init__(self, process: subprocess.Popen, address: str, home: Path) -> None:
        self.process, self.home = process, home
        parts = urlsplit(address)
        self.port, self.root = parts.port, parts.path.rstrip("/")
        self.predict = f"/api/predict?run={Run.all()[0].name}"

    @staticmethod
    @contextlib.contextmanager
    def started(home: Path, environment: dict[str, str]):
        arguments = [sys.executable, "-m", "mnist", "draw", "--port", "0", "--no-browser"]
        with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield Server(process, re.search(r"http://\S+", process.stdout.readline()).group(), home)
            finally:
                process.terminate()

    def memory(self, name: str) -> float:
        """VmRSS, the resident memory of the process, or VmHWM, its peak since `reset_peak`; MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+) kB", status).group(1)) / 1024

    def cpu_seconds(self) -> float:
        times = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")

    def reset_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    def head(self, length: int, path: str = "/api/predict", more: str = "") -> bytes:
        host = f"Host: 127.0.0.1:{self.port}\r\n"
        return f"POST {self.root}{path} HTTP/1.1\r\n{host}Content-Length: {length}\r\n{more}\r\n".encode()

    async def post(self, body: bytes, path: str = "/api/predict") -> int:
        """The status of the answer; 0 if the connection was closed without one."""
        try:
            reader, writer = await self.connect()
            writer.write(self.head(len(body), path) + body)
            answer = await reader.read(2**16)
            writer.close()
            return int(answer.split(b" ")[1]) if answer else 0
        except OSError:
            return 0

    async def drawings(self, count: int, rate: float) -> tuple[list[float], dict[int, int]]:
        """Seconds from the planned time of each drawing to its answer, and the statuses. A drawing that the server is
        too busy for is sent again after a second, as the page does."""
        latencies, statuses = [], Counter()
        start = time.monotonic() + 0.1

        async def draw(number: int) -> None:
            planned = start + number / rate
            await asyncio.sleep(max(0, planned - time.monotonic()))
            while (status := await self.post(DRAWING, self.predict)) == 503:
                statuses["sent again"] += 1
                await asyncio.sleep(1)
            latencies.append(time.monotonic() - planned)
            statuses[status] += 1

        await asyncio.gather(*map(draw, range(count)))
        return latencies, dict(statuses)


def as_file(picture: Image.Image, kind: str, **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def drawing() -> bytes:
    picture = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(picture).line([(80, 70), (200, 70), (120, 220)], fill=0, width=18, joint="curve")
    return as_file(picture, "PNG")


DRAWING = drawing()


# Abuses. Each returns what happened.


async def half_sent_bodies(server: Server) -> str:
    """Bodies of which the last byte never arrives."""
    return await closed_after(server, server.head(MAX_BODY_BYTES) + bytes(MAX_BODY_BYTES - 1), NUM_CONNECTIONS)


async def large_bodies(server: Server) -> str:
    statuses = Counter(await asyncio.gather(*(server.post(os.urandom(MAX_BODY_BYTES)) for _ in range(NUM_CONNECTIONS))))
    return f"{dict(statuses)}"


async def endless_body(server: Server) -> str:
    """A body without an announced end."""
    _, writer = await server.connect()
    writer.write(server.head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
    sent, started = 0, time.monotonic()
    try:
        while time.monotonic() - started < MAX_IDLE_SECONDS * 2:
            writer.write(b"10000\r\n" + bytes(2**16) + b"\r\n")
            await asyncio.wait_for(writer.drain(), 1)
            sent += 1
    except (OSError, asyncio.TimeoutError):
        pass
    took = time.monotonic() - started
    assert took < 20, took
    return f"closed after {took:.0f} s and {sent // 16} MiB"


async def pictures_of_many_pixels(server: Server) -> str:
    side = int(MAX_PIXELS**0.5)
    pictures = [
        as_file(Image.new("RGBA", (side, side), (9, 99, 199, 128)), "PNG"),
        as_file(
            Image.effect_noise((side, side), 60).convert("RGB"), "JPEG", progressive=True, quality=30, subsampling=0
        ),
        as_file(Image.new("RGB", (side, side)), "WEBP", lossless=True),
        as_file(Image.new("L", (side, side)), "BMP")[:MAX_BODY_BYTES],
        as_file(Image.new("L", (side, side)), "GIF"),
        as_file(Image.new("RGB", (3 * side, 3 * side)), "PNG"),
    ]
    statuses = Counter(await asyncio.gather(*map(server.post, pictures * 3)))
    return f"{dict(statuses)}"


async def burst(server: Server) -> str:
    statuses = Counter(await asyncio.gather(*(server.post(DRAWING) for _ in range(NUM_CONNECTIONS))))
    assert set(statuses) <= {200, 503} and statuses[200] >= 9
    return f"{dict(statuses)}"


async def idle_connections(server: Server) -> str:
    return await closed_after(server, b"", 400)


async def half_headers(server: Server) -> str:
    return await closed_after(server, b"GET / HTTP/1.1\r\nHost: ", NUM_CONNECTIONS)


async def long_headers(server: Server) -> str:
    return await closed_after(server, b"GET / HTTP/1.1\r\nX: " + b"x" * 2**20, NUM_CONNECTIONS)


async def slow_readers(server: Server) -> str:
    """Requests for large answers that are not read."""
    request = server.head(len(DRAWING), f"{server.predict}&extra=stages&extra=activations") + DRAWING
    connections = await asyncio.gather(*(server.connect() for _ in range(NUM_CONNECTIONS)))
    for _, writer in connections:
        writer.write(request * 20)
    await asyncio.sleep(10)
    answered = sum([bool(await reader.read(1)) for reader, _ in connections])
    for _, writer in connections:
        writer.transport.abort()
    return f"{len(connections)} connections with 20 requests each, {answered} with an answer"


async def without_the_token(server: Server) -> str:
    root, server.root = server.root, "/wrong"
    statuses = Counter([await server.post(DRAWING) for _ in range(300)])
    server.root = root
    assert statuses == {403: 300}
    return f"{dict(statuses)}"


async def saved_drawings(server: Server) -> str:
    folder = server.home / "runs" / "drawings"
    folder.mkdir(exist_ok=True)
    for number in range(MAX_DRAWINGS - 2):
        (folder / f"1-{number}.png").touch()
    statuses = Counter([await server.post(DRAWING, "/api/drawings?label=7") for _ in range(5)])
    assert statuses == {200: 2, 422: 3}, statuses
    return f"{len(list(folder.glob('*.png'))):,} drawings, then refused"


async def closed_after(server: Server, content: bytes, count: int) -> str:
    """Opens connections, sends the content and waits until the server has closed all of them."""

    async def wait() -> float:
        started = time.monotonic()
        with contextlib.suppress(OSError):  # the server closes the connection while data are on their way
            reader, writer = await server.connect()
            writer.write(content)
            await writer.drain()
            started = time.monotonic()
            await reader.read()
            writer.close()
        return time.monotonic() - started

    longest = max(await asyncio.gather(*(wait() for _ in range(count))))
    assert longest <= MAX_IDLE_SECONDS, f"{longest:.0f} s"
    return f"{count} connections, the last one closed after {longest:.1f} s"


ABUSES: dict[str, Callable[[Server], Awaitable[str]]] = {
    "bodies of which the last byte is missing": half_sent_bodies,
    "bodies of the largest size": large_bodies,
    "a body without an end": endless_body,
    "pictures of many pixels": pictures_of_many_pixels,
    "60 drawings at once": burst,
    "idle connections": idle_connections,
    "half-sent headers": half_headers,
    "headers of 1 MiB": long_headers,
    "answers that are not read": slow_readers,
    "300 requests without the token": without_the_token,
    "saved drawings": saved_drawings,
}

if __name__ == "__main__":
    main(sys.argv[1:])
