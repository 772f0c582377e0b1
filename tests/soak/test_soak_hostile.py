"""Short versions of tests/soak/hostile.py and draw_server.py, in processes of their own: they fork and set timers."""

import os
import subprocess
import sys

import pytest

from utils.files import PROJECT_FOLDER


@pytest.mark.skipif(sys.platform != "linux", reason="pipes, devices and fork")
@pytest.mark.parametrize(("part", "count"), [("files", 80), ("commands", 12)])
def test_hostile_input_is_read_or_refused_with_advice(part, count):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.soak.hostile", part, str(count), "1"],
        cwd=PROJECT_FOLDER,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
