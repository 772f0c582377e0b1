"""Files are written whole or not at all; folders get their name when they are complete."""

import errno
import os
import signal
import stat

import pytest

from utils.errors import UserError
from utils.files import append_durably, new_folder, remove_leftovers, replace_file, write_whole


@pytest.fixture
def full_disk(monkeypatch):
    """Makes every write fail when it reaches the disk."""

    def fail(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_the_old_one_kept_under_another_name(tmp_path):
    file, previous = tmp_path / "x", tmp_path / "x.previous"
    for content in (b"one", b"two", b"three"):
        replace_file(file, content, previous)
    assert (file.read_bytes(), previous.read_bytes()) == (b"three", b"two")
    assert names(tmp_path) == ["x", "x.previous"]


def test_the_old_files_remain_if_the_disk_is_full(tmp_path, full_disk):
    file, previous = tmp_path / "x", tmp_path / "x.previous"
    file.write_bytes(b"one")
    with pytest.raises(OSError, match="No space left on device") as error:
        replace_file(file, b"two", previous)
    assert error.value.filename == str(file)
    assert file.read_bytes() == b"one" and names(tmp_path) == ["x"]


def test_a_missing_folder_is_made_by_one_function_and_refused_by_the_other(tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*Was its folder deleted"):
        replace_file(tmp_path / "deleted" / "x", b"")
    with pytest.raises(UserError, match=r"cannot write .*Was its folder deleted"):
        append_durably(tmp_path / "deleted" / "x", b"")
    write_whole(tmp_path / "a" / "b" / "x", b"content")
    assert (tmp_path / "a" / "b" / "x").read_bytes() == b"content"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_permissions_are_those_asked_for(tmp_path):
    write_whole(tmp_path / "x", b"", mode=0o600)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


def test_lines_are_appended(tmp_path):
    append_durably(tmp_path / "x", b"one\n")
    append_durably(tmp_path / "x", b"two\n")
    assert (tmp_path / "x").read_bytes() == b"one\ntwo\n"


def test_a_folder_gets_its_name_when_it_is_complete(tmp_path):
    with new_folder(tmp_path / "x") as folder:
        (folder / "file").write_text("content")
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x" / "file").read_text() == "content"
    with pytest.raises(FileExistsError), new_folder(tmp_path / "x"):
        pass
    assert (tmp_path / "x" / "file").exists()


def test_a_folder_that_failed_or_was_killed_leaves_its_name_free(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "x") as folder:
        (folder / "file").write_text("incomplete")
        raise KeyboardInterrupt
    assert not (tmp_path / "x").exists()
    child = os.fork()
    if child == 0:
        with new_folder(tmp_path / "x") as folder:
            (folder / "file").write_text("incomplete")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert not (tmp_path / "x").exists()
    with new_folder(tmp_path / "x") as folder:
        assert not names(folder)
    assert (tmp_path / "x").exists()


def test_the_temporary_files_of_killed_processes_are_removed(tmp_path):
    child = os.fork()
    if child == 0:
        os.fsync = lambda _descriptor: os.kill(os.getpid(), signal.SIGKILL)
        (tmp_path / "checkpoints").mkdir()
        replace_file(tmp_path / "checkpoints" / "last.pt", b"content")
    os.waitpid(child, 0)
    (left,) = (tmp_path / "checkpoints").iterdir()
    assert left.name.startswith(".last.pt.")
    (tmp_path.parent / ".new" / tmp_path.name).mkdir(parents=True)
    remove_leftovers(tmp_path)
    assert not (tmp_path.parent / ".new" / tmp_path.name).exists()
    assert not names(tmp_path / "checkpoints")
