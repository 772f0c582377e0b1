"""From a recipe to a finished run: the training loop, the registered recipes, and `train`."""

import utils  # noqa: F401 - before torch: sets how CPU threads wait
from trainers.generic_trainers.basic_trainer import BasicTrainer
from trainers.train import resume, train, train_seeds
from utils.recipe import Execution, Recipe

__all__ = ["BasicTrainer", "Execution", "Recipe", "resume", "train", "train_seeds"]
