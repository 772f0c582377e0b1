"""At most one process writes a run, and others are told which."""

import os
import signal
import subprocess
import sys

import pytest

from utils.errors import UserError
from utils.locks import RunIsLocked, RunLock

HOLDER = """
import pathlib, sys
from utils.locks import RunLock
with RunLock(pathlib.Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(home):
    """Another process that holds the lock of runs/mine."""
    program = [sys.executable, "-c", HOLDER, str(home / "runs" / "mine")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"locked\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_which_one_writes_the_run(holder, home):
    with pytest.raises(RunIsLocked) as error:
        RunLock(home / "runs" / "mine").acquire()
    message = str(error.value)
    assert f"mine is being written by process {holder.pid} since 20" in message and len(message.splitlines()) == 2
    with RunLock(home / "runs" / "yours"):  # another run is free
        pass


def test_the_lock_ends_with_its_process_however_it_ends(holder, home):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with RunLock(home / "runs" / "mine"):
        pass


def test_a_process_may_acquire_its_lock_again(home):
    path = home / "runs" / "mine"
    with RunLock(path):
        with RunLock(path):
            pass
        program = [sys.executable, "-c", HOLDER, str(path)]
        refused = subprocess.run(program, input=b"", capture_output=True, check=False)
        assert b"RunIsLocked" in refused.stderr and f"process {os.getpid()}".encode() in refused.stderr
    subprocess.run(program, input=b"", capture_output=True, check=True)


def test_a_lock_outlives_the_folder_of_its_run(holder, home):
    """Nobody begins a run of the same name while a process still writes the deleted one."""
    assert not (home / "runs" / "mine").exists()
    with pytest.raises(RunIsLocked):
        RunLock(home / "runs" / "mine").acquire()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_children_do_not_keep_the_lock(home):
    """Processes that load data may end a few seconds after the process that trains."""
    path = home / "runs" / "mine"
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        lock = RunLock(path)
        lock.acquire()
        grandchild = os.fork()
        if grandchild == 0:
            signal.pause()
        os.write(write, str(grandchild).encode())
        os._exit(0)
    os.waitpid(child, 0)
    grandchild = int(os.read(read, 100))
    try:
        with RunLock(path):
            pass
    finally:
        os.kill(grandchild, signal.SIGKILL)


def test_a_folder_that_cannot_be_locked_is_named(home):
    (home / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        RunLock(home / "file" / "mine").acquire()
