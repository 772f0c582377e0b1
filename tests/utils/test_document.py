"""Documents: every block as HTML and as Markdown, escaped text, and pages that work without a network."""

import importlib.metadata
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from utils.document import (
    Chart,
    Code,
    Columns,
    Command,
    Digit,
    DigitMap,
    DigitMatrix,
    Document,
    Facts,
    Gallery,
    Link,
    Markdown,
    MatrixCell,
    Picture,
    Section,
    Sliders,
    Table,
    Text,
    picture_file,
    picture_of,
)
from utils.figures import MAX_PICTURE_BYTES
from utils.files import PROJECT_FOLDER

HOSTILE = "<script>alert('&\"')</script>"
LONG = "x" * 200
ROWS = [["b", "10,000"], ["a", "9.5"], ["c", "-"], ["d", "2"], ["e", "3"], ["f", "4"]]
DIGIT = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)


def matrix(names, hostile=""):
    """Cells for a third of all pairs of classes, with one or two digits each."""
    cells = {
        (row, column): MatrixCell(
            row + column + 1,
            [Digit(DIGIT, f"no. {row}{hostile}"), Digit(DIGIT, "no. 7")][: 1 + row % 2],
            f"{row} read as {column}{hostile}",
        )
        for row in range(len(names))
        for column in range(len(names))
        if (row + column) % 3 != 1
    }
    return DigitMatrix(f"mistakes{hostile}", "true", "predicted", names, names, cells, is_confusion=True)


def digit_map(captions, num_maps=2):
    """A map of 200 x 100 pixels with a digit per caption on a line from left to right; on the second map below."""
    figure = Figure(figsize=(200 / 96, 100 / 96))
    x = (np.arange(len(captions)) + 0.5) / len(captions)
    places = np.stack([np.stack([x, np.full_like(x, 0.25 + 0.5 * number)], 1) for number in range(num_maps)])
    return DigitMap(picture_of(figure, "a map", "map"), [Digit(DIGIT, caption) for caption in captions], places)


def sliders(networks):
    curves = np.full((len(networks), 3), 0.5)
    shift_maps = np.linspace(0, 1, len(networks) * 9).reshape(-1, 3, 3)
    return Sliders("moved digits", networks, DIGIT, shift_maps, [0.5, 1.0, 1.5], curves, [-10, 0, 10], curves)


def specification(values):
    """A chart with a point per value."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": {"values": values},
        "mark": {"type": "circle", "size": 900},
        "encoding": {
            "x": {"field": "x", "type": "quantitative"},
            "tooltip": [{"field": "run", "type": "nominal"}],
        },
        "width": "container",
    }


EVERY_BLOCK = [
    Text("text"),
    Command(["mnist report"]),
    Facts([("accuracy", "99 %")]),
    Section("first", [Columns([matrix("ab")]), Table(["name", "value"], ROWS, sortable=True)]),
    Section(
        "second",
        [sliders(["one", "other"]), Section("inner", []), Chart(specification([{"x": 1, "run": "r"}]), "a chart")],
    ),
    Picture(b"png", "a picture"),
    Code("x = 1", "1"),
    Markdown("some `code`"),
    digit_map(["no. 1"]),
    Gallery("page.html", {"a.png": "a"}),
    Link("link", "page.html"),
]


class Elements(HTMLParser):
    """All elements of a page: tag and attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def of(self, *tags):
        return [attributes for tag, attributes in self.found if tag in tags]


def body_of(document):
    return document.to_html().partition("<body>")[2]


def test_text_is_escaped_in_every_block():
    blocks = [
        Text(HOSTILE),
        Command([HOSTILE]),
        Facts([(HOSTILE, HOSTILE)]),
        Table([HOSTILE], [[HOSTILE], [Link(HOSTILE, HOSTILE)]]),
        Picture(b"png", HOSTILE),
        Link(HOSTILE, HOSTILE),
        Gallery(HOSTILE, {f"{HOSTILE}.png": HOSTILE}),
        Code(HOSTILE, HOSTILE),
        Markdown(HOSTILE),
        digit_map([HOSTILE]),
        matrix([HOSTILE, LONG], HOSTILE),
        sliders([HOSTILE]),
        Chart(specification([{"x": 1, "run": HOSTILE}]), HOSTILE),
        Section(HOSTILE, [Columns([Text(HOSTILE)])]),
        Section("other", []),
    ]
    page = Document(HOSTILE, blocks, [Text(HOSTILE)], subject=HOSTILE).to_html()
    assert HOSTILE not in page and page.count("&lt;script&gt;alert(") >= 20
    assert "javascript:" not in body_of(Document("t", [Link("x", "javascript:alert(1)")]))


