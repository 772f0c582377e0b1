"""`mnist architecture`: which property of a network buys what, on clean digits and beyond."""

import re
import shlex
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from study.architecture_variants import PROPERTIES, VARIANTS
from trainers.run_recipe import parse_seeds
from utils.command_line import parse_command_line
from utils.errors import UserError, exit_on_user_error


@dataclass(frozen=True)
class ArchitectureCommand:
    properties: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PROPERTY ...")] = PROPERTIES
    """Which properties to study; by default all."""
    seeds: Annotated[str, tyro.conf.arg(metavar="FIRST:END")] = "0:3"
    """Seeds of every network: 0:5 for 0 to 4, or 1,5,7. More of them make the intervals narrower."""
    num_epochs: int = 4
    """How often each digit is seen, but where a training set is so small that more is needed."""
    device: str = "auto"
    """auto (the GPU where there is one), cpu, cuda, cuda:1 or mps."""


def main(argv: list[str]) -> None:
    """Trains networks that differ from one baseline in one property each, every one with several seeds, and judges them
    on MNIST's test digits, on moved and corrupted ones, on digits by other hands and on what is none. Twenty minutes
    on two cores; stopped and started again, it goes on where it was. Its table has the difference of each network from
    the baseline with its 95 % interval over the seeds; it lies in study/output/architecture/, a folder a question, and
    the report shows the study with the most runs."""
    options = parse_command_line(ArchitectureCommand, argv, "mnist architecture", main.__doc__)
    seeds = parse_seeds(options.seeds)
    unknown = sorted(set(options.properties) - set(PROPERTIES))
    if unknown or not options.properties:
        named = f"unknown property '{unknown[0][:60]}'" if unknown else "no property"
        raise UserError(f"{named}: expected some of {', '.join(map(repr, PROPERTIES))}")
    if len(seeds) < 2:
        raise UserError(f"--seeds {options.seeds}: an effect needs two seeds at least, to be told from chance")

    from study.architecture_page import write_study
    from study.architecture_results import architecture_folder
    from study.architecture_training import train_and_judge

    chosen = tuple(variant for variant in VARIANTS if variant.property in ("baseline", *options.properties))
    command = shlex.join(["mnist", "architecture", *argv])
    results = train_and_judge(chosen, seeds, options.num_epochs, options.device, command)
    write_study(results, architecture_folder() / _name(options))


def _name(options: ArchitectureCommand) -> str:
    """Of the study's folder: what was asked."""
    properties = "all" if set(options.properties) == set(PROPERTIES) else "-".join(sorted(set(options.properties)))
    return re.sub(r"[^A-Za-z0-9_.,-]+", "_", f"{properties}-seeds-{options.seeds}-epochs-{options.num_epochs}")[:200]


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
