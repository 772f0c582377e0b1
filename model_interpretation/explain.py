"""All that can be seen of a run's network, on one page."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from model_interpretation.basic_interpret import OUTPUT
from utils.command_line import parse_command_line
from utils.errors import exit_on_user_error
from utils.run_folder import RunFolder


@dataclass(frozen=True)
class ExplainCommand:
    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """The run whose network is looked into; by default the newest that is finished."""
    id: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """The test digit that is followed through the network, from 0; by default its surest mistake."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A picture of a digit, photographed, scanned or drawn, in place of a test digit."""
    output: Path = OUTPUT
    """Folder in which the run gets a folder of its name."""


def main(argv: list[str]) -> None:
    """Looks into a run's network in every way there is: metrics and mistakes, what its channels look for, what each
    layer makes of a digit, which pixels decide, how it sees the digits as a whole. One page shows all the pictures."""
    options = parse_command_line(ExplainCommand, argv, "mnist explain", main.__doc__)
    run = RunFolder.find_or_newest(options.run)
    run.summary()  # an unfinished run is refused here

    from model_interpretation import (  # torch and matplotlib too: only once the command line is right
        attribution,
        basic_interpret,
        feature_visualization,
        layer_outputs,
        representation,
    )
    from model_interpretation.picture_page import OVERVIEW
    from utils.answers import load_answers
    from utils.paths import shown

    common = [str(run.path), "--output", str(options.output)]
    digit = [f"--id={options.id}"] * (options.id is not None) + [f"--image={options.image}"] * bool(options.image)
    if not digit:
        mistakes = load_answers(run.test_predictions).worst_mistakes(1)
        digit = [f"--id={mistakes[0] if len(mistakes) else 0}"]
    layer_outputs.main([*common, *digit])
    attribution.main([*common, *digit, "--means"])
    feature_visualization.main([*common, *digit])
    feature_visualization.main(common)
    representation.main(common)
    basic_interpret.main(common)
    print(f"all of it on one page: {shown(options.output / run.path.name / OVERVIEW)}")


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
