"""`mnist runs`: every run in runs/, with its figures or what is wrong with it."""

from dataclasses import dataclass

from utils.command_line import parse_command_line
from utils.errors import UserError
from utils.run_folder import RunFolder


@dataclass(frozen=True)
class RunsCommand:
    pass


def main(argv: list[str]) -> None:
    """Lists all runs, the oldest first, also those that are unfinished or damaged."""
    parse_command_line(RunsCommand, argv, "mnist runs", main.__doc__)
    from study.comparison.comparison_table import RUNS_HEADER, plain_table, run_cells
    from study.comparison.run_records import read_record

    runs = RunFolder.all()
    if not runs:
        raise UserError("there is no run yet: 'mnist train conv' makes one")
    print(plain_table(RUNS_HEADER, run_cells([read_record(run) for run in runs])))
