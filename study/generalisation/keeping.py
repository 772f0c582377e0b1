"""What was measured of a network, kept by its weights so that it is measured once."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.generalisation.cells import Part
from utils.atomic_files import write_whole
from utils.errors import UserError
from utils.paths import data_folder, drawings_folder, shown, study_folder
from utils.run_folder import RunFolder

CHUNK_BYTES = 2**20
VERSION = 1  # of what is measured and how: what another version measured is measured again
# Parts whose digits may come to be others, and what tells.
SOURCES = {"other_hands.drawings": "drawings", "corrupted_digits.corrupted": "published corruptions"}


def scorecards_folder() -> Path:
    return study_folder() / "scorecards"


@dataclass(frozen=True)
class Kept:
    """A part as it is kept."""

    part: Part
    seconds: float
    at_hand: dict[str, list[str]]
    """When it was measured."""

    def is_due(self, function: str, now: dict[str, list[str]]) -> bool:
        """Whether measuring it again by this function may give something else."""
        source = SOURCES.get(function)
        if source and self.at_hand.get(source) != now[source]:
            return True
        return not self.part.is_whole and self.at_hand != now

    def to_json(self) -> dict[str, Any]:
        return {**self.part.to_json(), "seconds": self.seconds, "at_hand": self.at_hand}


def at_hand() -> dict[str, list[str]]:
    """What decides which cells can be filled, and with which digits."""
    data = sorted(path.relative_to(data_folder()).as_posix() for path in data_folder().glob("**/*"))
    return {
        "data": data,
        "mirror": [os.environ.get("MNIST_STUDY_MIRROR", "")],
        "drawings": sorted(path.name for path in drawings_folder().glob("*.png")),
        "published corruptions": [path for path in data if path.startswith(("mnist_c/", "mnist_c.zip"))],
    }


def kept_file(run: RunFolder) -> Path:
    """Where what is measured of these weights is kept."""
    key = hashlib.sha256(f"version {VERSION}".encode())
    try:
        with run.best_checkpoint.open("rb") as file:
            while part := file.read(CHUNK_BYTES):
                key.update(part)
    except OSError as error:
        raise UserError(f"cannot read {shown(run.best_checkpoint)}: {error.strerror}") from None
    return scorecards_folder() / f"{key.hexdigest()[:24]}.json"


def read_kept(file: Path) -> dict[str, Kept]:
    """The parts by the function that measured them. A damaged file is as good as none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {
            function: Kept(Part.from_json(kept), float(kept["seconds"]), dict(kept["at_hand"]))
            for function, kept in content.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def write_kept(file: Path, kept: dict[str, Kept]) -> None:
    content = {function: part.to_json() for function, part in kept.items()}
    write_whole(file, json.dumps(content, allow_nan=False).encode())
