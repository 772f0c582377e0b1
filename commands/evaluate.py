"""Commands that evaluate and compare trained networks. Each parses its options and calls one library function."""

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from commands.options import Device, OtherDataset, SeveralRuns, Split, SplitName, chosen_runs, named
from utils.errors import UserError
from utils.files import output_folder, runs_folder, shown
from utils.run import Run


@dataclass(frozen=True)
class EvaluateOptions:
    """Print the accuracy and loss of a run, of an ensemble of runs, or of an ONNX file.

    Loads the final weights and evaluates them in fp32 on a split of the run's data set. Several runs are evaluated as
    an ensemble: the mean of their probabilities is the prediction. An ONNX file is computed by ONNX Runtime on the
    test digits of its data set.

    Examples:
      mnist evaluate                          the newest finished run
      mnist evaluate RUN --dataset usps
      mnist evaluate RUN1 RUN2 RUN3
      mnist evaluate RUN --test-time-shifts 1
      mnist evaluate RUN --repair
      mnist evaluate RUN.onnx
    """

    runs: SeveralRuns = ()
    split: Split = "test"
    dataset: OtherDataset = None
    test_time_shifts: Annotated[int, tyro.conf.arg(metavar="PIXELS")] = 0
    """Average the probabilities over all shifts of an image by up to so many pixels: 1 takes 9 times as long, 2 takes
    25 times."""
    repair: bool = False
    """Write the predictions and the summary of runs anew, after one of these files or best.pt got damaged. Weights of
    best.pt are restored if last.pt has them."""
    device: Device = "auto"


def evaluate(options: EvaluateOptions) -> str:
    if options.repair:
        return _repair(options)
    if any(map(_is_onnx_file, options.runs)):
        return _evaluate_onnx_file(options)
    runs = chosen_runs(options.runs)

    from model_interpretation.predict import evaluate_runs

    evaluate_runs(runs, options.split, options.dataset, options.device, options.test_time_shifts)
    return f"{'interpret' if len(runs) == 1 else 'compare'} {named(*runs)}"


def _is_onnx_file(name: str) -> bool:
    return name.endswith(".onnx") and not (Path(name).is_dir() or (runs_folder() / name).is_dir())


def _evaluate_onnx_file(options: EvaluateOptions) -> str:
    expected = EvaluateOptions(options.runs, dataset=options.dataset)
    if len(options.runs) > 1 or replace(options, device="auto") != expected or options.device not in ("auto", "cpu"):
        raise UserError(
            "an ONNX file is evaluated alone, on test digits and on the CPU: leave --dataset at most, as in\n"
            "mnist evaluate model.onnx --dataset usps"
        )
    path = Path(options.runs[0])

    from models.export import evaluate_onnx

    evaluate_onnx(path, options.dataset)
    return "runs" if options.dataset else f"evaluate {shlex.quote(shown(path))} --dataset usps"


def _repair(options: EvaluateOptions) -> str:
    if options != EvaluateOptions(options.runs, repair=True, device=options.device) or not options.runs:
        raise UserError("--repair takes the names of runs and --device only: mnist evaluate RUN --repair")
    runs = [Run.find(name) for name in options.runs]

    from trainers.generic_trainers.logging import report_run
    from trainers.train import repair

    for run in runs:
        execution = run.execution if options.device == "auto" else replace(run.execution, device=options.device)
        report_run(repair(run, execution))
    return f"interpret {named(*runs)}"


@dataclass(frozen=True)
class InterpretOptions:
    """Measure how well trained networks classify, and show their mistakes.

    Writes metrics overall and per class, confusion matrices, the most confident mistakes, the least confident correct
    predictions, calibration and the training history: as metrics.json, report.html and pictures, and as figures in
    TensorBoard.

    Examples:
      mnist interpret                         the newest finished run
      mnist interpret RUN1 RUN2 --split test
      mnist interpret all
    """

    runs: Annotated[SeveralRuns, tyro.conf.arg(help="Runs by folder or name, or `all` for every finished run; "
                                               "by default the newest finished run.")] = ()  # fmt: skip
    split: tuple[SplitName, ...] = ("train", "test")
    """Splits: the digits trained on, the digits held out for validation, the test set."""
    device: Device = "auto"
    output: Path = field(default_factory=lambda: output_folder("model_interpretation"))
    """Folder in which every run gets a folder of its name."""


def interpret(options: InterpretOptions) -> str:
    runs = Run.finished() if options.runs == ("all",) else chosen_runs(options.runs)

    from model_interpretation.basic_interpret import interpret as interpret_runs

    interpret_runs(runs, options.output, options.split, options.device)
    return f"explain {named(runs[-1])}"


