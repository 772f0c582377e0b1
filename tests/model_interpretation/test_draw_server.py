"""The server of the drawing page: predictions for drawings, refused requests, and hostile input."""

import asyncio
import io
import socket
import threading
import time

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from recorded_drawings import DRAWINGS

from model_interpretation.draw_app import limits, server
from model_interpretation.draw_app.limits import MAX_BODY_BYTES
from model_interpretation.draw_app.server import make_app
from utils.data.datasets import DIGIT_NAMES
from utils.data.digit_preprocessing import STEP_NAMES, read_digit
from utils.ports import listen
from utils.run import Run

PORT, TOKEN = 8765, "t0ken"


def as_png(picture):
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def drawn(strokes, width=18):
    picture = Image.new("L", (280, 280), 255)
    for stroke in strokes:
        ImageDraw.Draw(picture).line(stroke, fill=0, width=width, joint="curve")
    return as_png(picture)


SEVEN = drawn(DRAWINGS[7])


@pytest.fixture
def client(copied_run):
    with TestClient(make_app([Run(copied_run)], PORT, TOKEN), base_url=f"http://127.0.0.1:{PORT}/{TOKEN}") as client:
        yield client


def predict(client, picture=SEVEN, **parameters):
    return client.post("/api/predict", content=picture, params={"run": "mine", **parameters})


def checked(client, picture=SEVEN, **parameters):
    """The prediction, once the check of the network is computed."""
    for _ in range(600):
        mine = predict(client, picture, **parameters).json()["predictions"]["mine"]
        if not mine["is_check_pending"]:
            return mine
        time.sleep(0.1)
    raise TimeoutError


def test_the_page_and_its_files(client):
    page = client.get("/")
    assert page.status_code == 200 and "page/main.js" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in ("main.js", "drawing.js", "server.js", "view.js", "style.css"):
        response = client.get(f"/page/{name}")
        assert response.status_code == 200 and "http://" not in response.text and "https://" not in response.text
    start = client.get("/api/start").json()
    assert [run["name"] for run in start["runs"]] == ["mine"] and start["steps"] == list(STEP_NAMES)


def test_a_drawing_is_preprocessed_like_a_picture_file(client):
    result = predict(client).json()
    assert result["digit"] == read_digit(SEVEN).ravel().tolist()
    mine = result["predictions"]["mine"]
    assert sum(mine["probabilities"]) == pytest.approx(1)
    assert mine["confidence"] == max(mine["probabilities"]) == mine["probabilities"][mine["prediction"]]


def test_the_check_of_a_digit_follows_as_soon_as_it_is_ready(client, copied_run, digits):
    first = predict(client).json()["predictions"]["mine"]
    assert first["is_check_pending"] == (first["out_of_distribution"] is None)
    noise = as_png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)))
    strange = checked(client, noise, mnist_form=True)
    assert strange["out_of_distribution"] and strange["similarity"] < strange["similarity_threshold"]
    pictures = [as_png(Image.fromarray(image.numpy())) for image in digits.images[:3]]
    normal = [checked(client, picture, mnist_form=True) for picture in pictures]
    assert not all(it["out_of_distribution"] for it in normal)
    with TestClient(make_app([Run(copied_run)], PORT, TOKEN), base_url=client.base_url) as second:
        stored = predict(second, pictures[0], mnist_form=True).json()["predictions"]["mine"]
    assert stored == normal[0]  # at once


def test_without_the_digits_of_the_run_there_is_no_check(client, copied_run):
    config = copied_run / "config.json"
    config.write_text(config.read_text().replace('"dataset": "digits"', '"dataset": "csv:gone.csv"'))
    with TestClient(make_app([Run(copied_run)], PORT, TOKEN), base_url=client.base_url) as second:
        mine = checked(second)
    assert mine["out_of_distribution"] is None and mine["similarity"] is None and mine["confidence"] > 0


def test_extras_are_computed_on_request_only(client):
    result = predict(client, extra=["stages", "activations", "attribution"]).json()
    assert list(result["stages"]) == ["grey", *STEP_NAMES[:-1]]
    mine = result["predictions"]["mine"]
    assert [layer["name"] for layer in mine["activations"]] == ["standardize", "logits"]
    layer_pictures = [layer["picture"] for layer in mine["activations"]]
    pictures = [*result["stages"].values(), mine["attribution"], *layer_pictures]
    assert all(picture.startswith("data:image/png;base64,") for picture in pictures)
    assert "stages" not in predict(client).json()


def test_a_digit_in_mnist_form_skips_all_steps(client, digits):
    image = digits.images[0].numpy()
    response = predict(client, as_png(Image.fromarray(image)), mnist_form=True)
    assert response.json()["digit"] == image.ravel().tolist()
    response = predict(client, mnist_form=True)
    assert response.status_code == 422 and "expected 28 x 28" in response.json()["detail"]


