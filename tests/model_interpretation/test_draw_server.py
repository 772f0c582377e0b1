"""The server of the drawing page: what it answers, whom it refuses, and that nothing it is sent stops it."""

import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from recorded_drawings import DRAWINGS

from model_interpretation.draw_app import server
from model_interpretation.draw_app.networks import Familiarity, evidence
from model_interpretation.draw_app.server import make_app
from utils.handwriting import STEP_NAMES, read_digit
from utils.run_folder import RunFolder

PORT = 8765


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
    with TestClient(make_app([RunFolder(copied_run)], PORT), base_url=f"http://127.0.0.1:{PORT}") as client:
        yield client


def read(client, picture=SEVEN, **parameters):
    return client.post("/api/read", content=picture, params={"run": "mine", **parameters})


def test_the_page_and_its_parts(client):
    page = client.get("/")
    assert page.status_code == 200 and "page/main.js" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for part in ("main.js", "drawing.js", "server.js", "view.js", "style.css"):
        answer = client.get(f"/page/{part}")
        assert answer.status_code == 200 and "http://" not in answer.text and "https://" not in answer.text
    start = client.get("/api/start").json()
    assert [run["name"] for run in start["runs"]] == ["mine"] and start["steps"] == list(STEP_NAMES)


def test_a_drawing_is_answered_as_a_file_is(client):
    answer = read(client).json()
    assert answer["digit"] == read_digit(SEVEN).ravel().tolist()
    assert sum(answer["answers"]["mine"]["probabilities"]) == pytest.approx(1)
    assert isinstance(answer["answers"]["mine"]["strange"], bool)


def test_extras_come_when_asked_for(client):
    answer = read(client, extra=["stages", "layers", "pixels"]).json()
    assert list(answer["stages"]) == ["grey", *STEP_NAMES[:-1]]
    mine = answer["answers"]["mine"]
    assert [layer["name"] for layer in mine["layers"]] == ["standardize", "logits"]
    pictures = [*answer["stages"].values(), mine["pixels"], *(layer["picture"] for layer in mine["layers"])]
    assert all(picture.startswith("data:image/png;base64,") for picture in pictures)
    assert "stages" not in read(client).json()


def test_a_digit_in_mnists_form_goes_past_all_steps(client, digits):
    image = digits.images[0].numpy()
    assert read(client, as_png(Image.fromarray(image)), ready=True).json()["digit"] == image.ravel().tolist()
    answer = read(client, ready=True)
    assert answer.status_code == 422 and "expected 28 x 28" in answer.json()["detail"]


def test_a_run_that_is_gone_leaves_the_page(client, copied_run):
    (copied_run / "summary.json").unlink()
    (copied_run / "checkpoints" / "best.pt").unlink()
    assert client.get("/api/start").status_code == 200
    assert "best.pt is missing" in read(client).json()["detail"]


def test_a_step_that_is_left_out_changes_what_the_network_gets(client):
    shifted = drawn([[(x / 2, y / 2) for x, y in stroke] for stroke in DRAWINGS[7]])
    whole = read(client, shifted).json()["digit"]
    assert whole != read(client, shifted, without=["crop", "centre"]).json()["digit"]
    digit = np.reshape(read(client, shifted, without=["crop", "centre"]).json()["digit"], (28, 28))
    assert digit[:14, :14].sum() > 0.95 * digit.sum()  # it stays in its corner


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Host": "evil.example:8765"}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": f"http://localhost:{PORT}"}, 200),
        ({}, 200),
    ],
)
def test_other_sites_are_refused(client, headers, status):
    assert client.get("/api/start", headers=headers).status_code == status
    assert client.post("/api/read", content=SEVEN, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("picture", "parameters", "message"),
    [
        (b"", {}, "no picture"),
        (b"seven", {}, "no picture"),
        (SEVEN[:200], {}, "damaged"),
        (as_png(Image.new("L", (280, 280), 255)), {}, "no stroke"),
        (as_png(Image.new("L", (2, 2), 255)), {}, "2 x 2 pixels"),
        (SEVEN, {"run": "other"}, "no run 'other'"),
        (SEVEN, {"run": "../mine"}, "no run '../mine'"),
        (SEVEN, {"run": ["mine"] * 3}, "at most 2"),
        (SEVEN, {"without": "magic"}, "unknown step"),
        (SEVEN, {"extra": "secrets"}, "unknown extra"),
    ],
)
def test_bad_requests(client, picture, parameters, message):
    answer = read(client, picture, **parameters)
    assert answer.status_code == 422 and message in answer.json()["detail"]
    assert read(client).status_code == 200


