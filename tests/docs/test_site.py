"""The documentation site is built strictly, has no dead links, and loads nothing from other hosts."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlparse

import pytest

from utils.files import PROJECT_FOLDER

for package in ("mkdocs", "material", "mkdocstrings"):
    pytest.importorskip(package, reason=f"no {package}: pip install -e '.[docs]'")

LOADED = {"script", "img", "iframe", "source", "link"}  # tags whose address a browser requests by itself


class Addresses(HTMLParser):
    """The ids of a page, its links, and the addresses that it loads."""

    def __init__(self, page):
        super().__init__()
        self.ids, self.links, self.loaded = set(), [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids |= {values[name] for name in ("id", "name") if values.get(name)}
        for address in filter(None, (values.get("href"), values.get("src"))):
            (self.loaded if tag in LOADED else self.links).append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "true"}
    environment.pop("DOCS_EXECUTE", None)
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=PROJECT_FOLDER, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert build.returncode == 0, build.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Addresses(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_notebooks_report_and_api_are_in_the_site(site):
    for name in ("notebooks/quickstart", "notebooks/tour", "notebooks/your_own_model", "report", "commands"):
        assert (site / name / "index.html").exists()
    assert 'id="trainers.generic_trainers.basic_trainer.BasicTrainer.compute_loss"' in (
        site / "reference" / "training" / "index.html"
    ).read_text(encoding="utf-8")


def test_pages_load_nothing_from_other_hosts(site, pages):
    for page, addresses in pages.items():
        assert [address for address in addresses.loaded if urlparse(address).netloc] == [], page
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(encoding="utf-8") and "@import" not in style.read_text("utf-8"), style


def test_links_within_the_site_lead_somewhere(pages):
    for page, addresses in pages.items():
        for address in addresses.links + addresses.loaded:
            url = urlparse(address)
            if url.scheme:
                continue
            target = (page.parent / unquote(url.path)).resolve() if url.path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{page}: {address}"
            if url.fragment and target in pages:
                assert unquote(url.fragment) in pages[target].ids, f"{page}: {address}"
