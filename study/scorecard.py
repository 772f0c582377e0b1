"""`mnist scorecard RUN...`: what a network can do beyond the test set, each figure with its interval."""

import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from utils.command_line import parse_command_line
from utils.errors import exit_on_user_error
from utils.run_folder import RunFolder


@dataclass(frozen=True)
class ScorecardCommand:
    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """Runs by folder or name; by default the newest."""
    device: str = "auto"
    """auto (the GPU where there is one), cpu, cuda, cuda:1 or mps."""


def main(argv: list[str]) -> None:
    """Judges networks beyond the test set: digits that are moved, scaled, turned, corrupted, by other hands, no digits
    at all, or changed by an adversary; calibration, abstaining, writers. Every figure has its 95 % interval and the
    number of images behind it. Takes a minute or more a network; what was measured is kept by the network's
    weights, and a second call reads it. Prints a table and writes a page into study/output/scorecards/."""
    options = parse_command_line(ScorecardCommand, argv, "mnist scorecard", main.__doc__)
    runs = [RunFolder.find(name) for name in dict.fromkeys(options.runs)]

    from study.generalisation.scorecard_page import scorecard_table, write_scorecard_page
    from study.generalisation.scorecards import FULL, scorecard

    for run in runs or [RunFolder.find_or_newest(None)]:
        card = scorecard(run, FULL, options.device)
        page = write_scorecard_page(card)
        print(f"{card.run_name}, measured in {card.seconds:.0f} s\n{scorecard_table(card)}\npage: {page}\n")


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
