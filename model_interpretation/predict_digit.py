"""`mnist predict [ID]`: what the network of a run says of one digit, or of pictures, and how surely."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from jaxtyping import Float
from torch import Tensor

from model_interpretation.basic_interpret import OUTPUT
from utils.command_line import parse_command_line
from utils.errors import UserError
from utils.run_folder import RunFolder

BAR_WIDTH = 40  # characters


@dataclass(frozen=True)
class PredictCommand:
    id: Annotated[int | None, tyro.conf.Positional, tyro.conf.arg(metavar="ID")] = None
    """Which digit of the split, from 0; a random one where none is given."""
    image: Annotated[tuple[Path, ...] | None, tyro.conf.arg(metavar="FILE ...")] = None
    """Pictures of digits in place of one of the data set, photographed, scanned or drawn: files, or folders of them."""
    train: bool = False
    """A training digit in place of a test digit."""
    display: Annotated[bool, tyro.conf.arg(aliases=["-d"])] = False
    """Also draw the digit in the terminal."""
    run: Annotated[str | None, tyro.conf.arg(metavar="RUN")] = None
    """The run whose network answers, such as runs/NAME; by default the newest that is finished."""
    dataset: str | None = None
    """Data set: mnist, fashion_mnist, kmnist, qmnist, emnist_digits, usps, digits or csv:FILE[,FILE...][,test=FILE]; by
    default that of the run."""
    output: Path = OUTPUT
    """With --image: folder in which the run gets a folder of its name, for the table and the sheet."""


def main(argv: list[str]) -> None:
    """Prints the prediction for one digit with the probability of each class; for pictures a line each, and writes
    predictions.csv and a sheet of what was seen."""
    options = parse_command_line(PredictCommand, argv, "mnist predict", main.__doc__)
    run = RunFolder.find_or_newest(options.run)
    if options.image is not None:
        if not options.image:
            raise UserError("--image: say which, such as --image photo.jpg or --image folder/")
        if options.id is not None or options.train or options.dataset:
            raise UserError("--image names the digits: leave ID, --train and --dataset out")

        from model_interpretation.predict_pictures import predict_pictures

        predict_pictures(run, options.image, options.output, options.display)
        return

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
