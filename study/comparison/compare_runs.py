"""`mnist compare`: runs grouped by recipe, in the terminal, as CSV, LaTeX and a page; two of them digit by digit."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from utils.command_line import parse_command_line
from utils.errors import UserError
from utils.run_folder import RunFolder

OUTPUT = Path(__file__).resolve().parent.parent / "output" / "comparison"


@dataclass(frozen=True)
class CompareCommand:
    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """Runs by folder or name; by default all in runs/."""
    output: Path = OUTPUT
    """Folder for comparison.html, comparison.csv and comparison.tex."""


def main(argv: list[str]) -> None:
    """Compares runs: those that differ only in seed are one group, with means and 95 % intervals over the seeds.
    Of two runs, or runs that make two groups, it also tells whether they differ on the same test digits."""
    options = parse_command_line(CompareCommand, argv, "mnist compare", main.__doc__)
    runs = list(dict.fromkeys(RunFolder.find(name) for name in options.runs)) or RunFolder.all()
    compare(runs, options.output, num_named=len(options.runs))


def compare(runs: Sequence[RunFolder], output: Path, num_named: int = 0) -> None:
    """Prints the comparison of these runs, and writes it as page, CSV and LaTeX into the folder.

    Raises UserError where none is finished, or where the user named two of them (`num_named`) that cannot be compared.
    """
    from tqdm import tqdm  # matplotlib's and scipy's weight: only once the command line is right

    from study.comparison.comparison_page import comparison_page
    from study.comparison.comparison_table import HEADER, csv_table, latex_table, plain_table, table_cells
    from study.comparison.groups import group_runs
    from study.comparison.pair import compare_pair
    from study.comparison.run_records import read_record
    from utils.atomic_files import write_whole
    from utils.paths import shown

    records = [read_record(run) for run in tqdm(runs, desc="runs", disable=None, leave=False)]
    for record in records:
        if not record.is_finished:
            print(f"left out: {record.name} ({record.problem})", file=sys.stderr)
    groups, repeated = group_runs(records)
    for record in repeated:
        print(f"left out: {record.name} (a later run has the same recipe and seed)", file=sys.stderr)
    if not groups:
        raise UserError("there is no finished run to compare yet: 'mnist train conv' makes one")
    lines, pictures = compare_pair(groups, were_named=num_named > 0)
    if num_named == 2 and not lines:
        raise UserError("two runs can be compared when both are finished and differ in recipe or seed; these do not")
    write_whole(output / "comparison.csv", csv_table(groups).encode())
    write_whole(output / "comparison.tex", latex_table(groups).encode())
    write_whole(output / "comparison.html", comparison_page(records, groups, lines, pictures).encode())
    print("\n".join([plain_table(HEADER, table_cells(groups)), *lines]))
    print(f"page, CSV and LaTeX: {shown(output)}/comparison.html, .csv, .tex")
