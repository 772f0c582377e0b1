"""Faults while files are written, for tests: processes that are killed, operations that fail, power losses.

A trial is a forked child of this process that runs a command in a home of its own. An audit hook and a wrapped os.fsync
number the child's file operations in that home. Before the operation with a chosen number the child is killed, or that
operation fails.
"""

import errno
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mnist

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVENTS = {"open": "open", "os.rename": "rename", "os.remove": "remove", "os.mkdir": "mkdir", "os.rmdir": "rmdir"}


@dataclass(frozen=True)
class Fault:
    """What happens at the operation with this number, counted from 1."""

    number: int
    kind: str
    """kill; fail: this operation fails; full: it and all later ones fail for lack of space."""


@dataclass(frozen=True)
class Result:
    code: int
    """Exit code; negative for a signal."""
    output: str
    operations: list[str]
    """Kind and path of each operation."""


def run_command(home: Path, arguments: list[str], fault: Fault | None = None) -> Result:
    """Runs `mnist` with these arguments in a forked child, in the home as its working folder."""
    return start_command(home, arguments, fault)()


def start_command(
    home: Path, arguments: list[str], fault: Fault | None = None, start: float = 0, name: str = "command"
) -> Callable[[], Result]:
    """Starts `mnist` in a forked child, which begins at the time `start` of time.monotonic(). Returns the function that
    waits for its end. `name` distinguishes the logs of several children."""
    log, journal = (home.with_name(f"{home.name}.{name}.{kind}") for kind in ("log", "operations"))
    journal.write_text("")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.environ["MNIST_STUDY_HOME"] = str(home)
            os.chdir(home)
            sys.argv = ["mnist", *arguments]
            _Recorder(home, journal, fault).start()
            time.sleep(max(0, start - time.monotonic()))
            mnist.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def wait() -> Result:
        _, status = os.waitpid(child, 0)
        return Result(
            os.waitstatus_to_exitcode(status), log.read_text(errors="replace"), journal.read_text().splitlines()
        )

    return wait


class _Recorder:
    """Numbers the operations, writes them into the journal, remembers what was synchronised, and causes the fault."""

    def __init__(self, home: Path, journal: Path, fault: Fault | None) -> None:
        self.home, self.fault = str(home), fault
        self.journal = os.open(journal, os.O_WRONLY | os.O_APPEND)
        self.disk = disk_of(home)
        self.number = 0
        self.is_recording = True
        self.sizes: dict[str, int] = {}
        """Sizes of files when they were opened for writing."""
        self.folders: list[int] = []
        """Open descriptors of synchronised folders, so that their inode numbers are not used again."""
        for name in ("files", "links", "folders"):
            (self.disk / name).mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        self.fsync = os.fsync
        os.fsync = self.synchronise
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple) -> None:
        if event not in EVENTS or not self.is_recording:
            return
        path = arguments[0]
        if event == "open" and (not isinstance(path, str | bytes | os.PathLike) or not (arguments[2] or 0) & WRITING):
            return
        path = os.fsdecode(path)
        is_relative = event in ("os.remove", "os.rmdir") and arguments[1] != -1  # to the folder that rmtree empties
        if path.startswith(self.home) or is_relative:
            if event == "open":
                self.sizes[path] = Path(path).stat().st_size if Path(path).exists() else 0
            self.operation(EVENTS[event], path)

    def synchronise(self, descriptor: int) -> None:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        is_folder = Path(path).is_dir()
        if path.startswith(self.home):
            if not is_folder:
                size, old = os.fstat(descriptor).st_size, self.sizes.get(path, 0)
                self.operation("write", path, lambda: os.ftruncate(descriptor, old + (size - old) // 2))
            self.operation("synchronise", path)
        self.fsync(descriptor)
        if path.startswith(self.home):
            self.remember(descriptor, path, is_folder)

    def operation(self, kind: str, path: str, half: Callable[[], None] | None = None) -> None:
        """Counts the operation. A kill or a full disk leaves the first `half` of a write."""
        self.number += 1
        os.write(self.journal, f"{kind} {os.path.relpath(path, self.home)}\n".encode())
        if self.fault is None or self.number < self.fault.number:
            return
        if self.fault.kind == "kill":
            if half is not None:
                half()
            os.kill(os.getpid(), signal.SIGKILL)
        is_full = self.fault.kind == "full" and kind in ("open", "mkdir", "write")
        if is_full or (self.fault.kind == "fail" and self.number == self.fault.number):
            number = errno.ENOSPC if is_full else errno.EIO
            raise OSError(number, os.strerror(number))

    def remember(self, descriptor: int, path: str, is_folder: bool) -> None:
        """Stores what is on the disk now: a copy of the file, or the names in the folder."""
        self.is_recording = False
        inode = os.fstat(descriptor).st_ino
        if is_folder:
            names = {entry.name: entry.inode() for entry in os.scandir(path)}
            (self.disk / "folders" / f"{inode}.json").write_text(json.dumps(names))
            self.folders.append(os.dup(descriptor))
        else:
            shutil.copyfile(path, self.disk / "files" / str(inode))
            if not (self.disk / "links" / str(inode)).exists():
                os.link(path, self.disk / "links" / str(inode))  # so that the inode's number is not used again
        self.is_recording = True


def disk_of(home: Path) -> Path:
    """The folder with what a child of this home has synchronised."""
    return home.with_suffix(".disk")


def lose_power(home: Path, seed: int) -> None:
    """Turns the home into what a disk may hold after a power loss: everything synchronised, and of the rest anything.

    Of a name that changed after its folder was synchronised, either the old or the new state remains. What was written
    to a file after it was synchronised is missing, cut off, zeros, or complete.
    """
    live = {path.stat().st_ino: path for path in [home, *home.rglob("*")]}
    target = home.with_suffix(".after")
    _Loss(disk_of(home), live, random.Random(seed)).folder(home.stat().st_ino, target)
    shutil.rmtree(home)
    target.rename(home)


class _Loss:
    def __init__(self, disk: Path, live: dict[int, Path], random: random.Random) -> None:
        self.disk, self.live, self.random = disk, live, random

    def folder(self, inode: int, target: Path) -> None:
        target.mkdir()
        names = self.disk / "folders" / f"{inode}.json"
        old = json.loads(names.read_text()) if names.exists() else {}
        new = {entry.name: entry.inode() for entry in os.scandir(self.live[inode])} if inode in self.live else {}
        for name in sorted({*old, *new}):
            chosen = self.random.choice([old.get(name), new.get(name)])
            if chosen is None:
                continue
            has_names = (self.disk / "folders" / f"{chosen}.json").exists()
            if has_names or (chosen in self.live and self.live[chosen].is_dir()):
                self.folder(chosen, target / name)
            else:
                self.file(chosen, target / name)

    def file(self, inode: int, target: Path) -> None:
        copy, link = self.disk / "files" / str(inode), self.disk / "links" / str(inode)
        old = copy.read_bytes() if copy.exists() else b""
        path = link if link.exists() else self.live.get(inode)
        new = path.read_bytes() if path else b""
        if new != old:
            kept = len(old) if new.startswith(old) else 0  # what was there before something was appended
            half = new[: kept + (len(new) - kept) // 2]
            new = self.random.choice([old, half, new[:kept] + bytes(len(new) - kept), new])
        target.write_bytes(new)