def test_a_run_deleted_while_the_server_runs_does_not_stop_the_page(client, copied_run):
    (copied_run / "summary.json").unlink()
    (copied_run / "checkpoints" / "best.pt").unlink()
    assert client.get("/api/start").status_code == 200
    assert "best.pt is missing" in predict(client).json()["detail"]


def test_a_skipped_step_changes_the_model_input(client):
    shifted = drawn([[(x / 2, y / 2) for x, y in stroke] for stroke in DRAWINGS[7]])
    centred = predict(client, shifted).json()["digit"]
    skipped = predict(client, shifted, skip=["crop", "centre"]).json()["digit"]
    assert centred != skipped
    digit = np.reshape(skipped, (28, 28))
    assert digit[:14, :14].sum() > 0.95 * digit.sum()  # the digit stays in its corner


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Host": "evil.example:8765"}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": f"http://localhost:{PORT}"}, 200),
        ({}, 200),
    ],
)
def test_requests_from_other_sites_are_refused(client, headers, status):
    assert client.get("/api/start", headers=headers).status_code == status
    assert client.post("/api/predict", content=SEVEN, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("picture", "parameters", "message"),
    [
        (b"", {}, "not a picture"),
        (b"seven", {}, "not a picture"),
        (SEVEN[:200], {}, "damaged"),
        (as_png(Image.new("L", (280, 280), 255)), {}, "no stroke"),
        (as_png(Image.new("L", (2, 2), 255)), {}, "2 x 2 pixels"),
        (SEVEN, {"run": "other"}, "no run 'other'"),
        (SEVEN, {"run": "../mine"}, "no run '../mine'"),
        (SEVEN, {"run": ["mine"] * 3}, "at most 2"),
        (SEVEN, {"skip": "magic"}, "unknown step"),
        (SEVEN, {"extra": "secrets"}, "unknown extra"),
    ],
)
def test_bad_requests(client, picture, parameters, message):
    response = predict(client, picture, **parameters)
    assert response.status_code == 422 and message in response.json()["detail"]
    assert predict(client).status_code == 200


