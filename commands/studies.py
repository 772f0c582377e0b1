"""Commands that study many runs. Each parses its options and calls one library function."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from commands.options import Dataset, Device, Seeds, SeveralRuns, chosen_run, chosen_runs, chosen_seeds
from utils.files import output_folder


@dataclass(frozen=True)
class TourOptions:
    """Run an executable lesson: data, model, training, evaluation, mistakes.

    Runs notebooks/tour.ipynb from top to bottom, prints its text and results, and writes it with all pictures as an
    HTML page. Open the notebook in Jupyter to change and rerun it.

    Examples:
      mnist tour
      mnist tour --dataset digits --max-epochs 20
    """

    dataset: Dataset = "mnist"
    max_epochs: int = 200
    """Maximum number of epochs; training stops earlier when the training accuracy no longer rises."""
    device: Device = "auto"
    output: Path = field(default_factory=lambda: output_folder("notebooks"))
    """Folder for tour.html."""


def tour(options: TourOptions) -> str:
    from study.tour import take_tour

    take_tour(options.dataset, options.max_epochs, options.output, options.device)
    return f"train fast_conv --dataset {shlex.quote(options.dataset)}"


@dataclass(frozen=True)
class AblationOptions:
    """Measure what each design choice of a CNN contributes.

    Trains a baseline and variants that differ from it in one property each, every one with several seeds, and
    evaluates them on MNIST's test set, on shifted and corrupted digits, on USPS and for out-of-distribution detection.
    The table has each variant's difference from the baseline with its 95 % confidence interval over the seeds. All
    variants take about twenty minutes on two cores; an interrupted study continues when the command is repeated.
    Results go to study/output/ablation/, one folder per study; the report shows the study with the most runs.

    Examples:
      mnist ablation
      mnist ablation --properties depth pooling --seeds 10:20
    """

    properties: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PROPERTY ...")] = ()
    """Properties to study: depth, width, kernel, pooling, 'batch norm', dropout, 'fully connected', augmentation,
    'training digits'; by default all."""
    seeds: Seeds = "10:15"
    """Seeds of every network: 10:15 for 10 to 14, or 1,5,7. Fewer than 5 are too few for significance."""
    num_epochs: int = 4
    """Epochs of training; variants with a small training set have their own number."""
    device: Device = "auto"


def ablation(options: AblationOptions) -> str:
    from study.ablation import PROPERTIES, run_ablation

    run_ablation(options.properties or PROPERTIES, chosen_seeds(options.seeds), options.num_epochs, options.device)
    return "report"


@dataclass(frozen=True)
class LabelErrorsOptions:
    """Find the hardest MNIST test digits and the known label errors among them.

    Counts for every test digit the fraction of networks that are wrong, every recipe with equal weight, and shows
    whether human raters rejected its label; only about 100 labels were ever rated. Only recipes with a validation
    accuracy of 99 % or more count. Writes a page and label_errors.json, which name the runs, to
    study/output/label_errors/.

    Examples:
      mnist label-errors
      mnist label-errors RUN1 RUN2
    """

    runs: Annotated[
        SeveralRuns,
        tyro.conf.arg(help="Runs by folder or name; by default all finished runs that were trained on MNIST."),
    ] = ()


def label_errors(options: LabelErrorsOptions) -> str:
    runs = [chosen_run(name) for name in dict.fromkeys(options.runs)]

    from study.label_errors import study_label_errors

    study_label_errors(runs)
    return "report"


@dataclass(frozen=True)
class ReportOptions:
    """Write the report: is MNIST solved?

    The report begins with the answer: the accuracy on the test set, and the number of conditions in which the accuracy
    is below a threshold, for every threshold. Its sections are the data, model fitting, generalisation, the ablation
    study and label errors. It uses all MNIST recipes whose runs have measured metrics and the results of `mnist
    inspect`, `mnist ablation` and `mnist label-errors`; each section names the commands that repeat its measurements.
    Writes report.html, report.md with its pictures/, and report.json with the results seed by seed, from which --from
    computes the same report without the runs.

    Examples:
      mnist report
      mnist report --output docs
      mnist report --from report.json
    """

    source: Annotated[Path | None, tyro.conf.arg(name="from", metavar="FILE")] = None
    """report.json of another report; by default the runs and studies of this home."""
    output: Path = field(default_factory=lambda: output_folder("study") / "report")
    """Folder of the report."""


def report(options: ReportOptions) -> str:
    from study.report.report import write_report

    write_report(options.output, options.source)
    return "draw"


@dataclass(frozen=True)
class SiteOptions:
    """Write a site of static files on which networks run in the visitor's browser.

    The site has an article with a digit under the visitor's sliders, a drawing page with two networks side by side, and
    the report. The article's numbers come from a report.json; without one the site has the drawing page alone. The
    files work from any file server, under any path. No page asks another host for anything.

    The first site downloads ONNX Runtime Web (26 MB) from the npm registry into data/onnxruntime_web/.

    Examples:
      mnist site
      mnist site RUN1 RUN2 --output public
      mnist site --report docs/report.json
    """

    runs: Annotated[
        SeveralRuns,
        tyro.conf.arg(
            help="Runs by folder or name; by default the newest finished run of fast_conv, else the newest one."
        ),
    ] = ()
    output: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("site")
    """Folder of the site."""
    report: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """report.json of 'mnist report'; by default study/output/report/report.json, else docs/report.json."""


def site(options: SiteOptions) -> str:
    from study.site.site import default_runs, write_site

    write_site(chosen_runs(options.runs) if options.runs else default_runs(), options.output, options.report)
    return "draw"
