"""Experiments over many runs."""

import utils  # noqa: F401 - before torch: sets how threads wait
