"""The site: what `mnist site` writes and refuses, and its pages in a real browser, from a plain file server."""

import base64
import functools
import http.server
import io
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from recorded_drawings import DRAWINGS

from models import load_trained
from study.comparison.groups import group_runs
from study.report.evidence import Evidence, Network
from study.report.recorded import write_recorded
from study.scorecard import MetricResult, Scorecard
from study.site import runtime
from study.site.site import PAGE, write_site
from utils.data import load_dataset
from utils.data.digit_preprocessing import prepare
from utils.errors import UserError
from utils.files import PROJECT_FOLDER

NUM_PICTURES = 200
MAX_GREY_LEVELS = 12  # between Pillow's versions; none with Pillow 13
HARD_DIGIT = {"index": 2130, "label": 4, "error_rate": 1.0, "most_frequent_error": 9, "contested": True}
LABEL_ERRORS = {
    "command": "mnist label-errors", "training_commands": [], "num_networks": 5, "runs_by_recipe": {"fast_conv": ["a"]},
    "min_val_accuracy": 0.99, "num_digits": 10000, "mean_num_wrong": 40.0, "num_wrong_in_all_networks": 1,
    "num_wrong_in_all_networks_and_contested": 1, "num_wrong_in_half_of_networks": 1, "num_wrong_in_any_network": 90,
    "num_rated": 100, "num_contested": 15, "contested_error_rate": 0.6, "ensemble_accuracy": 0.997,
    "num_missed_by_all": [40.0, 30.0], "hard_digits": [HARD_DIGIT],
}  # fmt: skip


def runtime_mirror():
    """A folder with ONNX Runtime Web, laid out like a mirror; the site cannot be written without."""
    from conftest import MIRROR

    folders = [Path(folder) for folder in (MIRROR, PROJECT_FOLDER / "data") if folder and "://" not in str(folder)]
    return next(
        (folder for folder in folders if (folder / runtime.PACKAGE.folder / runtime.PACKAGE.name).exists()), None
    )


needs_runtime = pytest.mark.skipif(
    runtime_mirror() is None, reason=f"no {runtime.PACKAGE.name} in data/: 'mnist site' downloads it"
)


def write_example_report(run, file):
    """A report.json of this run with invented results."""
    [group], _ = group_runs([run])
    results = {
        "usps_accuracy": MetricResult(0.91, n=2007),
        "shift_4px": MetricResult(0.62, n=2000),
        "rotation_40": MetricResult(0.53, n=2000),
        "spatial_worst_case": MetricResult(0.037, n=1000),
    }
    curves = {
        "rotation_curve": {"degrees": [-90, 0, 90], "accuracy": [0.2, 0.99, 0.21]},
        "scale_curve": {"scale": [0.4, 1.0, 1.6], "accuracy": [0.3, 0.99, 0.6]},
        "shift_map": [[0.123] * 29] * 29,
    }
    card = Scorecard(run.name, results, curves, 0.0, file)
    write_recorded(file, Evidence([Network(group, [card])], None, None, LABEL_ERRORS))


