"""Locks on runs: at most one process writes a run.

The lock of runs/NAME is the file runs/.locks/NAME.lock, which is locked by the operating system and therefore free as
soon as its process ends, however it ends. It lies outside the run's folder, so that a name is locked before the folder
exists and after somebody has deleted it. NAME.json beside it says which process holds the lock.
"""

import contextlib
import json
import os
import shlex
import socket
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from utils.errors import UserError
from utils.files import make_folder, shown

LOCKS = ".locks"


class RunIsLocked(UserError):
    """Another process writes this run."""


class RunLock:
    """The right to write a run, as a context manager. A process that holds the lock may acquire it again."""

    def __init__(self, run: Path) -> None:
        """`run` is the folder of the run, which need not exist."""
        self.run = run.resolve()
        self.owner = self.run.parent / LOCKS / f"{self.run.name}.json"
        self.file = self.owner.with_suffix(".lock")
        # A singleton counts how often this process has acquired it.
        self.lock = FileLock(self.file, timeout=0, thread_local=False, is_singleton=True)

    def acquire(self) -> None:
        """Raises RunIsLocked, which names the process, if another process holds the lock."""
        make_folder(self.file.parent)
        try:
            self.lock.acquire()
        except Timeout:
            raise RunIsLocked(self._refusal()) from None
        except (OSError, NotImplementedError) as error:  # some network file systems have no locks
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot lock {shown(self.file)}: {reason}.\nA run is written under a lock only.") from None
        if self.lock.lock_counter == 1:
            owner = {
                "process": os.getpid(),
                "host": socket.gethostname(),
                "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
                "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
            }
            with contextlib.suppress(OSError):  # a full disk: the message to others will name no process
                self.owner.write_text(json.dumps(owner), encoding="utf-8")

    def release(self) -> None:
        if self.lock.lock_counter == 1:
            with contextlib.suppress(OSError):  # the folder may have been deleted
                self.owner.unlink()
        self.lock.release()

    def __enter__(self) -> "RunLock":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _refusal(self) -> str:
        try:
            owner: dict[str, Any] = json.loads(self.owner.read_text(encoding="utf-8"))
            host = "" if owner["host"] == socket.gethostname() else f" on {owner['host']}"
            who = f"process {owner['process']}{host} since {owner['since']} ({owner['command'][:100]})"
        except (OSError, ValueError, LookupError, TypeError):  # the process has not written it yet
            who = "another process"
        return (
            f"{shown(self.run)} is being written by {who}.\n"
            "Wait until that process has ended, or end it; then repeat the command."
        )
