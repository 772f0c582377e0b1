"""Files from outside: what is refused without waiting, without much memory and without control characters."""

import json
import os
import shutil

import numpy as np
import pytest

from utils.data.csv_digits import csv_digits
from utils.data.digit_preprocessing import read_digit
from utils.errors import UserError
from utils.files import shown
from utils.outside import DamagedFile, parse_json, read_arrays, read_bounded, spreadsheet_text
from utils.run import Run
from utils.runtime import describe_environment


@pytest.fixture(params=["pipe", "device", "folder", "loop", "no target"])
def no_file(request, tmp_path):
    path = tmp_path / "no file.png"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/zero", "loop": path, "no target": tmp_path / "nowhere"}[request.param])
    return path


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices")
def test_only_regular_files_are_read(no_file):
    with pytest.raises(OSError):
        read_bounded(no_file, 100)
    for read in (read_digit, lambda path: csv_digits([str(path)])):
        with pytest.raises(UserError, match=r"cannot read .*no file.png: .*\n?.*[Ee]xpected"):
            read(no_file)


def test_no_more_than_the_bound_is_read(tmp_path):
    (tmp_path / "file").write_bytes(bytes(11))
    assert read_bounded(tmp_path / "file", 11) == bytes(11)
    with pytest.raises(OSError, match="larger"):
        read_bounded(tmp_path / "file", 10)


NO_JSON = ["NaN", "-Infinity", "1e999", "9" * 30, "9" * 5000, "[" * 100_000, "{"]
CONTROL = ['"\\u001b[2J"', '{"\\u202e": 1}', '["\\ud800"]']


@pytest.mark.parametrize("text", [*NO_JSON, *CONTROL], ids=range(len(NO_JSON + CONTROL)))
def test_json_without_meaning_is_refused(text):
    with pytest.raises(ValueError):
        parse_json(text)


def test_json_is_read_as_it_was_written():
    values = {"a": [1, -2.5e-3, True, None, "ä\n\t🦆", 2**62], "b": {}}
    assert parse_json(json.dumps(values)) == values and isinstance(parse_json("3"), int)


@pytest.mark.parametrize(
    "array",
    [np.array(["7"]), np.array([{}], object), np.zeros(2, complex), np.zeros((1,) * 9)],
    ids=["text", "objects", "complex", "axes"],
)
def test_only_arrays_of_numbers_are_read(tmp_path, array):
    np.savez(tmp_path / "file.npz", x=array)
    with pytest.raises(DamagedFile, match="x: it"):
        read_arrays(tmp_path / "file.npz")


def test_messages_and_names_have_no_control_characters(home):
    assert str(UserError("a\x1b[2J\nb\u202e\r\udcff")) == "a?[2J\nb???"
    assert shown(home / "\x1b]0;owned\x07.png").endswith("?]0;owned?.png")
    folder = home / "runs" / "\x1b[31mred"
    folder.mkdir(parents=True)
    assert [run.name for run in Run.all()] == ["?[31mred"]


def test_formulas_become_text():
    assert [spreadsheet_text(text) for text in ("=1+1", "@a", "conv", "")] == ["'=1+1", "'@a", "conv", ""]


DAMAGE = {
    "metrics.jsonl": '{"epoch": 1, "step": 3}\n[]\n',
    "summary.json": "[" * 100_000,
    "config.json": '{"model": "\\u001b[2J"}',
}


@pytest.mark.parametrize("name", DAMAGE)
def test_one_damaged_run_never_stops_the_list_of_runs(command, copied_run, name):
    shutil.copytree(copied_run, copied_run.with_name("damaged"))
    (copied_run.with_name("damaged") / name).write_text(DAMAGE[name])
    code, printed, error = command("runs")
    assert code == 0 and "mine" in printed and f"damaged: {name}" in printed, error
    code, _, error = command("evaluate", "damaged")
    assert code == 2 and "run damaged is damaged" in error and len(error.splitlines()) <= 2


def test_the_environment_does_not_name_the_home_folder(copied_run, monkeypatch, home):
    monkeypatch.setattr("sys.argv", ["/x/mnist", "train", f"csv:{home}/a.csv,{home}b"])
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    environment = describe_environment(Run(copied_run).execution)
    assert environment["command"] == ["mnist", "train", f"csv:~/a.csv,{home}b"]
    assert environment["working_folder"] == "~"
