"""The drawing page has the header of all pages, and the server gives the written pages to which the header links."""

import re

import pytest
from fastapi.testclient import TestClient

from model_interpretation.draw_app.pages import drawing_page, written_page
from model_interpretation.draw_app.server import make_app
from utils.document import Document
from utils.files import output_folder, study_folder
from utils.run import Run


@pytest.fixture
def pages(copied_run):
    """The pages of the run `mine` and of the study."""
    folder = output_folder("model_interpretation") / "mine"
    Document("Metrics", []).write_html(folder / "report.html", folder)
    Document("Comparison", []).write_html(study_folder() / "comparison" / "comparison.html")
    return Run(copied_run)


def test_the_header_links_to_the_pages_of_the_run_and_the_study(pages):
    page = drawing_page(pages)
    links = dict(re.findall(r'<a href="([^"#]+)">([^<]+)</a>', page))
    assert links == {
        "study/output/comparison/comparison.html": "Comparison",
        "model_interpretation/output/mine/report.html": "Metrics",
    }
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert not [address for address in addresses if address.startswith(("/", "http"))]  # relative, below any path


def test_a_page_without_other_pages_has_no_links(copied_run):
    assert "<nav" not in drawing_page(Run(copied_run))


def test_only_pages_and_pictures_of_the_output_folders_are_given(pages, home):
    (output_folder("study") / "results.json").write_text("{}")
    (home / "secret.html").write_text("secret")
    (study_folder() / "link.html").symlink_to(home / "secret.html")
    assert written_page("model_interpretation", "mine/report.html").read_text().startswith("<!DOCTYPE html>")
    for package, path in [
        ("study", "results.json"),
        ("study", "nothing.html"),
        ("study", "comparison"),
        ("study", "../../secret.html"),
        ("study", str(home / "secret.html")),
        ("study", "link.html"),
        ("runs", "mine/config.json"),
        ("..", "secret.html"),
    ]:
        assert written_page(package, path) is None, (package, path)


def test_a_written_page_may_run_its_scripts_and_send_nothing(pages):
    with TestClient(make_app([pages], 8765, "t0ken"), base_url="http://127.0.0.1:8765/t0ken") as client:
        page = client.get("/model_interpretation/output/mine/report.html")
        assert page.status_code == 200 and "<h1>Metrics</h1>" in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "connect-src 'none'" in policy and "form-action 'none'" in policy
        assert client.get("/model_interpretation/output/mine/config.json").status_code == 404
        for name in ("style.css", "page.js", "early.js"):
            assert client.get(f"/common/{name}").status_code == 200
