"""Trained networks out of run folders."""

from collections.abc import Sequence

import torch
from torch import nn

from models.ensemble import Ensemble
from models.registry import build_model
from utils.checkpoints import load_checkpoint, load_weights
from utils.devices import memory_format
from utils.run_folder import RunFolder
from utils.threads import use_threads

BEST_KEYS = {"epoch", "model"}


def load_trained(run: RunFolder, device: torch.device | None = None, num_threads: int | None = None) -> nn.Module:
    """The network of a run with the weights of its judged epoch, in eval mode, on the CPU unless said otherwise.

    Convolutional networks are in channels_last, in which they answer two to three times as quickly on a CPU.

    Sets torch's number of threads, by default as training does (utils/threads.py).

    Raises UserError where the run has none yet or its files are damaged.
    """
    checkpoint = load_checkpoint(run.best_checkpoint, BEST_KEYS)
    model = build_model(run.config()["model"])
    load_weights(model, checkpoint["model"], run.best_checkpoint)
    use_threads(model, num_threads)
    return model.to(device or "cpu").to(memory_format=memory_format(model)).eval()


def load_together(runs: Sequence[RunFolder], device: torch.device | None = None) -> nn.Module:
    """The networks of these runs as one that answers with the mean of their probabilities. Raises as `load_trained`."""
    models = [load_trained(run, device) for run in runs]
    model = models[0] if len(models) == 1 else Ensemble(models).eval()
    use_threads(model)
    return model
