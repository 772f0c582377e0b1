"""What a run was made with: versions, machine, commit."""

import platform
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from utils.paths import PROJECT_FOLDER

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn")


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Plain values for environment.json. `git_commit` is None outside a git checkout."""
    commit = _git("rev-parse", "HEAD")
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "device": device_name(device),
        "num_threads": torch.get_num_threads(),
        "git_commit": commit,
        "git_tree_is_clean": None if commit is None else _git("status", "--porcelain") == "",
    }


def device_name(device: torch.device) -> str:
    """The card's or the processor's name, with the number of its threads that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        for line in cpu_info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(PROJECT_FOLDER), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
