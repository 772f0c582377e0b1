"""Inspects a data set, like `mnist inspect`: statistics and figures in data_inspection/output/. See --help.

Starts `mnist inspect` as a process: this script has the name of its package, so it cannot import the package.
"""

import subprocess
import sys
from pathlib import Path

COMMAND = Path(__file__).resolve().parents[2] / "mnist.py"

if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, str(COMMAND), "inspect", *sys.argv[1:]]))
