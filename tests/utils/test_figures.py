"""Figures show every digit, count and weight they are given."""

import itertools

import numpy as np
import pytest
import torch

from utils.figures import (
    MAX_PICTURE_BYTES,
    as_png,
    digit_grid_figure,
    even_lines,
    filters_figure,
    predictions_figure,
    terminal_picture,
)
from utils.predictions import Predictions
from utils.statistical_figures import confusion_matrix_figure

LONG_NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def test_confusion_matrix_shows_the_counts():
    predictions = Predictions(np.eye(10, dtype=np.float32)[[0, 1, 1, 2, 2]], np.array([0, 0, 1, 2, 2]))
    axes = confusion_matrix_figure(predictions, ("zero", "one", "two"), "mnist/test").axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["1", "1", "", "", "1", "", "", "", "2"]  # row by row
    assert (
        axes.figure.get_suptitle().replace("\n", " ") == "mnist/test: 1 of 5 wrong; most often zero read as one (once)"
    )
    assert [label.get_text() for label in axes.get_xticklabels()] == ["zero", "one", "two"]


def test_long_class_names_do_not_overlap():
    predictions = Predictions(np.eye(10, dtype=np.float32), np.arange(10))
    figure = confusion_matrix_figure(predictions, LONG_NAMES, "fashion_mnist/test")
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


@pytest.mark.parametrize("names", [("a" * 200, "b" * 200), tuple(f"{number} {'c' * 200}" for number in range(26))])
def test_the_confusion_matrix_has_room_for_few_many_and_very_long_classes(names):
    predictions = Predictions(np.eye(len(names), dtype=np.float32), np.arange(len(names)))
    figure = confusion_matrix_figure(predictions, names, "toy/test")
    figure.canvas.draw()
    axes = figure.axes[0]
    assert axes.get_window_extent().width > 0.5 * figure.bbox.width
    boxes = [text.get_window_extent() for text in axes.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_a_mistake_is_shown_with_its_index(few_digits):
    predictions = Predictions(np.eye(10, dtype=np.float32)[[3] * len(few_digits)], few_digits.labels.numpy())
    mistakes = predictions.worst_mistakes(4)
    texts = predictions_figure(predictions, mistakes, few_digits).axes[0].texts
    expected = [f"no. {index}\n{few_digits.labels[index]} ≠ 3, 23%" for index in mistakes]
    assert [text.get_text() for text in texts] == expected


def test_the_lines_of_a_title_are_about_equally_long_and_units_stay_beside_numbers():
    title = "mnist/train: 99% of the images are centred within 1.32 px"
    assert even_lines(title, 53) == ["mnist/train: 99% of the images", "are centred within 1.32 px"]
    label = "fast_conv, rotation degrees 0, translation pixels 0"
    assert even_lines(label, 50) == ["fast_conv, rotation degrees 0,", "translation pixels 0"]
    assert even_lines(title, 80) == [title] and even_lines("", 10) == []
    assert max(map(len, even_lines("C(8,5)-P2-C(16,3)", 5))) <= 5


@pytest.mark.parametrize("count", [1, 3, 8, 13])
def test_digit_grid_shows_each_digit_with_its_caption(few_digits, count):
    captions = [f"digit {number}" for number in range(count)]
    axes = digit_grid_figure(few_digits.images[:count], captions).axes[0]
    assert [text.get_text() for text in axes.texts] == captions
    canvas = np.nan_to_num(np.asarray(axes.images[0].get_array(), dtype=np.float64))
    assert canvas.sum() == pytest.approx(few_digits.images[:count].double().sum().item() / 255, rel=1e-5)


def test_filters_share_one_colour_scale():
    image = filters_figure(np.array([[[1.0, -3.0]], [[2.0, 0.5]]], dtype=np.float32), "t").axes[0].images[0]
    assert image.get_clim() == (-3.0, 3.0)


def test_terminal_picture_without_colours_has_two_characters_per_pixel():
    image = torch.zeros(28, 28, dtype=torch.uint8)
    image[3, 2] = 255
    lines = terminal_picture(image, has_colours=False).split("\n")
    assert len(lines) == 28 and lines[3] == "    @@" and not "".join(lines[:3] + lines[4:])


def test_a_picture_of_many_digits_stays_small():
    noise = torch.randint(0, 256, (512, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert len(as_png(digit_grid_figure(noise))) <= MAX_PICTURE_BYTES
