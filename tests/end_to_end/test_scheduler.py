"""The Slurm script of docs/cluster.md, run by a stand-in for the scheduler that stops and requeues it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from utils.files import PROJECT_FOLDER
from utils.run import Run

# What stands for the recipe of the script.
RECIPE = "linear --dataset digits --device cpu --batch-size 4 --num-epochs 60"
PROGRAMS = {
    "mnist": f'#!/bin/bash\nexec {sys.executable} -m mnist "$@"\n',
    "srun": '#!/bin/bash\necho $$ > step\nexec "$@"\n',  # a step of the job, which gets the signal
    "scontrol": '#!/bin/bash\n[ "$*" = "requeue 4711" ] && touch requeued\n',
}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell script")


@pytest.fixture
def job(home):
    """Starts the script in the test's home."""
    text = (PROJECT_FOLDER / "docs" / "cluster.md").read_text()
    script = next(part for part in text.split("```bash\n") if part.startswith("#!")).split("```")[0]
    (home / "job.sh").write_text(script.replace("fast_conv", RECIPE))
    (home / "bin").mkdir()
    for name, content in PROGRAMS.items():
        (home / "bin" / name).write_text(content)
        (home / "bin" / name).chmod(0o755)
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "PYTHONPATH": str(PROJECT_FOLDER), "SLURM_JOB_NAME": "mine", "SLURM_JOB_ID": "4711"}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return lambda: subprocess.Popen(["bash", "job.sh"], cwd=home, env=environment, stdout=subprocess.DEVNULL)


def num_epochs(home) -> int:
    path = home / "runs" / "mine" / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_requeued_job_ends_like_an_uninterrupted_one(job, home, monkeypatch):
    ends = []
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        process, before = job(), num_epochs(home)
        while num_epochs(home) < before + 3:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(int((home / "step").read_text()), number)
        ends.append((process.wait(timeout=60), (home / "requeued").exists()))
        (home / "requeued").unlink(missing_ok=True)
    assert ends == [(143, True), (137, False), (143, True)]  # Slurm itself requeues a job whose machine failed
    assert job().wait(timeout=120) == 0 and job().wait(timeout=60) == 0
    monkeypatch.setenv("MNIST_STUDY_HOME", str(home / "other"))
    subprocess.run([sys.executable, "-m", "mnist", "train", *RECIPE.split(), "--run-name", "whole"], check=True)
    mine, whole = Run(home / "runs" / "mine"), Run(home / "other" / "runs" / "whole")
    times = {"epoch_seconds": 0, "images_per_second": 0}
    assert [replace(row, **times) for row in mine.metrics] == [replace(row, **times) for row in whole.metrics]
    assert np.array_equal(mine.predictions("test").logits, whole.predictions("test").logits)
