"""Runs side by side: tables over seeds, curves, and tests on the same digits."""
