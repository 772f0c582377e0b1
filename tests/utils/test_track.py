"""Progress lines without a terminal."""

import time

from utils import track as module
from utils.track import track


def test_long_loops_report_in_lines(capsys, monkeypatch):
    monkeypatch.setattr(module, "FIRST_LINE_SECONDS", 0.1)
    monkeypatch.setattr(module, "LINE_SECONDS", 0.2)
    assert [item for item in track(range(30), desc="metrics") if not time.sleep(0.02)] == list(range(30))
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 6
    assert all(line.startswith("metrics: ") and " of 30, " in line for line in lines)


def test_short_loops_are_silent(capsys):
    assert list(track(range(3), desc="metrics")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
