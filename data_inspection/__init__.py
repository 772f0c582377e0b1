"""Statistics and figures of a data set."""

import utils  # noqa: F401 - before torch: sets how threads wait
