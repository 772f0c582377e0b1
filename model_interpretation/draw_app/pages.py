"""The drawing page with the header of all pages, and the written pages to which the header links."""

from pathlib import Path

from utils.files import home_folder, output_folder
from utils.navigation import TEMPLATES, navigation
from utils.run import Run

PAGE = Path(__file__).parent / "page"
# The pages have their scripts inside. They may load their pictures and send nothing. Vega compiles its expressions.
WRITTEN_PAGE_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "connect-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PACKAGES = ("data_inspection", "model_interpretation", "notebooks", "study")
SUFFIXES = (".html", ".png", ".svg")


def drawing_page(run: Run) -> str:
    """The HTML of the page, with links to the pages of the study and of this run. All addresses are relative."""
    header = navigation(home_folder() / "draw.html", output_folder("model_interpretation") / run.name)
    return TEMPLATES.from_string((PAGE / "index.html").read_text(encoding="utf-8")).render(header=header)


def written_page(package: str, path: str) -> Path | None:
    """The page or picture at this path inside the output folder of a package; None if there is none."""
    folder = output_folder(package).resolve()
    file = (folder / path).resolve()
    is_page = package in PACKAGES and file.is_relative_to(folder) and file.suffix in SUFFIXES and file.is_file()
    return file if is_page else None
