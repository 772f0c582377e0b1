"""`mnist sweep`: many recipes as one, on this machine or on Ray; started again it does what is missing."""

import dataclasses
import math
import sys
import time
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import tyro

from study.sweeps.plan import SETTINGS, Plan, Search, base_recipe, read_plan
from trainers.recipe import TrainConfig
from trainers.run_recipe import parse_seeds
from utils.atomic_files import make_folder
from utils.command_line import parse_command_line
from utils.errors import UserError

# Settings as flags; `engine` there says what computes a recipe, here what trains the sweep.
FLAGS = [setting.name for setting in dataclasses.fields(TrainConfig) if setting.name in SETTINGS - {"engine"}]
OUTPUT = Path(__file__).resolve().parent.parent / "output" / "sweeps"


@dataclass(frozen=True)
class SweepOptions:
    file: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[FILE.toml]")] = None
    """The sweep's file; or leave it out and say by flags what it consists of."""
    model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Networks: registered names or model strings."""
    trainer: str | None = None
    """What all points share: the recipe of a trainer, such as fc; by default that of 'mnist train --model'."""
    seeds: Annotated[str, tyro.conf.arg(metavar="FIRST:END")] = "0"
    """Seeds of every point: 0:5 for 0 to 4, or 1,5,7."""
    search: Search = "grid"
    """grid: all combinations; random: points by chance; tpe: points where earlier ones were good (Optuna)."""
    num_points: int = 20
    """How many points random and tpe try."""
    pruning: bool = False
    """random, tpe: stop runs whose validation accuracy falls below the median of the finished ones."""
    engine: Literal["local", "ray"] = "local"
    """local: this process. ray: tasks of Ray, on this machine or, with --address, on a cluster."""
    address: str | None = None
    """ray: the cluster, as HOST:PORT or ray://HOST:PORT, or auto for the one that runs on this machine."""
    cpus_per_run: float | None = None
    """ray: CPUs that a run takes; by default one per thread, so one for a small fully connected network."""
    gpus_per_run: float = 0
    """ray: GPUs that a run takes; 0.1 puts ten on each."""
    max_hours: float = math.inf
    """Begins no further run after so long."""
    output: Path = OUTPUT
    """Folder in which the sweep gets a folder of its name, for the comparison of its runs."""


def _options_with_settings() -> Any:
    """SweepOptions with a flag for every setting of a recipe, which takes several values."""
    note = tyro.conf.arg(help="As of 'mnist train'; several values make a grid.")
    hints: dict[str, Any] = get_type_hints(TrainConfig)
    flags = [(name, Annotated[tuple.__class_getitem__((hints[name], ...)), note], field(default=())) for name in FLAGS]
    return make_dataclass("SweepCommand", flags, bases=(SweepOptions,), frozen=True)


def main(argv: list[str]) -> None:
    """Trains many recipes: all combinations of models and settings, or points of a search, each with every seed. Every
    point is a run in runs/, named by what its recipe holds: started again, a sweep does only what is missing."""
    options = parse_command_line(_options_with_settings(), argv, "mnist sweep", main.__doc__)
    plan = _plan(options)
    if options.engine == "local" and (options.address or options.cpus_per_run is not None or options.gpus_per_run):
        raise UserError("--address, --cpus-per-run and --gpus-per-run belong to --engine ray")
    if options.engine == "ray" and ("start" in plan.settings or plan.base.train.start):
        raise UserError("--start names a run in runs/, which other machines do not have: use --engine local")
    if not options.max_hours > 0:
        raise UserError(f"--max-hours {options.max_hours}: expected above 0")

    from models.registry import build_model  # torch and matplotlib too: only once the command line is right
    from study.comparison.compare_runs import compare
    from study.sweeps.running import SweepRun
    from utils.datasets import check_name

    for model in plan.models:
        build_model(model)  # an unknown one is refused before anything is begun
    for dataset in plan.datasets:
        check_name(dataset)
    engine = _engine(options)
    try:
        make_folder(options.output / plan.name)
        sweep = SweepRun(plan, engine, time.monotonic() + 3600 * options.max_hours)
        try:
            sweep.go()
        finally:
            sweep.record(options.output / plan.name / "sweep.json")
    finally:
        engine.close()
    print(
        f"{len(sweep.finished):,} runs finished, {len(sweep.failures)} failed, {len(sweep.pruned)} pruned, "
        f"{sweep.num_left:,} left; {sweep.seconds:.1f} s, of them in runs {sweep.seconds_in_runs:.1f} s"
    )
    if sweep.finished:
        try:
            compare(sweep.finished, options.output / plan.name)
        except UserError as error:  # the runs are there, and what failed is still to be told
            print(f"not compared: {error}", file=sys.stderr)
    if sweep.failures:
        name, reason = next(iter(sweep.failures.items()))
        raise UserError(f"{len(sweep.failures)} runs failed, as sweep.json says. {name}: {reason}")


def _plan(options: Any) -> Plan:
    if options.file is not None:
        defaults = _options_with_settings()()
        ours = {"file", "engine", "address", "cpus_per_run", "gpus_per_run", "max_hours", "output"}
        given = [name for name, value in vars(options).items() if name not in ours and value != getattr(defaults, name)]
        if given:
            raise UserError(f"--{given[0].replace('_', '-')}: the file says what the sweep consists of")
        return read_plan(options.file)
    base = base_recipe(options.trainer)
    return Plan(
        name="sweep",
        base=base,
        models=options.model or (base.model,),
        settings={name: values for name in FLAGS if (values := getattr(options, name))},
        seeds=tuple(parse_seeds(options.seeds)),
        search=options.search,
        num_points=options.num_points,
        pruning=options.pruning,
    )


def _engine(options: Any) -> Any:
    from study.sweeps.engines import LocalEngine

    if options.engine == "local":
        return LocalEngine()
    from study.sweeps.ray_engine import RayEngine, Resources

    return RayEngine(options.address, Resources(options.cpus_per_run, options.gpus_per_run))
