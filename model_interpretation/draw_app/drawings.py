"""Drawings whose label somebody has said, kept for later study."""

from datetime import datetime
from pathlib import Path

from utils.atomic_files import write_whole
from utils.errors import UserError
from utils.handwriting import read_digit
from utils.paths import drawings_folder


def save_drawing(picture: bytes, label: int) -> Path:
    """Writes the picture as it is to runs/drawings/LABEL-TIME.png. Raises UserError for a label that is no digit, and
    for what is no picture of one."""
    if label not in range(10):
        raise UserError(f"label {label}: expected 0 to 9")
    read_digit(picture)
    file = drawings_folder() / f"{label}-{datetime.now():%Y%m%d-%H%M%S-%f}.png"
    write_whole(file, picture)
    return file
