"""Commands that train networks or import their weights. Each parses its options and calls one library function."""

import math
import shlex
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from commands.options import Dataset, Device, OneRun, RunName, Seeds, chosen_run, chosen_seeds, named
from utils.cli import field_helps, parse_command_line
from utils.errors import UserError
from utils.files import shown
from utils.recipe import FIELDS, Execution, Recipe
from utils.run import Run


@dataclass(frozen=True)
class QuickstartOptions:
    """Train and evaluate a network in about a minute.

    Trains standard_conv for two epochs on MNIST, or on the digits bundled with scikit-learn if MNIST cannot be loaded.

    Examples:
      mnist quickstart
      mnist quickstart --seed 1
    """

    seed: int = 0
    """Seed of the initial weights and the order of the images."""
    device: Device = "auto"


def quickstart(options: QuickstartOptions) -> str:
    from trainers.quickstart import quickstart as train_quickly

    return f"interpret {named(train_quickly(options.seed, options.device))}"


@dataclass(frozen=True)
class TrainOptions:
    """Train a network and evaluate it on the test set.

    Every run is a folder in runs/ with its recipe, metrics, checkpoints and predictions. --resume continues a stopped
    run; on the CPU the result is bit-equal to that of an uninterrupted run. A resumed run keeps its recipe, so only
    flags about its execution, such as --device, may be given.

    Examples:
      mnist train fast_conv                           a recipe of trainers/specific_trainers/
      mnist train --model "C(16,3)-P2-FC128-FC10"     any model with the defaults below
      mnist train fc --seeds 0:8 --device cpu
      mnist train --resume runs/NAME
    """

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RECIPE]")] = None
    """Recipe, such as fc, conv or fast_conv; an unknown name lists all. The flags change it."""
    recipe: Recipe = field(default_factory=Recipe)
    execution: Execution = field(default_factory=Execution)
    run_name: RunName = None
    """Name of the run's folder in runs/; by default model, time and seed."""
    resume: Annotated[str | None, tyro.conf.arg(metavar="RUN")] = None
    """Run to continue, by folder or name. It keeps its recipe, and its execution unless flags change it."""
    seeds: Annotated[str | None, tyro.conf.arg(metavar="FIRST:END")] = None
    """Several seeds, one run each, instead of --seed: 0:32 for 0 to 31, or 1,5,7. Networks are trained together where
    that is faster. NAME of --run-name is then the beginning of the runs' names."""


def train_defaults(argv: list[str], default: TrainOptions | None = None) -> tuple[TrainOptions, str | None]:
    """The options before the flags, and the description of --help: of the named recipe, or of the run to resume."""
    default = default or TrainOptions()
    words = [word for word in argv if word not in ("-h", "--help")]
    given = parse_command_line(type(default), words, "mnist train", None, default)
    if given.resume is not None:
        run = Run.find(given.resume)
        return replace(default, recipe=run.recipe, execution=run.execution), type(default).__doc__
    if type(default) is TrainOptions and given.name is not None:
        from trainers.recipes import get_recipe, recipe_help

        return replace(default, recipe=get_recipe(given.name)), recipe_help(given.name)
    return default, type(default).__doc__


def train(options: TrainOptions) -> str:
    runs = _train_runs(options)
    return f"interpret {named(*runs)}" if len(runs) == 1 else "compare"


def _train_runs(options: TrainOptions) -> list[Run]:
    """The finished runs, for `train` and `scratch train`."""
    if options.resume is not None:
        return [_resume_run(options, options.resume)]

    from trainers import train as train_recipe
    from trainers import train_seeds
    from trainers.generic_trainers.logging import report_run, report_seeds
    from trainers.recipes import get_recipe

    if options.name is not None and options.recipe.model != get_recipe(options.name).model:
        print(f"recipe {options.name}, model {options.recipe.model}")
    if options.seeds is None:
        run = train_recipe(options.recipe, run_name=options.run_name, execution=options.execution)
        report_run(run)
        return [run]
    if options.recipe.seed:
        raise UserError("--seeds replaces --seed: leave one of them out")
    seeds = chosen_seeds(options.seeds)
    runs, failures = train_seeds(options.recipe, seeds, run_name=options.run_name, execution=options.execution)
    report_seeds(runs)
    for seed, failure in failures.items():
        raise UserError(f"{len(failures)} of {len(seeds)} trainings failed. Seed {seed}: {failure}")
    return runs


