"""Writes the report as a page, and its short version as Markdown."""

from pathlib import Path

from study.report.evidence import gather_evidence
from study.report.sections import report_sections
from utils.document import Document, Section
from utils.errors import UserError
from utils.files import shown, write_whole

INTRODUCTION = (
    "`mnist report --markdown` wrote this page from the runs and studies in runs/ and study/output/. The page that "
    "`mnist report` writes has more figures. [scorecard.md](scorecard.md) explains how each metric is measured."
)


def write_report(output: Path, markdown: Path | None = None) -> None:
    """Writes the page to `output` and, if given, the short version to `markdown`, with pictures in pictures/ beside it.

    Raises UserError if no recipe has scorecards of all its runs.
    """
    if output.is_dir():
        raise UserError(f"--output {output}: expected a file, such as report.html")
    evidence = gather_evidence()
    sections = report_sections(evidence)
    Document("Is MNIST solved?", [Section(part.title, part.blocks) for part in sections]).write_html(output)
    num_runs = sum(len(network.cards) for network in evidence.networks)
    print(
        f"{len(evidence.networks)} recipes, {num_runs} runs; without scorecards: "
        f"{evidence.num_without_scorecards} recipes\nreport: {shown(output)}"
    )
    if markdown:
        document = Document("Is MNIST solved?", [Section(part.title, part.brief_blocks) for part in sections])
        text = f"# {document.title}\n\n{INTRODUCTION}\n\n{document.to_markdown('pictures')}\n"
        write_whole(markdown, text.encode())
        document.write_pictures(markdown.parent / "pictures")
        print(f"short version: {shown(markdown)}")
