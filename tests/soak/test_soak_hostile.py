"""A short version of tests/soak/hostile.py, in a process of its own: it forks and sets timers."""

import os
import subprocess
import sys

import pytest

from utils.files import PROJECT_FOLDER


@pytest.mark.skipif(sys.platform != "linux", reason="pipes, devices and fork")
def test_hostile_input_is_read_or_refused_with_advice():
    ended = subprocess.run(
        [sys.executable, "-m", "tests.soak.hostile", "short"],
        cwd=PROJECT_FOLDER,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    files, commands = ended.stdout.splitlines()[-2:]
    assert files.startswith("files: 80 of seed 1") and commands.startswith("commands: 12 of seed 1")
