"""Sweeps: many recipes trained by one command, as a grid or a search, on this machine or on a Ray cluster."""
