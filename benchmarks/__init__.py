"""Speed against peers and against a bare loop."""

import utils  # noqa: F401 - before torch: sets how threads wait
