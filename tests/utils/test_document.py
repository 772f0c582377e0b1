"""Documents: every block as HTML and as Markdown, escaped text, and pages that work without a network."""

import re

import pytest
from matplotlib.figure import Figure

from utils.document import (
    OVERVIEW,
    Columns,
    Command,
    Document,
    Gallery,
    Link,
    Picture,
    Section,
    Table,
    Text,
    picture_of,
    write_picture_page,
)
from utils.figures import as_png

HOSTILE = "<script>alert('&\"')</script>"
ROWS = [["b", "10,000"], ["a", "9.5"], ["c", "-"]]


def body_of(document):
    return document.to_html().partition("<body>")[2]


def test_text_is_escaped_in_every_block():
    blocks = [
        Text(HOSTILE),
        Command([HOSTILE]),
        Table([HOSTILE], [[HOSTILE]]),
        Picture(b"png", HOSTILE),
        Link(HOSTILE, HOSTILE),
        Gallery(HOSTILE, [f"{HOSTILE}.png"]),
        Section(HOSTILE, [Columns([Text(HOSTILE)])]),
    ]
    page = Document(HOSTILE, blocks).to_html()
    assert "<script>" not in page and page.count("&lt;script&gt;alert(") == 11
    assert "javascript:" not in body_of(Document("t", [Link("x", "javascript:alert(1)")]))


def test_blocks_appear_in_order_with_nested_headings():
    inner = Section("inner", [Text("deep")])
    body = body_of(Document("title", [Text("first"), Section("outer", [inner, Text("last")])]))
    places = [body.index(part) for part in ("<h1>title</h1>", "first", "<h2>outer</h2>", "<h3>inner</h3>", "deep")]
    assert places == sorted(places) and body.index("last") > places[-1]


def test_a_page_is_self_contained():
    figure = Figure(figsize=(1, 1))
    page = Document("t", [picture_of(figure, "a square"), Table(["n"], ROWS[:1], sortable=True)]).to_html()
    assert 'alt="a square"' in page and "data:image/png;base64,iVBOR" in page
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links and all(link.startswith("data:") for link in links)


def test_only_a_page_with_a_sortable_table_has_the_script_and_the_filter():
    plain = Document("t", [Table(["name", "value"], ROWS)])
    sortable = Document("t", [Section("s", [Columns([Table(["name", "value"], ROWS, sortable=True)])])])
    assert "<script>" not in plain.to_html() and "<input" not in plain.to_html()
    assert "<script>" in sortable.to_html() and sortable.to_html().count("<input") == 1


def test_markdown_of_every_block():
    document = Document(
        "not in the Markdown",
        [
            Text("5 * 3 < 20"),
            Command(["mnist report", "mnist runs"]),
            Table(["name", "a|b"], [["x", "1"]]),
            Section("Results", [Columns([Picture(b"", "one", "study_one"), Picture(b"", "two", "2")])]),
            Link("the page", "some page.html"),
        ],
    )
    assert document.to_markdown("docs/pictures") == "\n\n".join(
        [
            "5 \\* 3 &lt; 20",
            "```bash\nmnist report\nmnist runs\n```",
            "| name | a\\|b |\n| --- | --- |\n| x | 1 |",
            "## Results",
            "![one](docs/pictures/study_one.png)",
            "![two](docs/pictures/2.png)",
            "[the page](some%20page.html)",
        ]
    )


def test_pictures_with_a_name_are_written_as_files(tmp_path):
    named, unnamed = Picture(b"1", "named", name="one"), Picture(b"2", "unnamed")
    Document("t", [Section("s", [Columns([named])]), unnamed]).write_pictures(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"one.png": b"1"}


def test_a_picture_page_updates_the_overview_of_its_run(tmp_path, capsys):
    run = tmp_path / "run"
    figures = {"00-first": Figure(figsize=(1, 1)), "01-second": Figure(figsize=(1, 1))}
    write_picture_page(run / "features-conv 1" / "features.html", "run: conv 1", figures)
    assert "2 pictures and a page: " in capsys.readouterr().out
    assert (run / "features-conv 1" / "00-first.png").read_bytes() == as_png(figures["00-first"])
    overview = (run / OVERVIEW).read_text()
    assert "<h2>features conv 1</h2>" in overview and "report.html" not in overview
    assert 'href="features-conv%201/features.html"' in overview and 'src="features-conv%201/01-second.png"' in overview
    (run / "report.html").write_text("report")
    write_picture_page(run / "attribution" / "attribution.html", "run", figures)
    overview = (run / OVERVIEW).read_text()
    assert overview.count("<img") == 4 and 'href="report.html"' in overview


@pytest.mark.browser
def test_a_sortable_table_sorts_and_filters(browser, tmp_path):
    Document("t", [Table(["name", "value"], ROWS, sortable=True)]).write_html(tmp_path / "page.html")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())

    def names():
        return page.locator("tbody tr:visible td:first-child").all_inner_texts()

    page.locator("th").nth(1).click()
    assert names() == ["a", "b", "c"]  # 9.5, 10,000 and text last
    page.locator("th").nth(1).click()
    assert names() == ["c", "b", "a"]
    page.locator("th").nth(0).click()
    assert names() == ["a", "b", "c"] and page.locator("th").nth(0).get_attribute("aria-sort") == "ascending"
    page.locator("input").fill("10,0")
    assert names() == ["b"]
    page.close()


@pytest.mark.browser
def test_a_page_fits_a_phone(browser, tmp_path):
    wide = Table([f"column {number}" for number in range(20)], [["value"] * 20], sortable=True)
    picture = picture_of(Figure(figsize=(12, 3)), "a wide picture")
    blocks = [Text("word" * 50), Command(["mnist " + "x" * 200]), wide, picture]
    blocks.append(Columns([Section("left", [wide]), Section("right", [picture])]))
    Document("a long title " + "x" * 80, blocks).write_html(tmp_path / "page.html")
    page = browser.new_page(viewport={"width": 390, "height": 844})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    page.close()
    assert complaints == []
