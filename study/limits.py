"""`mnist limits`: the test digits that no network gets, and the ceiling that follows."""

import shlex
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from utils.command_line import parse_command_line
from utils.errors import UserError, exit_on_user_error
from utils.run_folder import RunFolder


@dataclass(frozen=True)
class LimitsCommand:
    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """Runs by folder or name; by default all finished ones that learned from MNIST."""


def main(argv: list[str]) -> None:
    """Counts for each of MNIST's test digits the share of networks that are wrong, each recipe with equal weight, lays
    beside it whether human raters contest the label, and says how far a network could get. Writes a page with the
    hardest digits, and limits.json, into study/output/limits/."""
    options = parse_command_line(LimitsCommand, argv, "mnist limits", main.__doc__)
    named = [RunFolder.find(name) for name in dict.fromkeys(options.runs)]

    from study.comparison.run_records import read_record
    from study.generalisation.scorecards import finished_mnist_runs
    from study.hardest_digits import find_limits
    from study.limits_page import limits_folder, write_limits

    records = [read_record(run) for run in named] or finished_mnist_runs()
    if not records:
        raise UserError("there is no finished run yet: 'mnist train conv' makes one")
    folder = limits_folder() / "of_named_runs" if named else limits_folder()  # the report is of all
    write_limits(find_limits(records, bool(named)), shlex.join(["mnist", "limits", *argv]), folder)


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
