"""Data sets, splits, batches, augmentation, preprocessing of pictures, and MNIST-C."""

from utils.data.datasets import ImageSet, load_dataset, load_training_sets

__all__ = ["ImageSet", "load_dataset", "load_training_sets"]
