"""From a recipe to a run: the training loop and its parts."""
