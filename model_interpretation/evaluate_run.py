"""`mnist evaluate RUN`: how many digits of a split the network of a run names right."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from utils.command_line import parse_command_line
from utils.run_folder import RunFolder


@dataclass(frozen=True)
class EvaluateCommand:
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run's folder, such as runs/NAME, or its name alone."""
    split: Literal["test", "train", "validation"] = "test"
    """Which digits: the test set, those trained on, or those held out for validation."""
    device: str = "auto"
    """auto (the GPU where there is one), cpu, cuda, cuda:1 or mps."""


def main(argv: list[str]) -> None:
    """Loads the weights of a run's best epoch and judges them, in fp32, on a split of its data set."""
    options = parse_command_line(EvaluateCommand, argv, "mnist evaluate", main.__doc__)
    run = RunFolder.find(options.run)

    from model_interpretation.run_data import load_run_split  # torch: only once the command line is right
    from models.trained import load_trained
    from utils.devices import choose_device
    from utils.evaluation import predict_logits, score

    device = choose_device(options.device)
    model = load_trained(run, device)
    image_set = load_run_split(run, options.split)
    result = score(predict_logits(model, image_set.images, device, progress=image_set.name), image_set.labels)
    print(
        f"{image_set.name}: accuracy {result.accuracy:.2%} ({result.num_correct:,} of {result.num_digits:,} right), "
        f"loss {result.loss:.4f}"
    )
