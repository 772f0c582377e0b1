"""Writes the report as a page, as Markdown and as data."""

import json
from datetime import date
from pathlib import Path

from study.report.evidence import gather_evidence
from study.report.sections import answer, report_sections
from utils.document import Document, Text
from utils.errors import UserError
from utils.files import shown, write_whole

TITLE = "Is MNIST solved?"


def write_report(folder: Path) -> None:
    """Writes report.html, report.md with its pictures/, and report.json, the results of each recipe seed by seed.

    Raises UserError if no recipe has measured metrics for all its runs.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output {folder} is a file: expected a folder for report.html, report.md and report.json")
    evidence = gather_evidence()
    source = (
        f"`mnist report` wrote this page on {date.today().isoformat()} from {evidence.num_runs} runs of "
        f"{len(evidence.networks)} recipes and from the studies that its sections name."
    )
    document = Document(TITLE, [*answer(evidence.networks), Text(source), *report_sections(evidence)])
    recipes = [network.to_json() for network in evidence.networks]
    document.write_html(folder / "report.html")
    document.write_pictures(folder / "pictures")
    write_whole(folder / "report.md", f"# {TITLE}\n\n{document.to_markdown('pictures')}\n".encode())
    write_whole(folder / "report.json", json.dumps({"recipes": recipes}, indent=1, allow_nan=False).encode())
    print(
        f"{len(evidence.networks)} recipes, {evidence.num_runs} runs\nreport: {shown(folder)}/report.html, .md, .json"
    )
