"""Links between the pages of a run and the pages of the study. Each page holds them in its header."""

import os
import re
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from utils.files import output_folder, study_folder, write_whole

OVERVIEW = "overview.html"
REPORT = "report.html"
# Label of a link -> the pages of this kind, relative to the folder of a run's pages or to study/output.
RUN_PAGES = {
    "Overview": OVERVIEW,
    "Metrics": REPORT,
    "Activations": "activations-*/activations.html",
    "Features": "features-*/features.html",
    "Attribution": "attribution-*/attribution.html",
    "Embeddings": "embeddings/embeddings.html",
}
STUDY_PAGES = {
    "Comparison": "comparison/*.html",
    "Scorecards": "scorecards/*.html",
    "Ablation": "ablation/*/ablation.html",
    "Label errors": "label_errors/label_errors.html",
    "Report": "report/report.html",
}
HEADER = re.compile(r'<header class="site" data-run="([^"]*)">.*?</header>', re.DOTALL)
TEMPLATE_FOLDER = Path(__file__).parent / "templates"
TEMPLATES = Environment(
    loader=FileSystemLoader(TEMPLATE_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class PageLink:
    """A link of the header."""

    label: str
    url: str
    is_current: bool


def navigation(page: Path, run_folder: Path | None = None) -> str:
    """The HTML header of the page: links to the newest page of each kind of the study and of the run, if any."""
    run_files = _run_files(run_folder) if run_folder else {}
    return TEMPLATES.get_template("header.html").render(
        run_name=run_folder.name if run_folder else "",
        run_folder=_relative(run_folder, page) if run_folder else "",
        run_links=_links(run_files, page),
        study_links=_links(_study_files(), page),
    )


def refresh_navigation(page: Path, run_folder: Path | None = None) -> None:
    """Writes the links again into the pages to which this page links, because a page may be new."""
    groups = [_run_files(run_folder) if run_folder else {}]
    if run_folder is None or page.is_relative_to(study_folder()):
        groups.append(_study_files())
    for file in {newest for group in groups for files in group.values() for newest in files[-1:]} - {page}:
        text = file.read_text(encoding="utf-8")
        if found := HEADER.search(text):
            folder = Path(os.path.normpath(file.parent / unescape(found[1]))) if found[1] else None
            header = navigation(file, folder)
            if header != found[0]:
                written = file.stat()
                write_whole(file, f"{text[: found.start()]}{header}{text[found.end() :]}".encode())
                os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))  # the content is as old as before


def _run_files(folder: Path) -> dict[str, list[Path]]:
    scorecards = study_folder() / "scorecards"
    files = {label: list(folder.glob(pattern)) for label, pattern in RUN_PAGES.items()}
    files["Scorecard"] = [file for file in scorecards.glob("*.html") if file.stem.rpartition("-")[0] == folder.name]
    return {label: _oldest_first(pages) for label, pages in files.items() if pages}


def _study_files() -> dict[str, list[Path]]:
    files = {"Data": list(output_folder("data_inspection").glob("*.html"))}
    files |= {label: list(study_folder().glob(pattern)) for label, pattern in STUDY_PAGES.items()}
    files["Tour"] = list(output_folder("notebooks").glob("tour.html"))
    return {label: _oldest_first(pages) for label, pages in files.items() if pages}


def _oldest_first(files: list[Path]) -> list[Path]:
    return sorted(files, key=lambda file: (file.stat().st_mtime, file))


def _links(groups: dict[str, list[Path]], page: Path) -> list[PageLink]:
    links = []
    for label, files in groups.items():
        is_current = page.resolve() in [file.resolve() for file in files]
        links.append(PageLink(label, "" if is_current else quote(_relative(files[-1], page)), is_current))
    return links


def _relative(target: Path, page: Path) -> str:
    """The path from the folder of the page, with slashes."""
    return Path(os.path.relpath(target.absolute(), page.absolute().parent)).as_posix()
