"""`mnist report`: what the runs and the studies say, from the digits to the conclusion."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from utils.command_line import parse_command_line
from utils.errors import UserError, exit_on_user_error
from utils.paths import PROJECT_FOLDER

PAGE = PROJECT_FOLDER / "study" / "report.html"
README = PROJECT_FOLDER / "README.md"
PICTURES = Path("docs") / "pictures"


@dataclass(frozen=True)
class ReportCommand:
    output: Path = PAGE
    """The page."""
    readme: bool = False
    """Also puts the short version between the marks of the README's Study section, and its pictures beside it."""


def main(argv: list[str]) -> None:
    """Writes the report on what networks can do here: input inspection, model fitting, generalisation, which property
    buys what, what no network gets, and whether MNIST is solved. It is made from the runs that have a scorecard and
    from what `mnist inspect`, `mnist architecture` and `mnist limits` left; each part names the commands that make its
    figures again."""
    options = parse_command_line(ReportCommand, argv, "mnist report", main.__doc__)
    if options.output.is_dir():
        raise UserError(f"--output {options.output}: expected a file, such as report.html")

    from study.reporting.evidence import gather_evidence
    from study.reporting.sections import report_sections
    from utils.atomic_files import write_whole
    from utils.html_page import page
    from utils.paths import shown

    evidence = gather_evidence()
    sections = report_sections(evidence)
    write_whole(options.output, page("Is MNIST solved?", "\n".join(part.as_html() for part in sections)).encode())
    num_runs = sum(len(network.cards) for network in evidence.networks)
    print(f"{len(evidence.networks)} recipes, {num_runs} runs; without scorecards: {evidence.num_left_out} recipes")
    print(f"report: {shown(options.output)}")
    if options.readme:
        write_readme(sections)
        print(f"Study section: {shown(README)}")


def write_readme(sections: list) -> None:
    """Replaces what stands between the marks of the README, and writes the pictures that it shows."""
    from study.reporting.blocks import Picture
    from utils.atomic_files import write_whole

    text = README.read_text(encoding="utf-8")
    body = "\n\n".join(section.as_markdown(PICTURES.as_posix()) for section in sections)
    marked, count = re.subn(
        r"(<!-- study -->\n).*?(<!-- end study -->)",
        lambda found: f"{found[1]}{body}\n{found[2]}",
        text,
        flags=re.DOTALL,
    )
    if count != 1:
        raise UserError("README.md has no marks <!-- study --> and <!-- end study --> to write between")
    for section in sections:
        for block in section.brief:
            if isinstance(block, Picture) and not block.lies_at:
                write_whole(PROJECT_FOLDER / PICTURES / block.file_name, block.png)
    write_whole(README, marked.encode())


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
