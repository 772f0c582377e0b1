"""`mnist display [ID]`: one digit, in the terminal, in a window, as a file."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from utils.command_line import parse_command_line
from utils.errors import UserError

PICTURE_SIDE = 280  # pixels


@dataclass(frozen=True)
class DisplayCommand:
    id: Annotated[int | None, tyro.conf.Positional, tyro.conf.arg(metavar="ID")] = None
    """Which digit of the split, from 0; a random one where none is given."""
    train: bool = False
    """A training digit in place of a test digit."""
    save: Annotated[bool, tyro.conf.arg(aliases=["-s"])] = False
    """Also save it as a PNG in the working folder."""
    dataset: str = "mnist"
    """Data set: mnist, fashion_mnist, kmnist, qmnist, emnist_digits, usps, digits (bundled with scikit-learn) or
    csv:FILE[,FILE...][,test=FILE]."""


def main(argv: list[str]) -> None:
    """Shows a digit with its label: in the terminal, and in a window where there is a screen."""
    options = parse_command_line(DisplayCommand, argv, "mnist display", main.__doc__)

    from PIL import Image

    from utils.datasets import load_dataset
    from utils.terminal import terminal_picture

    image_set = load_dataset(options.dataset, "train" if options.train else "test")
    number = image_set.chosen_index(options.id)
    image = image_set.images[number]
    print(terminal_picture(image))
    print(f"{image_set.name}, digit {number}: labelled {image_set.class_names[int(image_set.labels[number])]}")
    picture = Image.fromarray(image.numpy()).resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.NEAREST)
    if options.save:
        path = Path(f"{'train' if options.train else 'test'}-{number}.png")
        try:
            picture.save(path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        print(f"saved as {path}")
    if has_screen():
        picture.show(title=f"{image_set.name} {number}")


def has_screen() -> bool:
    """Whether a window can be opened by someone who sits before it."""
    return sys.stdout.isatty() and (
        sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    )
