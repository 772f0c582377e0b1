"""MkDocs hooks: notebooks, benchmarks and pictures from outside docs/ become part of the site.

A link in a document points to a file of the repository, so that it works in an editor and on a code host. The hooks
rewrite it to the place of that file in the site.
"""

import os
import posixpath
import re
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

PROJECT = Path(__file__).resolve().parent.parent
# Files outside docs/ keep their path in the site.
OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/*.md",
    "benchmarks/output/*.png",
    "data_inspection/output/*.png",
    "data_inspection/output/*.svg",
    "notebooks/*.ipynb",
)
LINK = re.compile(r"(?<=\]\()([^)\s#:]+)")
EXECUTE = os.environ.get("DOCS_EXECUTE") == "true"  # run the notebooks, so that their pages show results


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files outside docs/, and a page for each notebook."""
    for pattern in OUTSIDE:
        for path in sorted(PROJECT.glob(pattern)):
            files.append(File.generated(config, path.relative_to(PROJECT).as_posix(), abs_src_path=str(path)))
            if path.suffix == ".ipynb":
                add_notebook(path, files, config)
    return files


def add_notebook(path: Path, files: Files, config: MkDocsConfig) -> None:
    """Adds the notebook as a page, with the pictures among its outputs beside it."""
    notebook = nbformat.read(path, as_version=4)
    if EXECUTE:
        place = {"metadata": {"path": str(path.parent)}}
        NotebookClient(notebook, timeout=None, coalesce_streams=True, resources=place).execute()
        for cell in notebook.cells:  # standard error has progress and downloads
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    resources = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    text, resources = MarkdownExporter().from_notebook_node(notebook, resources)
    note = f"This page is the notebook [{path.name}]({path.name}), which you can download and run.\n"
    title, _, body = text.lstrip().partition("\n")
    files.append(File.generated(config, f"notebooks/{path.stem}.md", content=f"{title}\n\n{note}{body}"))
    for name, picture in resources["outputs"].items():
        files.append(File.generated(config, f"notebooks/{name}", content=picture))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - by name
    """Rewrites links to files of the repository as links in the site."""
    uri = page.file.src_uri
    is_outside = any(Path(uri).match(pattern) for pattern in (*OUTSIDE, "notebooks/*.md"))
    folder = (PROJECT if is_outside else PROJECT / "docs") / posixpath.dirname(uri)

    def rewritten(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        if not target.is_file():
            return match[1]
        place = target.relative_to(PROJECT).as_posix().removeprefix("docs/")
        if place == "README.md":
            place = "index.md"
        if place.startswith("notebooks/") and uri != place.replace(".ipynb", ".md"):
            place = place.replace(".ipynb", ".md")
        return posixpath.relpath(place, posixpath.dirname(uri) or ".")

    return LINK.sub(rewritten, markdown)