def _resume_run(options: TrainOptions, name: str) -> Run:
    run = Run.find(name)
    new = {"RECIPE": options.name, "--run-name": options.run_name, "--seeds": options.seeds}
    refused = [word for word, value in new.items() if value is not None] or run.recipe.differences(options.recipe)
    if refused:
        raise UserError(
            f"{shown(run.path)} is a run of {run.recipe.model} and keeps its recipe and name: {'; '.join(refused)}.\n"
            f"Leave these options out (mnist train --resume {named(run)}), or start a new run."
        )

    from trainers import resume
    from trainers.generic_trainers.logging import report_run

    finished = resume(run, None if options.execution == run.execution else options.execution)
    report_run(finished)
    return finished


@dataclass(frozen=True)
class RetrainOptions:
    """Train the recipe of a run again with the next seed.

    Without a run in runs/, trains the recipe of 'mnist train two_conv'.

    Examples:
      mnist retrain
      mnist retrain RUN --save
    """

    run: OneRun = None
    save: Annotated[bool, tyro.conf.arg(aliases=["-s"])] = False
    """Save the network as a run, which 'mnist predict' then uses; without --save only the result is printed."""
    device: Device = "auto"


def retrain(options: RetrainOptions) -> str:
    run = chosen_run(options.run) if options.run or any(not run.problem for run in Run.all()) else None

    from trainers.quickstart import retrain as train_again

    new_run = train_again(run, options.save, options.device)
    if new_run is None:
        return f"retrain {named(run) if run else ''} --save".replace("  ", " ")
    return f"compare {named(*filter(None, (run, new_run)))}" if run else f"interpret {named(new_run)}"


@dataclass(frozen=True)
class _SweepOptions:
    """Train many recipes: all combinations of models and recipe fields, or the points of a search.

    Every point is trained with every seed, as a run in runs/. A run's name is a hash of its recipe, so repeating a
    sweep trains only what is missing. Recipe fields take several values; execution options apply to all runs and do
    not change their names. Ends with a comparison of all runs.

    Examples:
      mnist sweep --model standard_fc two_conv --learning-rate 1e-3 1e-2 --seeds 0:3
      mnist sweep wide.toml
      mnist sweep wide.toml --executor ray --address auto --gpus-per-run 0.1
    """

    file: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[FILE.toml]")] = None
    """TOML file that describes the sweep (docs/cluster.md); without one, flags do."""
    model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Models: registered names, model strings, or your own as my_package.my_module:Net."""
    recipe: str | None = None
    """Recipe that all points share, such as fc; by default the defaults of 'mnist train --model'."""
    seeds: Seeds = "0"
    """Seeds of every point: 0:5 for 0 to 4, or 1,5,7."""
    search: Literal["grid", "random", "tpe"] = "grid"
    """grid: all combinations; random: random points; tpe: points near good earlier ones (Optuna)."""
    num_points: int = 20
    """Number of points of a random or tpe search."""
    pruning: bool = False
    """random, tpe: stop runs whose validation accuracy is below the median of the finished runs."""
    executor: Literal["local", "ray"] = "local"
    """local: this process. ray: tasks of Ray, on this machine or, with --address, on a cluster."""
    address: str | None = None
    """ray: address of the cluster, HOST:PORT or ray://HOST:PORT; auto for the one that runs on this machine."""
    cpus_per_run: float | None = None
    """ray: CPUs that a run takes; by default one per thread."""
    gpus_per_run: float = 0
    """ray: GPUs that a run takes; 0.1 puts ten runs on each GPU."""
    max_hours: float = math.inf
    """No run is started after this time."""
    output: Path | None = None
    """Folder for the comparison of the runs, in a folder named like the sweep; by default study/output/sweeps."""
    execution: Execution = field(default_factory=Execution)


# A flag for every recipe field but model and seed; each takes several values.
_SWEPT_FLAGS = [
    (name, Annotated[tuple.__class_getitem__((FIELDS[name], ...)), tyro.conf.arg(help=text)], field(default=()))
    for name, text in field_helps(Recipe).items()  # each field has a help
    if name not in ("model", "seed")
]
SweepOptions: Any = make_dataclass(
    "SweepOptions", _SWEPT_FLAGS, bases=(_SweepOptions,), frozen=True, namespace={"__doc__": _SweepOptions.__doc__}
)


