"""Short versions of tests/soak/runs.py, in a process of their own: it forks, which a process with threads must not."""

import os
import subprocess
import sys

import pytest

from utils.files import PROJECT_FOLDER


@pytest.mark.skipif(sys.platform != "linux", reason="the faults need fork and /proc")
@pytest.mark.parametrize(("part", "count"), [("kills", 12), ("failures", 6), ("power", 4), ("resumes", 5)])
def test_no_run_is_lost(part, count):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.soak.runs", part, str(count)],
        cwd=PROJECT_FOLDER,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.startswith(("kills: 12 of 12", "failing", "power losses: 4 of 4", "concurrent resumes: 5"))
