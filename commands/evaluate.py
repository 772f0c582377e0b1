"""Commands that evaluate and compare trained networks. Each parses its options and calls one library function."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from utils.cli import DATASET_HELP
from utils.errors import UserError
from utils.files import PROJECT_FOLDER
from utils.run import Run


@dataclass(frozen=True)
class EvaluateOptions:
    """Print the accuracy and loss of a run, or of an ensemble of runs.

    Loads the final weights and evaluates them in fp32 on a split of the run's data set. Several runs are evaluated as
    an ensemble: the mean of their probabilities is the prediction.

    Examples:
      mnist evaluate RUN
      mnist evaluate RUN --dataset usps
      mnist evaluate RUN1 RUN2 RUN3
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Runs by folder, such as runs/NAME, or by name."""
    split: Literal["test", "train", "validation"] = "test"
    """Split to evaluate: the test set, the digits trained on, or the digits held out for validation."""
    dataset: Annotated[str | None, tyro.conf.arg(help=f"{DATASET_HELP} By default the data set of the run.")] = None
    device: str = "auto"
    """auto (a GPU if available), cpu, cuda, cuda:1 or mps."""


def evaluate(options: EvaluateOptions) -> None:
    if not options.runs:
        raise UserError("no run was given: expected mnist evaluate RUN, such as runs/NAME")
    runs = [Run.find(name) for name in options.runs]

    from model_interpretation.predict import evaluate_runs

    evaluate_runs(runs, options.split, options.dataset, options.device)


@dataclass(frozen=True)
class InterpretOptions:
    """Measure how well trained networks classify, and show their mistakes.

    Writes metrics overall and per class, confusion matrices, the most confident mistakes, the least confident correct
    predictions, calibration and the training history: as metrics.json, report.html and PNG files, and as figures in
    TensorBoard.

    Examples:
      mnist interpret                         the newest finished run
      mnist interpret RUN1 RUN2 --split test
      mnist interpret all
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """Runs by folder or name, or `all` for every finished run; by default the newest finished run."""
    split: tuple[Literal["train", "test"], ...] = ("train", "test")
    """Splits to evaluate: the digits that the run was trained on, and the test set."""
    device: str = "auto"
    """auto (a GPU if available), cpu, cuda, cuda:1 or mps."""
    output: Path = PROJECT_FOLDER / "model_interpretation" / "output"
    """Folder in which every run gets a folder of its name."""


def interpret(options: InterpretOptions) -> None:
    names = dict.fromkeys(options.runs) or (None,)
    runs = Run.finished() if options.runs == ("all",) else [Run.find_or_newest(name) for name in names]

    from model_interpretation.basic_interpret import interpret as interpret_runs

    interpret_runs(runs, options.output, options.split, options.device)


@dataclass(frozen=True)
class ScorecardOptions:
    """Measure what models can do beyond the test set.

    Metrics of calibration, selective prediction, other data sets, spatial, corruption and adversarial robustness, and
    out-of-distribution detection, each with its 95 % confidence interval and the number of images. A full scorecard
    takes a minute or more per run, prints a table and writes a page into study/output/scorecards/. Results are cached
    by the weights, so a second call only reads them.

    Examples:
      mnist scorecard                                        the newest finished run
      mnist scorecard RUN1 RUN2 --device cpu
      mnist scorecard RUN --metrics rotation_40 corruptions_mean
      mnist scorecard --list                                 all metrics with their ids
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """Runs by folder or name; by default the newest finished run."""
    metrics: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ID ...")] = ()
    """Ids of the metrics to measure; by default the full scorecard."""
    device: str = "auto"
    """auto (a GPU if available), cpu, cuda, cuda:1 or mps."""
    list_metrics: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(name="list")] = False
    """List all metrics with their ids, and measure nothing."""


def scorecard(options: ScorecardOptions) -> None:
    from study.scorecard import FULL, print_scorecards
    from study.scorecard.scorecards import metrics_table

    if options.list_metrics:
        print(metrics_table())
        return
    names: list[str | None] = [*dict.fromkeys(options.runs)] or [None]
    print_scorecards([Run.find_or_newest(name) for name in names], options.metrics or FULL, options.device)


@dataclass(frozen=True)
class CompareOptions:
    """Compare runs: accuracy over seeds, learning curves and significance.

    Runs that differ only in seed form one group, with means and 95 % confidence intervals over the seeds. Two groups,
    or two runs, are also compared on the same test images: McNemar's exact test and a paired bootstrap. Prints a table
    and writes a page, CSV and LaTeX.

    Examples:
      mnist compare
      mnist compare runs/ONE runs/OTHER
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """Runs by folder or name; by default all runs in runs/."""
    output: Path = PROJECT_FOLDER / "study" / "output" / "comparison"
    """Folder for comparison.html, comparison.csv and comparison.tex."""


def compare(options: CompareOptions) -> None:
    from study.comparison.compare import compare as compare_runs

    runs = [Run.find(name) for name in options.runs]
    compare_runs(runs or Run.all(), options.output, named=bool(runs))


@dataclass(frozen=True)
class RunsOptions:
    """List all runs with their results, the oldest first.

    Unfinished and damaged runs are listed too, with the reason.

    Examples:
      mnist runs
    """


def runs(_options: RunsOptions) -> None:
    from study.comparison.groups import list_runs

    list_runs()
