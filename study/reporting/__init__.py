"""The report: what the runs and the studies say, as a page and as a part of the README."""
