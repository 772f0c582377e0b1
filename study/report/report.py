"""Writes the report as a page, as Markdown and as data."""

import json
from datetime import date
from pathlib import Path

from study.report.evidence import gather_evidence
from study.report.sections import (
    ablation_section,
    answer,
    fitting_section,
    generalisation_section,
    input_section,
    label_errors_section,
)  # fmt: skip
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
    num_recipes = len(evidence.networks)
    runs = f"{evidence.num_runs} runs of {num_recipes} recipe{'s' if num_recipes > 1 else ''}"
    source = f"Written by 'mnist report' on {date.today().isoformat()} from {runs} and the studies in the sections."
    blocks = [
        *answer(evidence.networks),
        Text(source),
        input_section(evidence.inspection),
        fitting_section(evidence.networks),
        generalisation_section(evidence.networks),
        ablation_section(evidence.ablation),
        label_errors_section(evidence.label_errors),
    ]
    document = Document(TITLE, blocks)
    recipes = [network.to_json() for network in evidence.networks]
    document.write_html(folder / "report.html")
    document.write_pictures(folder / "pictures")
    write_whole(folder / "report.md", f"# {TITLE}\n\n{document.to_markdown('pictures')}\n".encode())
    write_whole(folder / "report.json", json.dumps({"recipes": recipes}, indent=1, allow_nan=False).encode())
    print(f"report of {runs}: {shown(folder)}/report.html, .md, .json")
