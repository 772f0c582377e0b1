"""`mnist predict [ID]`: what the network of a run says of one digit, and how surely."""

from dataclasses import dataclass
from typing import Annotated

import tyro
from jaxtyping import Float
from torch import Tensor

from utils.command_line import parse_command_line
from utils.run_folder import RunFolder

BAR_WIDTH = 40  # characters


@dataclass(frozen=True)
class PredictCommand:
    id: Annotated[int | None, tyro.conf.Positional, tyro.conf.arg(metavar="ID")] = None
    """Which digit of the split, from 0; a random one where none is given."""
    train: bool = False
    """A training digit in place of a test digit."""
    display: Annotated[bool, tyro.conf.arg(aliases=["-d"])] = False
    """Also draw the digit in the terminal."""
    run: Annotated[str | None, tyro.conf.arg(metavar="RUN")] = None
    """The run whose network answers, such as runs/NAME; by default the newest that is finished."""
    dataset: str | None = None
    """Data set: mnist, digits or csv:FILE[,FILE...][,test=FILE]; by default that of the run."""


def main(argv: list[str]) -> None:
    """Prints the prediction for one digit with the probability of each class."""
    options = parse_command_line(PredictCommand, argv, "mnist predict", main.__doc__)
    run = RunFolder.find_or_newest(options.run)

    import torch  # only once the command line is right

    from models.trained import load_trained
    from utils.datasets import load_dataset
    from utils.evaluation import predict_logits
    from utils.terminal import terminal_picture

    model = load_trained(run)
    dataset = options.dataset or str(run.config()["train"]["dataset"])
    image_set = load_dataset(dataset, "train" if options.train else "test")
    number = image_set.chosen_index(options.id)
    probabilities = predict_logits(model, image_set.images[number : number + 1], torch.device("cpu"))[0].softmax(0)
    if options.display:
        print(terminal_picture(image_set.images[number]))
    names, predicted = image_set.class_names, int(probabilities.argmax())
    print(
        f"{run.path.name}: {names[predicted]} with {probabilities[predicted]:.2%}; {image_set.name}, digit {number}, "
        f"is labelled {names[int(image_set.labels[number])]}"
    )
    print(probability_bars(probabilities, names))


def probability_bars(probabilities: Float[Tensor, " classes"], names: tuple[str, ...]) -> str:
    """A line a class: its name, its probability, a bar."""
    return "\n".join(
        f"  {name}  {probability:7.2%}  {'█' * round(probability * BAR_WIDTH)}".rstrip()
        for name, probability in zip(names, probabilities.tolist(), strict=True)
    )
