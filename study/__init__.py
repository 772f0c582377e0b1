"""Experiments over many runs."""
