"""Networks: [0, 1] pixels (N, 1, 28, 28) in, logits (N, 10) out. They know torch and nothing of training."""

import utils  # noqa: F401 - before torch: sets how threads wait