@dataclass(frozen=True)
class ScorecardOptions:
    """Measure what models can do beyond the test set.

    Metrics of calibration, selective prediction, other data sets, spatial, corruption and adversarial robustness, and
    out-of-distribution detection, each with its 95 % confidence interval and the number of images. Prints a table and
    writes a page into study/output/scorecards/. A full scorecard takes minutes per run, most of them for the robust
    accuracy under a strong attack. Results are cached by the weights, so a second call only reads them.

    Examples:
      mnist scorecard                                        the newest finished run
      mnist scorecard RUN1 RUN2 --no-strong-attack           without the slowest part
      mnist scorecard RUN --metrics rotation_40 corruptions_mean
      mnist scorecard --list                                 all metrics with their ids
    """

    runs: SeveralRuns = ()
    metrics: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="ID ...")] = None
    """Ids of the metrics to measure; by default the full scorecard."""
    no_strong_attack: bool = False
    """Leave out the robust accuracy under APGD and what is computed from it."""
    device: Device = "auto"
    list_metrics: Annotated[bool, tyro.conf.arg(name="list")] = False
    """List all metrics with their ids, and measure nothing."""


def scorecard(options: ScorecardOptions) -> str:
    runs = [] if options.list_metrics else chosen_runs(options.runs)

    from study.scorecard import FULL, WITHOUT_STRONG_ATTACK, print_scorecards
    from study.scorecard.scorecards import metrics_table

    if options.list_metrics:
        print(metrics_table())
        return f"scorecard --metrics {FULL[0]}"
    if options.metrics == ():
        raise UserError(f"--metrics without an id: expected some of\n{', '.join(FULL)}")
    if options.metrics and options.no_strong_attack:
        raise UserError("--metrics and --no-strong-attack: expected one of them")
    metrics = options.metrics or (WITHOUT_STRONG_ATTACK if options.no_strong_attack else FULL)
    print_scorecards(runs, metrics, options.device)
    return f"scorecard {named(*runs)}" if options.metrics else "report"


@dataclass(frozen=True)
class CompareOptions:
    """Compare runs: accuracy over seeds, learning curves and significance.

    Runs that differ only in seed form one group, with means and, from five seeds on, 95 % confidence intervals that
    hold for other seeds and other writers. Two groups, or two runs, are also compared on the same test images. Prints a
    table and writes a page, CSV and LaTeX.

    Examples:
      mnist compare
      mnist compare runs/ONE runs/OTHER
    """

    runs: Annotated[SeveralRuns, tyro.conf.arg(help="Runs by folder or name; by default all runs in runs/.")] = ()
    output: Path = field(default_factory=lambda: output_folder("study") / "comparison")
    """Folder for the page, the CSV and the LaTeX table."""


def compare(options: CompareOptions) -> str:
    from study.comparison.compare import compare as compare_runs

    runs = [Run.find(name) for name in options.runs]
    compare_runs(runs or Run.all(), options.output, named=bool(runs))
    return f"scorecard {named(*runs)}".rstrip()


@dataclass(frozen=True)
class RunsOptions:
    """List all runs with their results, the oldest first.

    Unfinished and damaged runs are listed too, with the reason.

    Examples:
      mnist runs
      mnist runs | grep unfinished
    """


def runs(_options: RunsOptions) -> str:
    from study.comparison.groups import list_runs

    list_runs()
    return "compare" if Run.all() else "quickstart"


@dataclass(frozen=True)
class TensorboardOptions:
    """Compare runs in TensorBoard: settings that differ, curves, and means over seeds.

    Runs have readable names made of what differs, such as 'fast_conv lr=0.01 s0'. Runs that differ only in seed are one
    row of the page HParams, and a run named '(mean)' has their mean curves with 95 % intervals, which the page Custom
    Scalars draws as bands. Runs that are being trained appear and grow. Ctrl-C stops the server.

    Examples:
      mnist tensorboard
      mnist tensorboard --model fast_conv --since 2h
      mnist tensorboard RUN1 RUN2 RUN3 --port 0
    """

    runs: Annotated[SeveralRuns, tyro.conf.arg(help="Runs by folder or name; by default all runs in runs/.")] = ()
    model: str | None = None
    """Only runs of this model."""
    dataset: str | None = None
    """Only runs of this data set."""
    since: Annotated[str | None, tyro.conf.arg(metavar="TIME")] = None
    """Only runs that began later: a date such as 2026-11-20, or so long ago: 30m, 2h, 3d, 1w."""
    last: int | None = None
    """Only the last N of these runs."""
    port: int = 6006
    """Port on this machine; 0 takes a free one."""


def tensorboard(options: TensorboardOptions) -> str:
    if options.last is not None and options.last < 1:
        raise UserError(f"--last {options.last}: expected 1 or more")

    from study.tensorboard.server import filtered_runs, parse_since, serve_tensorboard

    since = parse_since(options.since) if options.since else None
    serve_tensorboard(
        lambda: filtered_runs(options.runs, options.model, options.dataset, since, options.last), options.port
    )
    return "compare"
