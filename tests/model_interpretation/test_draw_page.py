"""The drawing page in a real browser with its real server: ten drawings, and every tool on the page."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect
from recorded_drawings import DRAWINGS

pytestmark = [pytest.mark.browser, pytest.mark.real_mnist]


@pytest.fixture(scope="module")
def served(quick_run, tmp_path_factory):
    """The address of the page with two runs, their home folder, and the server's process."""
    from conftest import MIRROR

    home = tmp_path_factory.mktemp("draw")
    for name in ("first", "second"):
        shutil.copytree(quick_run.path, home / "runs" / name)
    arguments = [sys.executable, "-m", "mnist", "draw", "first", "--port", "0", "--no-browser"]
    environment = {**os.environ, "MNIST_STUDY_HOME": str(home), "MNIST_STUDY_MIRROR": MIRROR}
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        yield re.search(r"http://\S+", line).group(), home, process
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


@pytest.fixture
def page(browser, served):
    """The page. Its browser console must have no messages."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(served[0])
    page.wait_for_selector("#prediction-0 select")
    yield page
    page.close()
    assert not [text for text in messages if "422" not in text]


def draw(page, strokes):
    frame = page.locator("#paper").bounding_box()
    scale = frame["width"] / 280
    for stroke in strokes:
        points = [(frame["x"] + x * scale, frame["y"] + y * scale) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=3)
        page.mouse.up()
    page.wait_for_selector("body[aria-busy=false]")


def result(page, number=0):
    return page.locator(f"#prediction-{number} .result")


def expect_prediction(page, digit, number=0):
    expect(result(page, number)).to_contain_text(f"Prediction: {digit}")


def model_input(page):
    """The 28 x 28 values on the page."""
    return page.evaluate("[...digit.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0)")


def test_ten_drawings_are_predicted_correctly(page):
    for digit, strokes in DRAWINGS.items():
        draw(page, strokes)
        expect_prediction(page, digit)
        best = page.locator("#prediction-0 .bar.best")
        assert best.locator("span").first.inner_text() == str(digit)
        assert float(best.locator("b").inner_text().rstrip("%")) > 50
        page.click("#clear")
        expect(result(page)).to_be_empty()


def test_undo_removes_one_stroke_at_a_time(page):
    draw(page, DRAWINGS[4])
    expect_prediction(page, 4)
    for _ in DRAWINGS[4]:
        page.keyboard.press("Control+z")
    expect(result(page)).to_be_empty()


def test_undo_during_a_stroke_ends_the_stroke(page):
    draw(page, DRAWINGS[4][:1])
    frame = page.locator("#paper").bounding_box()
    page.mouse.move(frame["x"] + 30, frame["y"] + 30)
    page.mouse.down()
    page.keyboard.press("Control+z")
    page.mouse.move(frame["x"] + 200, frame["y"] + 200, steps=5)
    page.mouse.up()
    page.wait_for_selector("body[aria-busy=false]")
    one_stroke = model_input(page)
    page.click("#clear")
    draw(page, DRAWINGS[4][:1])
    assert model_input(page) == one_stroke


def test_arrow_keys_move_the_drawing_when_the_canvas_has_the_focus(page):
    page.check("input[value=move]")
    expect(page.locator("#paper")).to_be_focused()
    page.check("input[value=draw]")
    draw(page, DRAWINGS[1])
    before = page.evaluate("paper.toDataURL()")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("paper.toDataURL()") != before
    page.keyboard.press("Control+z")
    assert page.evaluate("paper.toDataURL()") == before


def test_moving_the_drawing_matters_only_without_centring(page):
    draw(page, DRAWINGS[7])
    expect_prediction(page, 7)
    centred = model_input(page)
    page.check("input[value=move]")
    draw(page, [[(140, 140), (100, 100)]])
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("body[aria-busy=false]")
    expect_prediction(page, 7)
    assert sum(abs(one - other) for one, other in zip(model_input(page), centred, strict=True)) < 0.1 * sum(centred)
    page.click("#stages-panel summary")
    for step in ("crop", "centre"):
        page.uncheck(f"[data-step={step}] input")
    expect(page.locator("[data-step=centre]")).to_have_class("off")
    page.wait_for_function(
        "() => { const d = digit.getContext('2d').getImageData(0, 0, 28, 28).data;"
        " return d.slice(4 * 28 * 22).every((value, i) => i % 4 === 3 || value === 0) }"
    )  # the 7 stays where it was moved: the lower rows are empty


def test_two_runs_side_by_side_with_all_panels(page):
    draw(page, DRAWINGS[3])
    page.select_option("#prediction-1 select", "second")
    page.check("#show-attribution")
    page.click("#stages-panel summary")
    page.click("#activations-panel summary")
    for number in (0, 1):
        expect_prediction(page, 3, number)
    expect(page.locator("#attribution")).to_be_visible()
    expect(page.locator("#activations .model")).to_have_count(2)
    expect(page.locator("#stages img[src^='data:']")).to_have_count(8)


def test_digits_are_loaded_and_drawings_saved(page, served):
    for kind in ("test wrong", "test correct"):  # predicted as in the data set, without preprocessing
        page.select_option("#kind", kind)
        page.click("#load")
        expect(page.locator("#notice")).to_contain_text(", label ")
        label = page.locator("#label").input_value()
        best = page.locator("#prediction-0 .bar.best span").first
        assert (best.inner_text() == label) == (kind == "test correct")
        page.keyboard.press("0")  # moves the focus away from the list
    page.select_option("#label", label)
    page.click("#save")
    expect(page.locator("#notice")).to_contain_text("saved as")
    assert [file.name[0] for file in (served[1] / "runs" / "drawings").glob("*.png")] == [label]


def test_a_dropped_photo_is_predicted(page, tmp_path):
    from PIL import Image, ImageDraw

    photo = Image.new("RGB", (1600, 1200), (205, 200, 180))
    draw_on = ImageDraw.Draw(photo)
    for stroke in DRAWINGS[5]:
        draw_on.line([(400 + 3 * x, 150 + 3 * y) for x, y in stroke], fill=(40, 40, 90), width=40, joint="curve")
    photo.save(tmp_path / "five.jpg")
    content = (tmp_path / "five.jpg").read_bytes()
    page.evaluate(
        """bytes => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "five.jpg", { type: "image/jpeg" }));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })) }""",
        list(content),
    )
    expect_prediction(page, 5)
    (tmp_path / "text.txt").write_text("five")
    page.set_input_files("#photo", str(tmp_path / "text.txt"))
    expect(page.locator("#notice")).to_contain_text("cannot read")
    expect_prediction(page, 5)


def test_a_scribble_is_flagged_and_a_digit_is_not(page):
    warning = page.get_by_role("status").filter(has_text="does not look like a digit")
    scribble = [(60 + 37 * i % 170, 60 + 61 * i % 160) for i in range(24)]
    draw(page, [scribble])
    expect(warning).to_be_visible(timeout=60_000)  # the first time its check is computed
    expect(page.locator("#prediction-0 .reason")).to_contain_text("95% of the validation digits are above")
    expect(result(page)).to_contain_text("Prediction: ")
    page.click("#clear")
    expect(warning).to_have_count(0)
    draw(page, DRAWINGS[8])
    expect_prediction(page, 8)
    expect(warning).to_have_count(0)


def test_drawing_with_a_finger_on_a_phone(browser, served):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(served[0])
    page.wait_for_selector("#prediction-0 select")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    frame = page.locator("#paper").bounding_box()
    touch = context.new_cdp_session(page)
    [stroke] = DRAWINGS[1]
    points = [
        {"x": frame["x"] + x * frame["width"] / 280, "y": frame["y"] + y * frame["width"] / 280} for x, y in stroke
    ]
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points[:1]})
    for point in points[1:]:
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect_prediction(page, 1)
    context.close()


def test_many_predictions_need_no_more_memory(page, served):
    address, _, process = served
    draw(page, DRAWINGS[2])
    encoded = page.evaluate("paper.toDataURL()").partition(",")[2]

    def predict():
        request = urllib.request.Request(f"{address}api/predict?run=first", base64.b64decode(encoded))
        with urllib.request.urlopen(request) as response:
            return json.load(response)["predictions"]["first"]

    def resident_megabytes():
        [line] = [line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmRSS" in line]
        return int(line.split()[1]) / 1024

    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc on this machine")
    while predict()["is_check_pending"]:
        time.sleep(0.1)
    for _ in range(10):
        predict()
    before = resident_megabytes()
    for _ in range(100):
        predict()
    assert resident_megabytes() < before + 20
