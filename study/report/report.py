"""Writes the report as a page, as Markdown and as data."""

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from study.report.answer import answer
from study.report.evidence import Evidence, gather_evidence
from study.report.recorded import read_recorded, write_recorded
from study.report.sections import (
    ablation_section,
    fitting_section,
    generalisation_section,
    input_section,
    label_errors_section,
)  # fmt: skip
from utils.document import Block, Document, Text
from utils.errors import UserError
from utils.files import shown, write_whole

TITLE = "Is MNIST solved?"


def write_report(folder: Path, source: Path | None = None) -> None:
    """Writes report.html, report.md with its pictures/, and report.json, from which the report can be made again:
    from the runs and studies, or with `source` from the report.json of another report.

    Raises UserError if no recipe has measured metrics for all its runs, or if `source` is not a report.json.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output {folder} is a file: expected a folder for report.html, report.md and report.json")
    with TemporaryDirectory() as restored_runs:
        evidence = read_recorded(source, Path(restored_runs)) if source else gather_evidence()
        _write(folder, evidence)


def _write(folder: Path, evidence: Evidence) -> None:
    document = report_document(evidence)
    document.write_html(folder / "report.html")
    document.write_pictures(folder / "pictures")
    write_whole(folder / "report.md", f"# {TITLE}\n\n{document.to_markdown('pictures')}\n".encode())
    write_recorded(folder / "report.json", evidence)
    print(f"report of {_runs_text(evidence)}: {shown(folder)}/report.html, .md, .json")


def report_document(evidence: Evidence) -> Document:
    """The page of the report."""
    runs = _runs_text(evidence)
    origin = "a report.json" if evidence.is_recorded else "the studies in the sections"
    text = (
        f"Written by 'mnist report' on {date.today().isoformat()} from {runs} and {origin}. 'mnist report --from "
        "report.json' computes its tables and most figures again from the results of each seed, which are in that file."
    )
    blocks: list[Block] = [
        Text(text),
        input_section(evidence.inspection),
        fitting_section(evidence.networks),
        generalisation_section(evidence.networks),
        ablation_section(evidence.ablation),
        label_errors_section(evidence.label_errors, has_pictures=not evidence.is_recorded),
    ]
    return Document(TITLE, blocks, summary=answer(evidence.networks))


def _runs_text(evidence: Evidence) -> str:
    num_recipes = len(evidence.networks)
    return f"{evidence.num_runs} runs of {num_recipes} recipe{'s' if num_recipes > 1 else ''}"
