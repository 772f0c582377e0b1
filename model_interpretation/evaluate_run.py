"""`mnist evaluate RUN [RUN ...]`: how many digits of a split the network of a run, or several together, name right."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from utils.command_line import parse_command_line
from utils.errors import UserError
from utils.run_folder import RunFolder


@dataclass(frozen=True)
class EvaluateCommand:
    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """The run's folder, such as runs/NAME, or its name alone. Of several, the mean of their probabilities is judged."""
    split: Literal["test", "train", "validation"] = "test"
    """Which digits: the test set, those trained on, or those held out for validation."""
    dataset: str | None = None
    """Another data set to judge on: mnist, fashion_mnist, kmnist, qmnist, emnist_digits, usps, digits or
    csv:FILE[,FILE...][,test=FILE]; by default the run's."""
    device: str = "auto"
    """auto (the GPU where there is one), cpu, cuda, cuda:1 or mps."""


def main(argv: list[str]) -> None:
    """Loads the weights that a run ended with and judges them, in fp32, on a split of its data set. The networks of
    several runs are judged as one that answers with the mean of their probabilities."""
    options = parse_command_line(EvaluateCommand, argv, "mnist evaluate", main.__doc__)
    runs = [RunFolder.find(name) for name in options.runs]
    if not runs:
        raise UserError("say which: mnist evaluate RUN, such as runs/NAME")

    from model_interpretation.run_data import load_shared_split  # torch: only once the command line is right
    from models.trained import load_together
    from utils.datasets import load_dataset
    from utils.devices import choose_device
    from utils.evaluation import predict_logits, score

    device = choose_device(options.device)
    model = load_together(runs, device)
    split, dataset = options.split, options.dataset
    image_set = load_dataset(dataset, split) if dataset else load_shared_split(runs, split)
    result = score(predict_logits(model, image_set.images, device, progress=image_set.name), image_set.labels)
    together = f"{len(runs)} networks together, " if len(runs) > 1 else ""
    print(f"{image_set.name}: {together}{result}")
