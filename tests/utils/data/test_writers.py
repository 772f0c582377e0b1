"""Validation by writers: no writer on both sides, balanced, and harder than a random split."""

import numpy as np
import pytest
import torch

from utils.data import ImageSet, load_training_sets
from utils.data.splits import stratified_sample, writer_split
from utils.data.writers import held_out_writers, is_student, mnist_writers
from utils.errors import UserError
from utils.evaluation import predict
from utils.predictions import load_predictions


def written_set(num_writers=40, per_writer=30, num_classes=10):
    """Random images by writers who write all classes equally often."""
    labels = torch.arange(num_writers * per_writer) % num_classes
    writers = torch.arange(num_writers * per_writer) // per_writer
    images = torch.randint(0, 256, (len(labels), 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageSet("written", images, labels, writers=writers)


@pytest.mark.parametrize("held_out", [0.25, 300])
def test_no_writer_is_on_both_sides(held_out):
    whole = written_set()
    remaining, held = writer_split(whole, held_out, ("remaining", "held"))
    assert (len(remaining), len(held), held.name) == (900, 300, "held")
    assert set(remaining.writers.tolist()).isdisjoint(held.writers.tolist())
    assert held.labels.bincount().tolist() == [30] * 10
    again = writer_split(whole, held_out, ("remaining", "held"))[1]
    assert torch.equal(held.images, again.images)


@pytest.mark.parametrize("held_out", [0.0001, 1200, 10**9])
def test_impossible_sizes_are_refused(held_out):
    with pytest.raises(UserError, match=r"cannot hold .* of written.*\nChoose another\nOr choose --validation random"):
        writer_split(written_set(), held_out, ("a", "b"), advice="Choose another")


def test_a_class_of_a_single_writer_cannot_be_on_both_sides():
    whole = written_set()
    alone = ImageSet("written", whole.images, whole.writers % 10, writers=whole.writers % 10)
    with pytest.raises(UserError, match="expected at least one of each class in both parts"):
        writer_split(alone, 300, ("a", "b"))


def test_unknown_writers_are_refused():
    whole = written_set()
    with pytest.raises(UserError, match="the writers of written are unknown: expected validation=random"):
        writer_split(ImageSet("written", whole.images, whole.labels), 100, ("a", "b"))


def test_writers_follow_their_images():
    whole = written_set()
    assert whole.subset(torch.tensor([31, 0, 95]), "some").writers.tolist() == [1, 0, 3]
    assert len(stratified_sample(whole, 100).writers) == 100


def test_predictions_keep_the_writers(tmp_path):
    whole = written_set().subset(torch.arange(60), "some")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    predict(network, whole).save(tmp_path / "test.npz")
    assert load_predictions(tmp_path / "test.npz").writers.tolist() == whole.writers.tolist()


def test_the_writers_of_mnist_need_no_files():
    train, test = mnist_writers("train"), mnist_writers("test")
    assert (len(train), len(np.unique(train))) == (60_000, 539)
    assert (len(test), len(np.unique(test))) == (10_000, 297)
    assert not np.isin(test, train).any()
    assert is_student(test)[:5_000].all() and is_student(test)[5_000:].sum() == 1  # students wrote the first half


@pytest.mark.real_mnist
def test_the_default_validation_digits_of_mnist_are_5000_by_other_writers(real_mirror):
    train, validation = load_training_sets("mnist", 1 / 12)
    assert (len(train), len(validation)) == (55_000, 5_000)
    assert set(train.writers.tolist()).isdisjoint(validation.writers.tolist())
    whole = torch.cat([train.labels, validation.labels]).bincount() / 12
    assert (validation.labels.bincount() - whole).abs().max() < 0.05 * 500
    students = is_student(validation.writers.numpy()).mean()
    assert students == pytest.approx(is_student(mnist_writers("train")).mean(), abs=0.03)


@pytest.mark.real_mnist
def test_new_writers_are_harder_than_known_ones(real_mirror):
    """The nearest training digit, in 50 principal components, is often by the writer himself if he is known."""
    errors = {}
    for validation in ("writers", "random"):
        train, held = load_training_sets("mnist", 5000, validation=validation)
        pixels, queries = (part.images.flatten(1).float() / 255 for part in (train, held))
        axes = torch.linalg.eigh(torch.cov(pixels.T))[1][:, -50:]
        points, queries = pixels @ axes, queries @ axes
        norms = points.square().sum(1) / 2
        nearest = torch.cat([(part @ points.T - norms).argmax(1) for part in queries.split(500)])
        errors[validation] = float((train.labels[nearest] != held.labels).float().mean())
    assert errors["writers"] > errors["random"] + 0.004, errors


def test_held_out_writers_are_the_same_for_a_seed():
    writers, labels = np.arange(600) // 20, np.arange(600) % 10
    first, second, other = (held_out_writers(writers, labels, 100, seed) for seed in (0, 0, 1))
    assert (first == second).all() and not (first == other).all() and first.sum() == 100