def test_blocks_appear_in_order_with_nested_headings():
    inner = Section("inner", [Text("deep")])
    body = body_of(Document("title", [Text("first"), Section("outer", [inner, Text("last")])], [Text("summary")]))
    parts = ("<h1>title</h1>", "summary", "first", "<h2>outer</h2>", "<h3>inner</h3>", "deep")
    places = [body.index(part) for part in parts]
    assert places == sorted(places) and body.index("last") > places[-1]


def test_the_contents_list_the_sections():
    page = Elements(Document("t", EVERY_BLOCK).to_html())
    links = [link["href"] for link in page.of("a") if link.get("href", "").startswith("#section")]
    ids = [section["id"] for section in page.of("section")]
    assert len(links) == 3 and links == [f"#{id_}" for id_ in ids]
    assert not Elements(Document("t", [Section("only", [])]).to_html()).of("nav")


def test_a_page_has_landmarks_labels_and_alternative_texts():
    page = Elements(Document("t", EVERY_BLOCK).to_html())
    assert page.of("html")[0]["lang"] == "en" and len(page.of("main")) == len(page.of("h1")) == 1
    assert page.of("a")[0] == {"class": "skip", "href": "#main"}
    assert all("alt" in image for image in page.of("img"))
    assert all(navigation.keys() & {"aria-label", "aria-labelledby"} for navigation in page.of("nav"))
    assert all(head.get("scope") for head in page.of("th"))


def test_a_page_is_self_contained():
    page = Document("t", EVERY_BLOCK).to_html()
    elements = Elements(page)
    assert not elements.of("link")[1:] and elements.of("link")[0]["href"] == "data:,"
    assert all("src" not in script for script in elements.of("script"))
    sources = [image["src"] for image in elements.of("img")]
    assert all(source.startswith("data:") or source == "a.png" for source in sources) and len(sources) == 4
    assert not re.search(r"@import|url\(http", page.partition("<body>")[0])
    assert len(page) < 5_000_000


def test_a_page_has_only_the_scripts_of_its_blocks():
    plain, matrix_page = Document("t", [Text("a")]), Document("t", [Section("s", [Columns([matrix("ab")])])])
    assert plain.scripts == [] and matrix_page.scripts == ["digits.js"]
    assert len(plain.to_html()) < 20_000
    assert Document("t", EVERY_BLOCK).scripts == ["table.js", "digits.js", "chart.js", "sliders.js"]


def test_a_map_of_thousands_of_digits_is_small():
    """A digit of each place has its own picture, in sheets that each stay below the size of a picture."""
    rng = np.random.default_rng(0)
    strokes = rng.integers(0, 256, (3000, 28, 28), dtype=np.uint8) * (rng.random((3000, 28, 28)) < 0.2)
    places = np.zeros((2, len(strokes), 2))
    block = DigitMap(Picture(b"png", "a map"), [Digit(image, "no. 12345, label 4") for image in strokes], places)
    assert len(block.data["sheets"]) == 3 and all(len(sheet) < MAX_PICTURE_BYTES for sheet in block.data["sheets"])
    assert len(Document("t", [block]).to_html()) < 5_000_000


def test_the_script_of_charts_is_made_once(home):
    """A page with a chart takes the kept script and loads no JavaScript engine."""
    version = importlib.metadata.version("vl-convert-python")
    kept = home / "study" / "output" / "charts" / f"vega-{version}.js"
    kept.parent.mkdir(parents=True)
    kept.write_text("/* the kept script */")
    program = (
        "import sys; from utils.document import Chart, Document; "
        "page = Document('t', [Chart({}, 'a chart')]).to_html(); "
        "print('/* the kept script */' in page, 'vl_convert' in sys.modules)"
    )
    made = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True
    )
    assert made.stdout.split() == ["True", "False"]


