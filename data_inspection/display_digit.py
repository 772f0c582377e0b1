"""`mnist display`: shows one digit in the terminal, and in a window if there is a screen."""

import os
import sys
from pathlib import Path

from PIL import Image

from utils.data.datasets import load_dataset
from utils.errors import UserError
from utils.figures import terminal_picture

PICTURE_SIDE = 280  # pixels


def display_digit(dataset: str, split: str, index: int | None = None, save: bool = False) -> None:
    """Shows a digit with its label. A random digit for index None. `save` writes a PNG to the working folder.

    Raises UserError if the index is out of range or the file cannot be written.
    """
    image_set = load_dataset(dataset, split)
    index = image_set.chosen_index(index)
    image = image_set.images[index]
    print(terminal_picture(image))
    print(f"{image_set.name}, digit {index}: labelled {image_set.class_names[int(image_set.labels[index])]}")
    picture = Image.fromarray(image.numpy()).resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.NEAREST)
    if save:
        path = Path(f"{split}-{index}.png")
        try:
            picture.save(path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        print(f"saved as {path}")
    if _has_screen():
        picture.show(title=f"{image_set.name} {index}")


def _has_screen() -> bool:
    """Whether the program runs in a terminal on a machine with a graphical display."""
    return sys.stdout.isatty() and (
        sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    )