def test_a_body_that_is_too_large(client, monkeypatch):
    monkeypatch.setattr(server, "MAX_BODY_BYTES", 1000)
    for path in ("/api/read", "/api/drawings?label=3"):
        answer = client.post(path, content=(b"0" * 600 for _ in range(4)))  # in parts, of which no header tells
        assert answer.status_code == 422 and "larger than" in answer.json()["detail"]


def test_digits_of_the_data_set(client):
    for split in ("test", "train"):
        right = client.get("/api/digit", params={"run": "mine", "split": split, "kind": "right"}).json()
        assert right["label"] in range(10) and right["picture"].startswith("data:image/png")
    assert client.get("/api/digit", params={"run": "mine", "kind": "wrong"}).status_code == 200
    for parameters in ({"run": "mine", "kind": "odd"}, {"run": "mine", "split": "all"}, {"run": "none"}, {}):
        assert client.get("/api/digit", params=parameters).status_code == 422


def test_drawings_are_kept_beside_the_runs(client, home):
    answer = client.post("/api/drawings", params={"label": 7}, content=SEVEN)
    [file] = (home / "runs" / "drawings").iterdir()
    assert answer.json()["file"].endswith(file.name) and file.name.startswith("7-") and file.read_bytes() == SEVEN
    assert [run.path.name for run in RunFolder.all()] == ["mine"]
    for label, picture in ((10, SEVEN), (-1, SEVEN), ("x", SEVEN), (3, b"seven")):
        assert client.post("/api/drawings", params={"label": label}, content=picture).status_code == 422
    assert len(list((home / "runs" / "drawings").iterdir())) == 1


def test_no_run_can_be_called_drawings(command):
    code, _, error = command("train", "linear", "--dataset", "digits", "--run-name", "drawings")
    assert code == 2 and "kept for drawings" in error


def photo_with_metadata():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    content = io.BytesIO()
    Image.open(io.BytesIO(SEVEN)).save(content, "JPEG", exif=exif.tobytes())
    return content.getvalue()


@pytest.mark.parametrize("picture", [SEVEN, photo_with_metadata()], ids=["drawing", "photo"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_hostile_pictures_get_an_answer(client, picture, data):
    content = bytearray(picture)
    places = st.integers(0, 200) | st.integers(0, len(content) - 1)  # more often in the head
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)))):
        content[place] = value
    assert read(client, bytes(content[: data.draw(st.integers(0, len(content)))])).status_code in (200, 422)


def test_what_is_strange_is_less_than_the_validation_digits_reach():
    import torch

    logits = torch.randn(1000, 10, generator=torch.Generator().manual_seed(0)) * 4
    familiarity = Familiarity.of(logits)
    strange = sum(familiarity.is_strange(row) for row in logits)
    assert 5 <= strange <= 10  # at most a hundredth, half of them by each of two measures
    assert familiarity.is_strange(torch.zeros(10))
    assert evidence(torch.zeros(10)).item() == pytest.approx(np.log(10))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--port", "99999999"], "port 99999999"),
        (["--port", "-3"], "port -3"),
        (["--run", "nothing"], "no run at 'nothing'"),
        (["--colour", "red"], "--colour"),
        (["--port", "http"], "--port"),
    ],
)
def test_bad_input_of_the_command(command, copied_run, flags, message):
    code, _, error = command("draw", *flags)
    assert code == 2 and message in error and len(error.splitlines()) <= 2


def test_an_unfinished_run_has_no_page(command, copied_run):
    (copied_run / "summary.json").unlink()
    code, _, error = command("draw", "--run", "mine")
    assert code == 2 and "summary.json is missing" in error


def test_a_port_in_use(command, copied_run):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, error = command("draw", "--port", str(port))
    assert code == 2 and f"port {port}" in error
