"""Looks at a data set: statistics.json, a printed table and pictures in data_inspection/output/. See --help.

Hands over to `mnist inspect`: this file bears the name of its package, so from here the package cannot be imported.
"""

import subprocess
import sys
from pathlib import Path

COMMAND = Path(__file__).resolve().parents[2] / "mnist.py"

if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, str(COMMAND), "inspect", *sys.argv[1:]]))