def test_markdown_of_every_block():
    document = Document(
        "not in the Markdown",
        [
            Text("5 * 3 < 20"),
            Command(["mnist report", "mnist runs"]),
            Table(["name", "a|b"], [["x", "1"], [Link("y", "y.html"), "2"]]),
            Section("Results", [Columns([Picture(b"", "one", "study_one"), Picture(b"", "two", "2", is_svg=True)])]),
            Link("the page", "some page.html"),
            matrix("ab"),
            digit_map(["no. 1"]),
            Markdown("some `code`"),
            Code("print(1)", "1"),
        ],
        summary=[Facts([("accuracy", "99 %"), ("seeds", "3")])],
    )
    assert document.to_markdown("docs/pictures") == "\n\n".join(
        [
            "- accuracy: 99 %\n- seeds: 3",
            "5 \\* 3 &lt; 20",
            "```bash\nmnist report\nmnist runs\n```",
            "| name | a\\|b |\n| --- | --- |\n| x | 1 |\n| [y](y.html) | 2 |",
            "## Results",
            "![one](docs/pictures/study_one.png)",
            "![two](docs/pictures/2.svg)",
            "[the page](some%20page.html)",
            "mistakes (on the HTML page)",
            "![a map](docs/pictures/map.svg)",
            "some `code`",
            "```python\nprint(1)\n```",
            "```text\n1\n```",
        ]
    )


def test_numbers_are_aligned_on_the_right():
    rows = [["1", "99.5% ± 0.1%", "2 recipes differ", "-"], ["2", "-", "none", "-"], ["3", "+0.2 to 0.4", "", "-"]]
    assert Table(["first", "number", "text", "empty"], rows).column_classes == ["", "number", "", ""]
    assert Table(["a", "b"], [["x", LONG]]).column_classes == ["", "long"]
    assert Table(["a", "b"], []).column_classes == ["", ""]
    rows = [["x", "99.5% (99.1% to 99.7%)", "1.5 to 2.5"]]
    page = body_of(Document("t", [Table(["a", "b", "c"], rows)]))
    assert "99.5% (99.1%\u00a0to\u00a099.7%)" in page and "1.5 to\u00a02.5" in page


def test_figures_are_svg_and_digits_png(tmp_path):
    chart, digits = Figure(figsize=(4, 1)), Figure(figsize=(4, 1))
    chart.add_subplot().plot([1, 2])
    digits.add_subplot().imshow(DIGIT)
    pictures = [picture_of(chart, "a chart", "chart"), picture_of(digits, "digits", "digits")]
    Document("t", [Section("s", [Columns(pictures)]), Picture(b"2", "unnamed")]).write_pictures(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"chart.svg", "digits.png"}
    assert [picture.width for picture in pictures] == [4 * 96] * 2
    assert picture_file(tmp_path, "chart", "a chart") == pictures[:1]
    assert picture_file(tmp_path, "digits", "digits") == pictures[1:]
    assert picture_file(tmp_path, "other", "") == []


