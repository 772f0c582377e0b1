"""Locks on runs, so that two sweeps at once keep out of each other's: the system frees them when a process ends."""

import hashlib
from collections.abc import Iterable
from typing import BinaryIO

from utils.atomic_files import make_folder
from utils.errors import UserError
from utils.paths import runs_folder, shown
from utils.run_folder import RunFolder

try:
    import fcntl
except ImportError:  # Windows: there two sweeps that share points belong one after the other
    fcntl = None  # type: ignore[assignment]


class RunLocks:
    """The runs that this process is at, each a byte of the file runs/.lock, at a place that its name decides.

    Bytes of one file rather than a file a run: one descriptor is enough for thousands of runs, no files are left to
    clear away, and a loader of batches that outlives a killed sweep keeps none. A process has one of these at a time.
    """

    def __init__(self) -> None:
        self.file: BinaryIO | None = None

    def __enter__(self) -> "RunLocks":
        return self

    def __exit__(self, *_: object) -> None:
        if self.file:
            self.file.close()

    def take(self, run: RunFolder) -> bool:
        """Whether no other process is at the run; then it is this one's until it is given back."""
        if fcntl is None:
            return True
        if self.file is None:
            make_folder(runs_folder())
            self.file = (runs_folder() / ".lock").open("wb")
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(run))
        except (BlockingIOError, PermissionError):  # which of them depends on the system
            return False
        except OSError as error:  # some network file systems know no locks
            raise UserError(f"cannot lock {shown(runs_folder() / '.lock')}: {error.strerror}") from None
        return True

    def give_back(self, runs: Iterable[RunFolder]) -> None:
        if fcntl is not None and self.file:
            for run in runs:
                fcntl.lockf(self.file, fcntl.LOCK_UN, 1, _place(run))


def _place(run: RunFolder) -> int:
    """Among 2**56: that two names share one, and so wait for each other, is a matter of theory."""
    return int.from_bytes(hashlib.sha256(run.path.name.encode()).digest()[:7], "big")
