"""`mnist scratch`: networks by the NumPy engine."""

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from trainers.recipe import Recipe, TrainConfig
from trainers.run_recipe import run_command
from utils.command_line import parse_command_line, run_action
from utils.errors import UserError
from utils.paths import shown
from utils.run_folder import MEDIANS, RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONFIG = TrainConfig(engine="numpy", num_epochs=5, schedule="cosine")
USAGE = "expected mnist scratch train MODEL or mnist scratch evaluate RUN"
LOSS_PICTURE = "loss_per_epoch.png"


@dataclass(frozen=True)
class EvaluateCommand:
    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """A run of a model string, by whichever engine it was trained; by default the newest that is finished."""


def main(argv: list[str]) -> None:
    """Raises UserError for what is neither train nor evaluate."""
    run_action({"train": train_from_scratch, "evaluate": evaluate}, argv, "mnist scratch", __doc__, USAGE)


def train_from_scratch(argv: list[str]) -> None:
    """Trains a network with no deep-learning library: the NumPy engine of models/numpy_models.

    mnist scratch train "C(8,5)-P2-C(16,3)-P2-FC128-FC10" --learning-rate 0.001 --num-epochs 5

    The run is one like any other: 'mnist evaluate', 'mnist interpret' and 'mnist compare' work on it. 'mnist train
    --engine numpy' does the same."""
    if any(flag.partition("=")[0] == "--engine" for flag in argv):
        raise UserError("mnist scratch is the NumPy engine: leave --engine out, or use mnist train")
    model, flags = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("", argv)
    runs = run_command(Recipe(model, CONFIG), train_from_scratch.__doc__, flags, "mnist scratch train")
    for run in runs:
        if (run.path / MEDIANS).exists():  # else it was resumed, and is of the other engine
            _report(run)


def _report(run: RunFolder) -> None:
    """Prints precision and loss, and draws the losses of all epochs."""
    from sklearn.metrics import precision_score

    from utils.answers import load_answers
    from utils.figures import save_figure

    answers = load_answers(run.test_predictions)
    precisions = precision_score(answers.labels, answers.predicted, labels=range(10), average=None, zero_division=0)
    shares = "  ".join(f"{digit}: {share:.2%}" for digit, share in enumerate(precisions))
    # Ten one-against-rest tables count each wrong answer twice, as missed and as false, among ten times as many.
    claimed = 1 - 2 * (1 - answers.accuracy) / 10
    print(
        f"precision {precisions.mean():.2%}, of what was called a\n  {shares}\n"
        f"(true negatives of ten one-against-rest tables counted in, 'accuracy' would be {claimed:.2%}: it is not)\n"
        f"loss at the end of training {run.rows()[-1].train_loss:.4f}"
    )
    save_figure(_loss_figure(run), run.path / LOSS_PICTURE)
    print(f"mean and median loss an epoch: {shown(run.path / LOSS_PICTURE)}")


def _loss_figure(run: RunFolder) -> "Figure":
    """Mean and median over the training digits' losses, epoch by epoch."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from utils.figures import COLOURS, plain_axes

    lines = [json.loads(line) for line in (run.path / MEDIANS).read_text(encoding="utf-8").split("\n")[:-1]]
    medians = {line["epoch"]: line["median_loss"] for line in lines}  # of an epoch that was begun twice the last
    rows = run.rows()
    epochs = [row.epoch for row in rows]
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = plain_axes(figure, 1, 1, 1)
    axes.plot(epochs, [row.train_loss for row in rows], "o-", color=COLOURS[0], label="mean")
    axes.plot(epochs, [medians.get(epoch, math.nan) for epoch in epochs], "o-", color=COLOURS[1], label="median")
    axes.set(xlabel="epoch", ylabel="training loss", yscale="log", title=run.config()["model"])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def evaluate(argv: list[str]) -> None:
    """Names the test digits by the NumPy engine and counts, digit by digit, those that it gets wrong."""
    options = parse_command_line(EvaluateCommand, argv, "mnist scratch evaluate", evaluate.__doc__)
    run = RunFolder.find_or_newest(options.run)

    from models.trained import load_trained  # torch: only once the command line is right
    from trainers.generic_trainers.numpy_trainer import numpy_logits, numpy_twin
    from utils.datasets import load_dataset
    from utils.evaluation import score

    network = numpy_twin(load_trained(run))
    test_set = load_dataset(run.config()["train"]["dataset"], "test")
    logits = numpy_logits(network, test_set.images)
    is_wrong = logits.argmax(1) != test_set.labels
    print(f"{test_set.name} by NumPy: {score(logits, test_set.labels)}")
    for label, name in enumerate(test_set.class_names):
        count = int((test_set.labels == label).sum())
        print(f"  {name}  {int(is_wrong[test_set.labels == label].sum()):4} of {count:,} wrong")
