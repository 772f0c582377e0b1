"""A short version of tests/soak/runs.py, in a process of its own: it forks, which a process with threads must not."""

import os
import subprocess
import sys

import pytest

from utils.files import PROJECT_FOLDER

COUNTS = {"kills": 12, "failures": 6, "power": 4, "resumes": 5}


@pytest.mark.skipif(sys.platform != "linux", reason="the faults need fork and /proc")
def test_no_run_is_lost():
    ended = subprocess.run(
        [sys.executable, "-m", "tests.soak.runs", *(str(word) for part in COUNTS.items() for word in part)],
        cwd=PROJECT_FOLDER,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    for line in ("kills: 12 of 12", "full disks: 6 of 6", "power losses: 4 of 4", "concurrent resumes: 5"):
        assert line in ended.stdout