def sweep(options: Any) -> str:
    from study.sweeps.plan import SWEPT_FIELDS, Plan, read_plan
    from study.sweeps.sweep import run_sweep
    from trainers.recipes import get_recipe

    fields = {name: getattr(options, name) for name in SWEPT_FIELDS if getattr(options, name)}
    if options.file is not None:
        plan_flags = ("model", "recipe", "seeds", "search", "num_points", "pruning")
        given = [name for name in plan_flags if getattr(options, name) != getattr(_SweepOptions, name)] + list(fields)
        if given:
            raise UserError(f"--{given[0].replace('_', '-')}: the file already describes the sweep; change it there")
        plan = read_plan(options.file)
    else:
        base = get_recipe(options.recipe) if options.recipe else Recipe()
        models, seeds = options.model or (base.model,), tuple(chosen_seeds(options.seeds))
        plan = Plan("sweep", base, models, fields, seeds, options.search, options.num_points, options.pruning)
    ray = {name: getattr(options, name) for name in ("address", "cpus_per_run", "gpus_per_run")}
    runs = run_sweep(
        plan, options.execution, options.executor, max_hours=options.max_hours, output=options.output, **ray
    )
    return f"interpret {named(max(runs, key=lambda run: run.summary.val_accuracy))}" if runs else "runs"


@dataclass(frozen=True)
class ScratchTrainOptions(TrainOptions):
    """Train a network without a deep-learning library, by the NumPy layers of models/numpy_models.

    The same as 'mnist train --model MODEL --backend numpy' with a report of precision and loss at the end. The run is
    like any other: mnist evaluate, interpret and compare work on it.

    Examples:
      mnist scratch train "C(8,5)-P2-C(16,3)-P2-FC128-FC10" --learning-rate 0.001 --num-epochs 5
      mnist scratch train FC32-FC10 --dataset digits
    """

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]")] = None
    """Model string, such as C(8,5)-P2-FC10."""


def scratch_train_defaults(argv: list[str]) -> tuple[TrainOptions, str | None]:
    from trainers.numpy_runs import SCRATCH_RECIPE

    return train_defaults(argv, ScratchTrainOptions(recipe=SCRATCH_RECIPE))


def scratch_train(options: ScratchTrainOptions) -> str:
    from trainers.numpy_runs import report_numpy_run

    if options.recipe.backend != "numpy" and options.resume is None:
        raise UserError("mnist scratch trains with the NumPy backend: leave --backend out, or use mnist train")
    recipe = options.recipe if options.name is None else replace(options.recipe, model=options.name)
    runs = _train_runs(replace(options, name=None, recipe=recipe))
    for run in runs:
        if run.recipe.backend == "numpy":
            report_numpy_run(run)
    return f"scratch evaluate {named(runs[-1])}"


@dataclass(frozen=True)
class ScratchEvaluateOptions:
    """Evaluate a run with the NumPy layers and count the errors of each class.

    The run may have been trained by either backend, but its model is a model string.

    Examples:
      mnist scratch evaluate                  the newest finished run
      mnist scratch evaluate RUN
    """

    run: OneRun = None


def scratch_evaluate(options: ScratchEvaluateOptions) -> str:
    run = chosen_run(options.run)

    from trainers.numpy_runs import evaluate_by_numpy

    evaluate_by_numpy(run)
    return f"weights export {named(run)}"


@dataclass(frozen=True)
class WeightsImportOptions:
    """Make a run of weights in the layout of the NumPy project CNN-MNIST.

    The weights are evaluated on the data set. Networks of that project take pixels in [0, 1] without standardisation,
    and so does the run.

    Examples:
      mnist weights import "weight_detailsC(8,5)-P2-C(16,3)-P2-FC128-FC10.npz"
      mnist weights import weight_detailsFC32-FC10.npz --run-name imported --dataset digits
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """weight_detailsMODEL.npz, such as weight_detailsC(8,5)-P2-FC10.npz: its name contains the model string."""
    run_name: RunName = None
    """Name of the run's folder in runs/; by default model and time."""
    dataset: Dataset = "mnist"


def weights_import(options: WeightsImportOptions) -> str:
    from trainers.generic_trainers.logging import report_run
    from trainers.numpy_runs import import_weights_file

    run = import_weights_file(options.file, options.run_name, options.dataset)
    report_run(run)
    return f"interpret {named(run)}"


@dataclass(frozen=True)
class WeightsExportOptions:
    """Write a run's weights in the layout of the NumPy project CNN-MNIST.

    float64; the standardisation of the pixels goes into the first weights.

    Examples:
      mnist weights export                    the newest finished run, into the working folder
      mnist weights export RUN --output folder
    """

    run: OneRun = None
    output: Path = Path()
    """Folder of the new file weight_detailsMODEL.npz; by default the working folder."""


def weights_export(options: WeightsExportOptions) -> str:
    run = chosen_run(options.run)

    from trainers.numpy_runs import export_weights_file

    file = shown(export_weights_file(run, options.output))
    print(f"weights of {run.name}: {file}")
    return f"weights import {shlex.quote(file)}"
