"""Comparison of runs: means over seeds, learning curves, and tests on the same images."""