@pytest.fixture(scope="module")
def site(quick_run, tmp_path_factory):
    """A site in a sub-folder of what is served."""
    from conftest import MIRROR

    home = tmp_path_factory.mktemp("site_home")
    shutil.copytree(runtime_mirror() / runtime.PACKAGE.folder, home / "data" / runtime.PACKAGE.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_STUDY_HOME", str(home))
        patch.setenv("MNIST_STUDY_MIRROR", MIRROR)
        write_example_report(quick_run, home / "report.json")
        write_site([quick_run], home / "served" / "sub" / "site", home / "report.json")
    return home / "served" / "sub" / "site"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A plain file server."""

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address(site):
    served = functools.partial(Quiet, directory=str(site.parent.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/sub/site"
        server.shutdown()


@pytest.fixture
def open_page(browser, address):
    """Opens a page of the site; its console has no messages, and it asks no other host for anything."""
    pages, messages, requests = [], [], []

    def opened(name, width=1200, script=""):
        page = browser.new_page(viewport={"width": width, "height": 900})
        pages.append(page)
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        if script:
            page.add_init_script(script)
        page.goto(f"{address}/{name}")
        if not script:
            page.wait_for_selector("#loading", state="detached")
            settle(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert messages == []
    assert {url for url in requests if not url.startswith((address, "blob:", "data:"))} == set()


def settle(page):
    page.wait_for_selector("body[aria-busy=false]")


def draw(page, strokes):
    frame = page.locator("#paper").bounding_box()
    scale = frame["width"] / 280
    for stroke in strokes:
        points = [(frame["x"] + x * scale, frame["y"] + y * scale) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()
    settle(page)


def result(page, number=0):
    return page.locator(".result").nth(number).inner_text()


def marked(test):
    """A test of the pages with a network of real digits."""
    return pytest.mark.browser(pytest.mark.real_mnist(needs_runtime(test)))


@marked
def test_drawings_are_read_without_a_server_of_ours_also_on_a_phone(open_page):
    for width in (1200, 390):
        page = open_page("draw.html", width)
        for digit in (2, 3, 7) if width > 390 else (4,):
            draw(page, DRAWINGS[digit])
            assert result(page).startswith(f"reads {digit}, ")
            assert page.locator("#prediction-0 .bar.best .name").inner_text() == str(digit)
            assert page.locator(".layers canvas").count() == 7
            page.click("#clear")
            settle(page)
            assert result(page) == ""
        assert page.evaluate("document.documentElement.scrollWidth") == width


@marked
def test_every_control_works_by_keyboard(open_page):
    page = open_page("draw.html")
    page.keyboard.press("7")
    settle(page)
    assert result(page).startswith("reads 7, ")
    page.focus("#sliders input[name=right]")
    for _ in range(14):
        page.keyboard.press("ArrowRight")
    settle(page)
    assert page.locator("#sliders output").first.inner_text() == "14 px"
    assert page.locator("#answer").get_attribute("role") == "status"
    pixels = page.evaluate("[...digit.getContext('2d').getImageData(0, 0, 14, 28).data].filter((_, i) => i % 4 < 3)")
    assert max(pixels) == 0  # the digit has left this half of the image
    page.focus("#main")
    page.keyboard.press("Delete")
    settle(page)
    assert result(page) == ""
    page.click("#game summary")
    page.focus("#fool")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    settle(page)
    assert page.locator("#fool-result").inner_text().startswith("1 pixel changed")


@marked
def test_the_article_shows_the_report_and_its_sliders_run_the_network(open_page):
    page = open_page("index.html")
    text = page.inner_text("main")
    for number in ("62.0%", "53.0%", "91.0%", "3.7%", "100 labels"):
        assert number in text
    assert result(page).startswith("reads 7, ")
    page.focus("#sliders input[name=down]")
    page.keyboard.press("ArrowRight")
    settle(page)
    assert "Measured on test digits that are changed so:" in page.inner_text("#measured")
    assert "12.3%" in page.inner_text("#measured")
    page.click("#break")
    page.wait_for_selector("#break:not([disabled])")
    settle(page)
    assert "You still read 7." in page.inner_text("#broken") and "wrong, it is a 7" in result(page)
    page.click("#hardest button")
    settle(page)
    assert page.locator("#digit").get_attribute("aria-label").startswith("The digit 4")
    assert page.locator("#charts svg").count() == 2


@marked
def test_an_own_network_and_a_result_card(open_page, site):
    page = open_page("draw.html")
    [file] = (site / "networks").glob("*.onnx")
    page.set_input_files("#own", {"name": "mine.onnx", "mimeType": "", "buffer": file.read_bytes()})
    page.wait_for_selector("#prediction-1:not(.empty)")
    draw(page, DRAWINGS[3])
    assert result(page, 1) == result(page, 0) != ""
    with page.expect_download() as download:
        page.click("#card")
    with Image.open(download.value.path()) as card:
        assert (card.format, card.size) == ("PNG", (1200, 630))
    page.click("#nearest summary")
    page.wait_for_selector("#neighbours figure >> nth=9")
    assert sum(text.startswith("3") for text in page.locator("#neighbours figcaption").all_inner_texts()) >= 8


@marked
def test_three_dots_are_not_like_a_digit_and_a_digit_is(open_page):
    page = open_page("draw.html")
    draw(page, [[(x, y), (x + 1, y + 1)] for x, y in ((30, 30), (240, 240), (30, 240))])
    page.locator("#prediction-0 .warning", has_text="Not like a digit: similarity 0.").wait_for()
    page.click("#clear")
    draw(page, DRAWINGS[3])
    assert page.locator("#prediction-0 .warning").is_hidden()


@marked
def test_bad_files_get_a_clear_line(open_page, site):
    page = open_page("draw.html")
    large = io.BytesIO()
    Image.new("1", (8000, 5000)).save(large, "PNG")
    [network] = (site / "networks").glob("*.onnx")
    for field, name, content, line in (
        ("photo", "large.png", large.getvalue(), "large.png has 8,000 x 5,000 pixels: expected at most 25,000,000"),
        ("photo", "notes.txt", b"no picture", "notes.txt: this browser cannot read it as a picture"),
        ("own", "cut.onnx", network.read_bytes()[:5000], "cut.onnx is damaged, or not an ONNX file"),
        ("own", "notes.onnx", b"no network", "notes.onnx is damaged, or not an ONNX file"),
    ):
        page.set_input_files(f"#{field}", {"name": name, "mimeType": "", "buffer": content})
        page.locator("#notice", has_text=line).wait_for()
        assert "\n" not in page.inner_text("#notice")


@marked
def test_a_browser_without_simd_is_told_so(open_page):
    page = open_page("index.html", script="WebAssembly.validate = () => false;")
    page.locator("#loading", has_text="This browser cannot compute networks: it lacks WebAssembly SIMD").wait_for()


@marked
def test_the_browser_computes_the_logits_of_torch(open_page, quick_run, site, real_mirror):
    images = load_dataset("mnist", "test").images[:100, None] / 255
    with torch.no_grad():
        expected = load_trained(quick_run)(images)
    page = open_page("draw.html")
    found = page.evaluate(
        """async ([pixels, url]) => {
          const { Network } = await import(new URL("network.js", location.href));
          const network = await Network.at(url, "network"), logits = [];
          for (const each of pixels) logits.push([...await network.logits(each)]);
          return logits;
        }""",
        [images.flatten(1).tolist(), f"networks/{quick_run.name}.onnx"],
    )
    assert np.abs(np.array(found) - expected.numpy()).max() < 1e-3


def pictures():
    """Grey pictures as visitors might make them: drawings with pens of several widths, and digits of the test set on
    paper with light, shadow, noise and frames, dark on bright and bright on dark."""
    random = np.random.default_rng(0)
    for digit, strokes in DRAWINGS.items():
        for width in (4, 12):
            image = Image.new("L", (105, 105), 255)  # the median filter begins above 100
            pen = ImageDraw.Draw(image)
            for stroke in strokes:
                pen.line([(0.375 * x, 0.375 * y) for x, y in stroke], fill=0, width=width + digit % 3)
            yield np.asarray(image)
    for number, digit in enumerate(load_dataset("mnist", "test").images[: NUM_PICTURES - 20].numpy()):
        size = (int(random.integers(40, 75)), int(random.integers(45, 95)))
        paper = np.asarray(Image.fromarray(255 - digit).resize(size, Image.Resampling.BICUBIC), np.float64)
        paper = paper * random.uniform(0.5, 1) + np.linspace(0, random.uniform(0, 60), size[0])
        paper += random.normal(0, random.uniform(0, 6), paper.shape)
        if number % 3 == 0:
            paper = 255 - paper
        if number % 7 == 0:
            paper[:4] = 20
        yield paper.clip(0, 255).astype(np.uint8)


@marked
def test_the_browser_prepares_pictures_like_python(open_page, real_mirror):
    pytest.importorskip("skimage")
    made = list(pictures())
    assert len(made) == NUM_PICTURES
    expected = np.array([prepare(np.float32(each) / np.float32(255)).digit for each in made], np.int64)
    page = open_page("draw.html")
    found = page.evaluate(
        """async (pictures) => {
          const { prepare } = await import(new URL("preparation.js", location.href));
          const { bytesOf, pixelsOf } = await import(new URL("views.js", location.href));
          const grey = ([width, height, bytes]) => ({ width, height, data: pixelsOf(bytesOf(bytes)) });
          return pictures.map((picture) => [...prepare(grey(picture))]);
        }""",
        [[each.shape[1], each.shape[0], base64.b64encode(each.tobytes()).decode()] for each in made],
    )
    assert np.abs(np.array(found).reshape(expected.shape) - expected).max() <= MAX_GREY_LEVELS


@pytest.mark.real_mnist
@needs_runtime
def test_the_site_is_small_and_written_again_in_place(site):
    size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file())
    assert size < 15e6
    data = json.loads((site / "draw.html").read_text().split('id="data">')[1].split("</script>")[0])
    assert [(site / network["url"]).exists() for network in data["networks"]] == [True]


def test_pages_name_no_other_host():
    for file in PAGE.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text, file.name


def test_what_cannot_be_a_site_is_refused(command, copied_run, tmp_path):
    code, _, error = command("site", "mine", "--report", "missing.json", "--output", str(tmp_path / "site"))
    assert code == 2 and "cannot read missing.json" in error
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    code, _, error = command("site", "mine", "--output", str(folder))
    assert code == 2 and "holds other files, such as thesis.tex" in error and len(error.strip().split("\n")) == 2
    (copied_run / "summary.json").unlink()
    code, _, error = command("site", "mine")
    assert code == 2 and "run mine is unfinished" in error and "expected a finished run" in error


def test_without_a_network_connection_one_line_says_what_is_missing(monkeypatch, finished_run, tmp_path):
    nowhere = (tmp_path / "nowhere.tgz").as_uri()
    monkeypatch.setattr(runtime, "PACKAGE", runtime.DataFile("onnxruntime_web", "package.tgz", urls=(nowhere,)))
    with pytest.raises(UserError, match=r"could not be downloaded.*\nThe site needs it to compute networks"):
        write_site([finished_run], tmp_path / "site")
    assert not (tmp_path / "site").exists()
