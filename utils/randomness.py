"""All randomness as a function of (seed, epoch, purpose), so that no generator's state need ever be saved."""

from typing import Literal

import numpy as np

Purpose = Literal["initialisation", "order", "augmentation", "dropout"]


def random_seed(seed: int, epoch: int, purpose: Purpose) -> int:
    """A 64-bit seed for one purpose in one epoch. Epochs count from 1; the initialisation is epoch 0.

    Nearby arguments give unrelated seeds (NumPy's SeedSequence, after O'Neill 2015).
    """
    sequence = np.random.SeedSequence([seed, epoch, *purpose.encode()])
    return int(sequence.generate_state(1, np.uint64)[0])
