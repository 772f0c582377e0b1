"""Commands that study many runs. Each parses its options and calls one library function."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from utils.cli import DATASET_HELP
from utils.files import PROJECT_FOLDER
from utils.run import Run


@dataclass(frozen=True)
class TourOptions:
    """A tour from the first digit to the first doubts: data, model, training, evaluation, mistakes.

    Runs notebooks/tour.ipynb from top to bottom, prints its text and results, and writes it with all pictures as an
    HTML page. Open the notebook in Jupyter to change and rerun it.

    Examples:
      mnist tour
      mnist tour --dataset digits --max-epochs 20
    """

    dataset: Annotated[str, tyro.conf.arg(help=DATASET_HELP)] = "mnist"
    max_epochs: int = 200
    """Maximum number of epochs; training stops earlier when the training accuracy no longer rises."""
    output: Path = PROJECT_FOLDER / "notebooks" / "output"
    """Folder for tour.html."""


def tour(options: TourOptions) -> None:
    from study.tour import take_tour

    take_tour(options.dataset, options.max_epochs, options.output)


@dataclass(frozen=True)
class AblationOptions:
    """Measures what each design choice of a CNN contributes.

    Trains a baseline and variants that differ from it in one property each, every one with several seeds, and
    evaluates them on MNIST's test set, on shifted and corrupted digits, on USPS and for out-of-distribution detection.
    The table has each variant's difference from the baseline with its 95 % confidence interval over the seeds. All
    variants take about twenty minutes on two cores; an interrupted study continues when the command is repeated.
    Results go to study/output/ablation/, one folder per study; the report shows the study with the most runs.

    Examples:
      mnist ablation
      mnist ablation --properties depth pooling --seeds 0:5
    """

    properties: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PROPERTY ...")] = ()
    """Properties to study: depth, width, kernel, pooling, 'batch norm', dropout, 'fully connected', augmentation,
    'training digits'; by default all."""
    seeds: Annotated[str, tyro.conf.arg(metavar="FIRST:END")] = "0:3"
    """Seeds of every network: 0:5 for 0 to 4, or 1,5,7. More seeds give narrower intervals."""
    num_epochs: int = 4
    """Epochs of training; variants with a small training set have their own number."""
    device: str = "auto"
    """auto (a GPU if available), cpu, cuda, cuda:1 or mps."""


def ablation(options: AblationOptions) -> None:
    from study.ablation import PROPERTIES, run_ablation
    from trainers.recipes import parse_seeds

    run_ablation(options.properties or PROPERTIES, parse_seeds(options.seeds), options.num_epochs, options.device)


@dataclass(frozen=True)
class LabelErrorsOptions:
    """Find the hardest MNIST test digits and the contested labels among them.

    Counts for every test digit the fraction of networks that are wrong, every recipe with equal weight, and shows
    whether human raters contest its label. Also reports the accuracy of an oracle that picks the best network for each
    digit. Only recipes with a validation accuracy of 99 % or more count. Writes a page and label_errors.json to
    study/output/label_errors/.

    Examples:
      mnist label-errors
      mnist label-errors runs/ONE runs/OTHER
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """Runs by folder or name; by default all finished runs that were trained on MNIST."""


def label_errors(options: LabelErrorsOptions) -> None:
    from study.label_errors import study_label_errors

    names = list(dict.fromkeys(options.runs))
    study_label_errors([Run.find(name) for name in names], shlex.join(["mnist", "label-errors", *names]))


@dataclass(frozen=True)
class ReportOptions:
    """Write the report: is MNIST solved?

    The report covers the data, model fitting, generalisation, the ablation study, label errors and a conclusion by
    stated criteria. It uses all runs with a scorecard and the results of `mnist inspect`, `mnist ablation` and
    `mnist label-errors`; each section names the commands that repeat its measurements.

    Examples:
      mnist report
      mnist report --markdown
    """

    output: Path = PROJECT_FOLDER / "study" / "report.html"
    """File of the page."""
    markdown: bool = False
    """Also write the short version to docs/report.md, and its pictures to docs/pictures/."""


def report(options: ReportOptions) -> None:
    from study.report.report import write_report

    write_report(options.output, PROJECT_FOLDER / "docs" / "report.md" if options.markdown else None)
