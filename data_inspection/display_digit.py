"""`mnist display`: shows one digit in the terminal and writes it as a picture."""

import os
import re
import sys
from pathlib import Path

from PIL import Image

from utils.data.datasets import load_dataset
from utils.figures import elided, terminal_picture
from utils.files import make_folder, shown

PICTURE_SIDE = 280  # pixels
NAMES_WITH_AN = ("8", *"AEFHILMNORSX")


def display_digit(dataset: str, split: str, index: int | None, output: Path) -> None:
    """Shows a digit with its label and writes it as `output/DATASET-SPLIT-INDEX.png`, which is also opened if there is
    a screen. A random digit for index None.

    Raises UserError if the index is out of range or the file cannot be written.
    """
    image_set = load_dataset(dataset, split)
    index = image_set.chosen_index(index)
    image = image_set.images[index]
    name = image_set.class_names[int(image_set.labels[index])]
    has_an = name in NAMES_WITH_AN or (len(name) > 1 and name[0] in "AEIOaeio")
    print(terminal_picture(image))
    print(f"{split} digit no. {index}: {'an' if has_an else 'a'} {elided(name, 40)}")
    make_folder(output)
    path = output / f"{file_stem(dataset)}-{split}-{index}.png"
    picture = Image.fromarray(image.numpy()).resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.NEAREST)
    picture.save(path)
    print(f"picture: {shown(path)}")
    if _has_screen():
        picture.show(title=f"{image_set.name} {index}")


def file_stem(dataset: str) -> str:
    """The name of a data set as part of a file name."""
    return re.sub(r"[^A-Za-z0-9]+", "_", dataset).strip("_")[-80:]


def _has_screen() -> bool:
    """Whether the program runs in a terminal on a machine with a graphical display."""
    return sys.stdout.isatty() and (
        sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    )
