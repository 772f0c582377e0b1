"""What a data set is like, by numbers and by pictures."""

import utils  # noqa: F401 - before torch: sets how threads wait
