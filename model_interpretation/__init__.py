"""Reads runs, and shows what their networks do."""

import utils  # noqa: F401 - before torch: sets how threads wait
