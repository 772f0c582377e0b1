"""Building blocks of all other packages: data, devices, run folders, figures.

Importing it sets how torch's CPU threads wait for each other. libgomp reads this from the environment when torch is
loaded, so every package of the project imports `utils` first.
"""

import os

__version__ = "2.0.0"

# By default an OpenMP thread spins for milliseconds at every barrier. If another process is busy, the spinning threads
# delay the thread that they wait for. A short spin costs nothing measurable on a quiet machine;
# benchmarks/contention.py measures both. A variable set by the user wins.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(os.environ):
    os.environ["OMP_WAIT_POLICY"] = "passive"  # libomp (macOS)
    os.environ["GOMP_SPINCOUNT"] = "1000"  # libgomp (Linux), iterations, some ten microseconds