def test_a_figure_with_many_points_is_a_small_png():
    figure = Figure(figsize=(6, 4))
    figure.add_subplot().scatter(*np.random.default_rng(0).normal(size=(2, 20_000)))
    picture = picture_of(figure, "points")
    assert not picture.is_svg and len(picture.content) <= MAX_PICTURE_BYTES


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a document in the browser. There must be no error and no request."""
    complaints, pages = [], []

    def show(document, **options):
        file = tmp_path / "page.html"
        document.write_html(file)
        page = browser.new_page(**options)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if request.url[:4] == "http" else None)
        page.goto(file.as_uri())
        pages.append(page)
        return page

    yield show
    for page in pages:
        page.close()
    assert complaints == []


@pytest.mark.browser
def test_a_table_sorts_and_filters(opened):
    page = opened(Document("t", [Table(["name", "value"], ROWS, sortable=True)]))

    def names():
        return page.locator("tbody tr:visible th").all_inner_texts()

    page.locator("thead button").nth(1).click()
    assert names() == ["d", "e", "f", "a", "b", "c"]  # 2, 3, 4, 9.5, 10,000 and text last
    page.locator("thead button").nth(1).click()
    assert names() == ["c", "b", "a", "f", "e", "d"]
    page.locator("thead button").nth(0).press("Enter")
    assert names() == [*"abcdef"] and page.locator("thead th").nth(0).get_attribute("aria-sort") == "ascending"
    page.get_by_label("Filter rows").fill("10,0")
    assert names() == ["b"] and page.locator("output").inner_text() == "1 of 6 rows"


@pytest.mark.browser
def test_a_click_on_the_confusion_matrix_shows_the_digits(opened):
    page = opened(Document("t", [matrix(["zero", "one"], HOSTILE)]))
    assert page.locator(".digits figcaption").count() == 1  # of the most frequent mistake, or the first cell
    page.get_by_role("button", name="1 read as 1").click()
    assert page.locator(".digits p").last.inner_text() == f"1 read as 1{HOSTILE}"
    assert page.locator(".digits figcaption").all_inner_texts() == [f"no. 1{HOSTILE}", "no. 7"]
    page.get_by_role("button", name="0 read as 0").press("Enter")
    assert page.locator(".digits figcaption").count() == 1


@pytest.mark.browser
def test_a_point_of_a_map_shows_its_digit(opened):
    page = opened(Document("t", [digit_map(["first", HOSTILE])]))
    tip, image = page.locator(".tip"), page.locator(".points img").bounding_box()
    assert tip.is_hidden()

    def point_at(x, y):
        page.mouse.move(image["x"] + x * image["width"], image["y"] + y * image["height"])

    point_at(0.75, 0.25)
    assert tip.inner_text() == HOSTILE and page.locator(".ring:visible").count() == 2  # one on each map
    point_at(0.25, 0.75)
    assert tip.inner_text() == "first"
    point_at(0.5, 0.5)
    assert tip.is_hidden()
    page.locator(".points").press("ArrowLeft")
    page.locator(".points").press("ArrowLeft")
    assert tip.inner_text() == HOSTILE  # the last of two
    page.keyboard.press("Escape")
    assert tip.is_hidden()


@pytest.mark.browser
def test_the_theme_follows_the_system_and_the_choice_is_remembered(opened):
    page = opened(Document("t", [Text("text")]), color_scheme="dark")

    def is_dark():
        return page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"

    assert is_dark()
    page.get_by_role("button", name="Light mode").click()
    assert not is_dark()
    page.reload()
    assert not is_dark() and page.get_by_role("button", name="Dark mode").is_visible()


@pytest.mark.browser
def test_a_point_of_a_chart_shows_its_run(opened):
    page = opened(Document("t", [Chart(specification([{"x": 1, "run": HOSTILE}, {"x": 2, "run": "b"}]), "two runs")]))
    page.locator(".mark-symbol path").first.hover()
    page.locator("#vg-tooltip-element.visible").wait_for()
    assert HOSTILE in page.locator("#vg-tooltip-element").inner_text()


@pytest.mark.browser
def test_sliders_show_the_accuracy_on_moved_digits(opened):
    page = opened(Document("t", [sliders(["one", "other"])]))

    def accuracies():
        return page.locator(".bars .value").all_inner_texts()

    assert accuracies() == ["23.5%", "76.5%"]  # the centres of the shift maps
    page.get_by_label("shift to the right").fill("1")
    page.get_by_label("shift up").fill("1")
    assert accuracies() == ["11.8%", "64.7%"]  # the first row, the last column
    page.get_by_label("scale").fill("1.5")
    assert accuracies() == ["50.0%"] * 2 and page.get_by_label("shift up").input_value() == "0"
    page.get_by_role("button", name="Reset").click()
    assert accuracies() == ["23.5%", "76.5%"]


@pytest.mark.browser
@pytest.mark.parametrize("num_classes", [2, 26])
def test_a_page_fits_a_phone(opened, num_classes):
    wide = Table([f"column {number}" for number in range(20)], [[LONG, *["value"] * 19]] * 100, sortable=True)
    figure = Figure(figsize=(12, 3))
    figure.add_subplot().plot([1, 2])
    picture = picture_of(figure, "a wide picture")
    names = [f"{LONG}{number}" for number in range(num_classes)]
    networks = [f"{LONG}{number}" for number in range(100)]
    blocks = [Text("word" * 50), Command(["mnist " + LONG]), wide, picture, matrix(names), sliders(networks)]
    blocks.append(Columns([Section("left", [wide]), Section("right", [picture])]))
    blocks += [Section(LONG, [Chart(specification([{"x": 1, "run": "a"}]), "chart")]) for _ in range(2)]
    page = opened(
        Document(f"a long title {LONG}", blocks, [Facts([(LONG, LONG)])]), viewport={"width": 390, "height": 844}
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert "is-wide" in page.locator(".table").first.get_attribute("class")
