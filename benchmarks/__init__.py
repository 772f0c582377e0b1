"""Measurements of speed and accuracy: this platform, other frameworks, and a bare loop."""

import utils  # noqa: F401 - before torch: it sets how torch's threads wait
