"""The server of the drawing page: predictions for drawings, refused requests, and hostile input."""

import io
import socket

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from recorded_drawings import DRAWINGS

from model_interpretation.draw_app.prediction import OodThresholds
from model_interpretation.draw_app.server import MAX_BODY_BYTES, make_app
from utils.data.datasets import DIGIT_NAMES
from utils.data.digit_preprocessing import STEP_NAMES, read_digit
from utils.run import Run

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
    with TestClient(make_app([Run(copied_run)], PORT), base_url=f"http://127.0.0.1:{PORT}") as client:
        yield client


def predict(client, picture=SEVEN, **parameters):
    return client.post("/api/predict", content=picture, params={"run": "mine", **parameters})


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
    assert isinstance(mine["out_of_distribution"], bool)


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


def test_drawings_are_saved_unchanged_in_the_drawings_folder(client, home):
    response = client.post("/api/drawings", params={"label": 7}, content=SEVEN)
    [file] = (home / "runs" / "drawings").iterdir()
    assert response.json()["file"].endswith(file.name) and file.name.startswith("7-") and file.read_bytes() == SEVEN
    assert [run.name for run in Run.all()] == ["mine"]
    for label, picture in ((10, SEVEN), (-1, SEVEN), ("x", SEVEN), (3, b"seven")):
        assert client.post("/api/drawings", params={"label": label}, content=picture).status_code == 422
    assert len(list((home / "runs" / "drawings").iterdir())) == 1


def test_drawings_is_a_reserved_run_name(command):
    code, _, error = command("train", "linear", "--dataset", "digits", "--run-name", "drawings")
    assert code == 2 and "reserved for drawings" in error


def photo_with_metadata():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    content = io.BytesIO()
    Image.open(io.BytesIO(SEVEN)).save(content, "JPEG", exif=exif.tobytes())
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


def test_the_thresholds_flag_at_most_a_hundredth_of_the_validation_digits():
    logits = torch.randn(1000, 10, generator=torch.Generator().manual_seed(0)) * 4
    thresholds = OodThresholds.from_validation(logits)
    num_flagged = sum(thresholds.is_out_of_distribution(row) for row in logits)
    assert 5 <= num_flagged <= 10  # half of a hundredth by each of the two scores
    assert thresholds.is_out_of_distribution(torch.zeros(10))


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