def test_without_the_token_nothing_is_answered(client):
    outside = f"http://127.0.0.1:{PORT}"
    for path in ("/", "/page/main.js", "/api/start", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/api/start", f"//{TOKEN}x"):
        response = client.get(f"{outside}{path}")
        assert response.status_code == 403 and "mnist draw" in response.json()["detail"], path
    assert client.get(f"{outside}/{TOKEN}").url == f"{outside}/{TOKEN}/"


def test_all_answers_have_the_headers_that_keep_other_pages_out(client):
    for answer in (
        client.get("/"),
        client.get("/api/start"),
        predict(client, b""),
        client.get(f"http://127.0.0.1:{PORT}/"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "default-src" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("kind", ["TIFF", "large"])
def test_pictures_that_browsers_do_not_send_are_refused(client, kind):
    content = io.BytesIO()
    Image.new("1", (5000, 5000) if kind == "large" else (99, 99)).save(content, "PNG" if kind == "large" else kind)
    response = predict(client, content.getvalue())
    assert response.status_code == 422 and ("12,500,000" if kind == "large" else "PNG, JPEG") in response.text


def test_too_many_waiting_drawings_and_held_bytes_are_refused_for_now(client, monkeypatch):
    monkeypatch.setattr(limits, "MAX_HELD_BYTES", 1)
    busy = predict(client)
    assert busy.status_code == 503 and busy.headers["retry-after"] == "1" and "busy" in busy.json()["detail"]
    monkeypatch.undo()
    assert predict(client).status_code == 200  # the bytes of the refused picture are released

    async def many() -> list[object]:
        load, hold = limits.Load(), threading.Event()
        waiting = [asyncio.ensure_future(load.compute(hold.wait)) for _ in range(1 + limits.MAX_WAITING)]
        await asyncio.sleep(0.05)
        refused = await asyncio.gather(load.compute(hold.wait), return_exceptions=True)
        hold.set()
        return [*refused, *await asyncio.gather(*waiting), await load.compute(int)]

    refused, *others = asyncio.run(many())
    assert isinstance(refused, limits.Refused) and refused.status == 503
    assert others == [True] * (1 + limits.MAX_WAITING) + [0]


@pytest.fixture
def served(copied_run, monkeypatch):
    """The port of a real server with short time limits."""
    for name in ("HEADER_SECONDS", "BODY_SECONDS"):
        monkeypatch.setattr(limits, name, 0.5)
    listener = listen(0)
    port = listener.getsockname()[1]
    app = make_app([Run(copied_run)], port, TOKEN)
    process = uvicorn.Server(uvicorn.Config(app, http=limits.BoundedProtocol, log_level="error"))
    thread = threading.Thread(target=process.run, kwargs={"sockets": [listener]})
    thread.start()
    yield port
    process.should_exit = True
    thread.join(timeout=20)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
        b"POST /t0ken/api/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\nhalf a picture",
        b"GET /t0ken/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /t0ken/",
    ],
    ids=["nothing", "half a line", "half of the headers", "half of a body", "half of a second request"],
)
def test_connections_that_do_nothing_are_closed(served, sent):
    with socket.create_connection(("127.0.0.1", served), timeout=20) as connection:
        connection.sendall(sent)
        while connection.recv(2**16):  # ends when the server closes the connection, else with an error
            pass
    with socket.create_connection(("127.0.0.1", served), timeout=20) as connection:
        connection.sendall(b"GET /t0ken/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_a_body_that_is_too_large_is_refused(client):
    for path in ("/api/predict", "/api/drawings?label=3"):
        parts = (bytes(MAX_BODY_BYTES // 4) for _ in range(5))  # chunked: no header states the size
        response = client.post(path, content=parts)
        assert response.status_code == 422 and "larger than" in response.json()["detail"]


def test_digits_of_the_data_set(client):
    for split in ("test", "train"):
        digit = client.get("/api/digit", params={"run": "mine", "split": split, "kind": "correct"}).json()
        assert digit["label"] in DIGIT_NAMES and digit["picture"].startswith("data:image/png")
    assert client.get("/api/digit", params={"run": "mine", "kind": "wrong"}).status_code == 200
    for parameters in ({"run": "mine", "kind": "odd"}, {"run": "mine", "split": "all"}, {"run": "none"}, {}):
        assert client.get("/api/digit", params=parameters).status_code == 422


def test_drawings_are_saved_as_their_pixels_alone_and_for_the_user_alone(client, home):
    response = client.post("/api/drawings", params={"label": 7}, content=photo_with_metadata(drawn(DRAWINGS[7])))
    folder = home / "runs" / "drawings"
    [file] = folder.glob("*.png")
    assert response.json()["file"].endswith(file.name) and file.name.startswith("7-")
    saved = Image.open(file)
    assert saved.size == (280, 280) and saved.mode == "L" and not saved.info and not saved.getexif()
    assert np.array_equal(np.asarray(Image.open(folder / "mnist_form" / file.name)), read_digit(file))
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*.png")} == {0o600}
    assert [run.name for run in Run.all()] == ["mine"]
    for label, picture in ((10, SEVEN), (-1, SEVEN), ("x", SEVEN), (3, b"seven")):
        assert client.post("/api/drawings", params={"label": label}, content=picture).status_code == 422
    assert len(list(folder.glob("*.png"))) == 1


def test_the_number_of_saved_drawings_is_bounded(client, home, monkeypatch):
    monkeypatch.setattr(server, "MAX_DRAWINGS", 2)
    statuses = [client.post("/api/drawings", params={"label": 7}, content=SEVEN).status_code for _ in range(3)]
    assert statuses == [200, 200, 422]


def test_drawings_is_a_reserved_run_name(command):
    code, _, error = command("train", "linear", "--dataset", "digits", "--run-name", "drawings")
    assert code == 2 and "reserved for drawings" in error


def photo_with_metadata(picture=SEVEN):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    content = io.BytesIO()
    Image.open(io.BytesIO(picture)).save(content, "JPEG", exif=exif.tobytes())
    return content.getvalue()


@pytest.mark.parametrize("picture", [SEVEN, photo_with_metadata()], ids=["drawing", "photo"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_pictures_get_a_prediction_or_a_refusal(client, picture, data):
    content = bytearray(picture)
    places = st.integers(0, 200) | st.integers(0, len(content) - 1)  # more often in the header
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)))):
        content[place] = value
    size = data.draw(st.integers(0, len(content)))
    assert predict(client, bytes(content[:size])).status_code in (200, 422)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--port", "99999999"], "port 99999999"),
        (["--port", "-3"], "port -3"),
        (["nothing"], "no run at 'nothing'"),
        (["--colour", "red"], "--colour"),
        (["--port", "http"], "--port"),
    ],
)
def test_bad_input_of_the_command(command, copied_run, flags, message):
    code, _, error = command("draw", *flags)
    assert code == 2 and message in error and len(error.splitlines()) <= 2


def test_an_unfinished_run_is_refused(command, copied_run):
    (copied_run / "summary.json").unlink()
    code, _, error = command("draw", "mine")
    assert code == 2 and "run mine is unfinished" in error and "--resume" in error


def test_a_port_in_use_is_refused(command, copied_run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, error = command("draw", "--port", str(port))
    assert code == 2 and f"port {port}" in error
