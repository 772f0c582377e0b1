"""From a recipe to a run: the training loop and its parts."""

import utils  # noqa: F401 - before torch: sets how threads wait
