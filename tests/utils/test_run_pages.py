"""The pages of a run: their pictures, the overview, and the links between pages."""

import re

from matplotlib.figure import Figure

from utils.document import Columns, Document, Section, Text, picture_of
from utils.navigation import OVERVIEW
from utils.run_pages import write_run_page


def test_a_page_of_a_run_updates_the_overview(tmp_path, capsys):
    run = tmp_path / "run"
    pictures = [picture_of(Figure(figsize=(1, 1)), f"the {name}", name) for name in ("00-first", "01-second")]
    write_run_page(run / "features-conv 1" / "features.html", "Features of <conv 1>", pictures, [Text("a note")])
    assert "2 pictures and a page: " in capsys.readouterr().out
    assert (run / "features-conv 1" / "00-first.svg").exists()
    page = (run / "features-conv 1" / "features.html").read_text()
    assert "<p>a note</p>" in page and "<figcaption>the 00-first</figcaption>" in page and "Run run" in page
    overview = (run / OVERVIEW).read_text()
    assert "<h2>Features of &lt;conv 1&gt;</h2>" in overview
    assert 'href="features-conv%201/features.html"' in overview and 'src="features-conv%201/01-second.svg"' in overview
    Document("Metrics", []).write_html(run / "report.html", run)
    (run / "loss.svg").write_bytes(pictures[0].content)
    write_run_page(run / "attribution-7" / "attribution.html", "attribution", pictures)
    overview = (run / OVERVIEW).read_text()
    assert "<figcaption>Second</figcaption>" in overview and "<figcaption>Loss</figcaption>" in overview
    assert overview.count("<img") == 5 and 'href="report.html"' in overview and 'src="loss.svg"' in overview


def test_a_picture_alone_under_a_heading_has_its_name_in_the_overview(tmp_path):
    one, two, three = (picture_of(Figure(figsize=(1, 1)), name, name) for name in ("one", "two_a", "three_b"))
    sections = [Section("The <first>", [one]), Section("The others", [Columns([two, three])])]
    write_run_page(tmp_path / "run" / "features-a" / "features.html", "Features", sections)
    overview = (tmp_path / "run" / OVERVIEW).read_text()
    for caption in ("The &lt;first&gt;", "Two a", "Three b"):
        assert f"<figcaption>{caption}</figcaption>" in overview


def links_of(page):
    """URL of each link in the header of the page, the current page as an empty one."""
    header = page.read_text().partition("<header")[2].partition("</header>")[0]
    return {text: url for url, text in re.findall(r'<a (?:aria-current="page"|href="([^"]+)")>([^<]+)</a>', header)}


def test_pages_of_a_run_link_to_one_another(home):
    run = home / "pages" / "my run"
    Document("Metrics", []).write_html(run / "report.html", run)
    assert links_of(run / "report.html") == {}  # one page needs no links
    write_run_page(run / "features-a" / "features.html", "a", [])
    write_run_page(run / "features-b" / "features.html", "b", [])
    assert links_of(run / "report.html") == {
        "Overview": "overview.html", "Metrics": "", "Features": "features-b/features.html",
    }  # fmt: skip
    assert links_of(run / "features-a" / "features.html")["Features"] == ""
    for page in run.rglob("*.html"):
        assert all((page.parent / url).exists() for url in links_of(page).values() if url)


def test_pages_of_the_study_link_to_one_another_and_to_the_run(home):
    study, run = home / "study" / "output", home / "model_interpretation" / "output" / "fast_conv-1"
    Document("Metrics", []).write_html(run / "report.html", run)
    scorecard = study / "scorecards" / "fast_conv-1-abcdef.html"
    Document("Scorecard", []).write_html(scorecard, run)
    Document("Comparison", []).write_html(study / "comparison" / "comparison.html")
    Document("Report", []).write_html(study / "report" / "report.html")
    assert links_of(scorecard) == {
        "Comparison": "../comparison/comparison.html", "Scorecards": "", "Report": "../report/report.html",
        "Metrics": "../../../model_interpretation/output/fast_conv-1/report.html", "Scorecard": "",
    }  # fmt: skip
    assert links_of(study / "comparison" / "comparison.html")["Report"] == "../report/report.html"
    assert links_of(run / "report.html")["Scorecard"].endswith("scorecards/fast_conv-1-abcdef.html")


def test_the_tour_is_among_the_pages_of_the_study(home):
    tour, data = home / "notebooks" / "output" / "tour.html", home / "data_inspection" / "output" / "mnist.html"
    Document("A tour", []).write_html(tour)
    Document("Data", []).write_html(data)
    assert links_of(tour) == {"Data": "../../data_inspection/output/mnist.html", "Tour": ""}
    assert links_of(data) == {"Data": "", "Tour": "../../notebooks/output/tour.html"}
