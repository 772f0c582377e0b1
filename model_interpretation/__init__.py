"""Predictions, metrics and explanations of trained networks."""

import utils  # noqa: F401 - before torch: sets how threads wait
