"""Statistics equal hand-computed ones, figures show the data, and the command writes both."""

import json

import numpy as np
import pytest
import torch

from data_inspection import figures
from data_inspection.display_digit import display_digit
from data_inspection.inspect_dataset import add_statistics
from data_inspection.statistics import (
    describe_dataset,
    describe_duplicates,
    describe_writers,
    measure_shapes,
    neighbour_distances,
    statistics_table,
    summary_text,
    typical_and_unusual,
)
from utils.data import ImageSet, load_dataset


def images_of(*boxes):
    """Images with one bright rectangle each: top, left, height, width."""
    images = np.zeros((len(boxes), 28, 28), np.uint8)
    for image, (top, left, height, width) in zip(images, boxes, strict=True):
        image[top : top + height, left : left + width] = 200
    return images


def test_boxes_and_centres_of_rectangles():
    shapes = measure_shapes(images_of((4, 9, 20, 10), (0, 0, 28, 28), (0, 0, 1, 1)))
    assert shapes.height.tolist() == [20, 28, 1]
    assert shapes.width.tolist() == [10, 28, 1]
    assert shapes.longer_side.tolist() == [20, 28, 1]
    np.testing.assert_allclose(shapes.centre_x, [0, 0, -13.5], atol=1e-5)
    np.testing.assert_allclose(shapes.centre_y, [0, 0, -13.5], atol=1e-5)
    assert shapes.off_centre[2] == pytest.approx(13.5 * 2**0.5)


def test_the_lean_of_a_slanted_line():
    image = np.zeros((1, 28, 28), np.uint8)
    for row in range(4, 24):
        image[0, row, 20 - row // 2] = 255  # two rows down, one column to the left: leans right by arctan(1/2)
    lean = np.degrees(np.arctan(0.5))
    assert measure_shapes(image).lean_degrees[0] == pytest.approx(lean, abs=0.5)
    assert measure_shapes(image[:, :, ::-1].copy()).lean_degrees[0] == pytest.approx(-lean, abs=0.5)


def test_an_image_without_ink_has_no_centre_and_no_lean():
    shapes = measure_shapes(np.zeros((1, 28, 28), np.uint8))
    assert (shapes.height[0], shapes.width[0]) == (0, 0)
    assert np.isnan(shapes.centre_x[0]) and np.isnan(shapes.lean_degrees[0])


def small_set(boxes, labels, name="toy/train"):
    return ImageSet(name, torch.from_numpy(images_of(*boxes)), torch.tensor(labels))


def test_the_description_of_three_rectangles():
    train = small_set([(4, 4, 20, 20), (4, 4, 20, 10), (4, 9, 20, 10)], [0, 1, 1])
    description = describe_dataset(train, train)
    split = description["splits"]["train"]
    ink = (400 + 200 + 200) / (3 * 784)
    assert split["num_digits"] == 3
    assert split["ink_share"] == pytest.approx(ink)
    assert split["pixel_mean"] == pytest.approx(ink * 200 / 255)
    pixels = train.images.double() / 255
    assert split["pixel_std"] == pytest.approx(pixels.std(correction=0).item())
    assert split["width"]["mean"] == pytest.approx(40 / 3)
    assert split["share_with_longer_side_20"] == 1.0
    assert split["share_within_1_px_of_middle"] == pytest.approx(2 / 3)
    assert split["classes"]["1"]["num_digits"] == 2 and split["classes"]["7"]["width"] is None
    text = summary_text("toy", description) + statistics_table(description)
    assert "100.0% have exactly 20 px" in text and "train all" in text


def test_duplicates_are_counted_within_and_between_splits():
    box = (4, 4, 20, 20)
    train = small_set([box, box, (5, 5, 3, 3)], [0, 1, 2])
    test = small_set([box, (6, 6, 2, 2), (6, 6, 2, 2)], [0, 3, 3])
    assert describe_duplicates(train, test) == {
        "within_train": 1,
        "within_test": 1,
        "test_digits_also_in_train": 1,
        "images_with_two_labels": 1,
    }


def test_writers_are_counted():
    assert describe_writers(np.array([7, 7, 7, 9])) == {
        "num_writers": 2,
        "digits_per_writer_mean": 2.0,
        "digits_per_writer_min": 1,
        "digits_per_writer_max": 3,
    }


def test_the_image_unlike_its_class_is_the_most_unusual():
    boxes = [(4, 9 + shift % 2, 20, 10) for shift in range(12)] + [(0, 0, 5, 28)]
    image_set = small_set(boxes, [3] * 13)
    distances = neighbour_distances(image_set)
    assert int(distances.argmax()) == 12
    typical, unusual = typical_and_unusual(image_set, 2)
    assert unusual[3][0] == 12 and 12 not in typical[3].tolist() and len(typical[3]) == 2
    assert len(typical) == 10 and len(typical[0]) == 0


def test_the_only_image_of_a_class_has_distance_0():
    assert neighbour_distances(small_set([(4, 4, 20, 20)], [0])).tolist() == [0.0]


def test_examples_are_ordered_by_class_and_always_the_same(digits):
    chosen = figures.examples_per_class(digits, 10)
    assert [digits.labels[indices].tolist() for indices in chosen] == [[label] * 10 for label in range(10)]
    again = figures.examples_per_class(digits, 10)
    assert all(torch.equal(one, other) for one, other in zip(chosen, again, strict=True))


def test_classes_with_few_images_have_rows_of_their_own():
    few = small_set([(4, 4, 20, 20)] * 4, [0, 0, 0, 2])
    grid = figures.examples_figure(few, per_class=10, columns=10).axes[0].images[0].get_array()
    assert (np.nan_to_num(grid) > 0).any(axis=1).sum() == 2 * 20  # rows 0 and 2 have ink, each 20 pixels high
    figure = figures.extremes_figure(few, *typical_and_unusual(few, 5))
    assert [text.get_text() for text in figure.axes[0].texts if text.get_text()] != []


def test_the_label_distribution_shows_the_counts(digits, few_digits):
    left, right = figures.label_distribution_figure(digits, few_digits).axes
    assert [bar.get_height() for bar in left.patches] == digits.labels.bincount().tolist()
    assert [bar.get_height() for bar in right.patches] == few_digits.labels.bincount(minlength=10).tolist()
    assert [text.get_text() for text in left.texts] == [f"{count:,}" for count in digits.labels.bincount().tolist()]


def test_every_pixel_value_is_shown(digits):
    texts = figures.example_figure(digits, 3).axes[0].texts
    assert [int(text.get_text()) for text in texts] == digits.images[3].flatten().tolist()


def test_mean_and_deviation_are_shown_for_each_class(digits):
    mean, deviation, *_ = figures.mean_and_deviation_figure(digits).axes
    pixels = digits.images[digits.labels == 3].double() / 255
    tile = slice(3 * 28, 4 * 28)
    np.testing.assert_allclose(mean.images[0].get_array()[:, tile], pixels.mean(0), atol=1e-5)
    np.testing.assert_allclose(deviation.images[0].get_array()[:, tile], pixels.std(0, correction=0), atol=1e-5)
    assert deviation.images[0].get_clim()[1] < 0.6  # a scale of its own


def test_display_writes_the_picture_and_says_the_label(home, digits, capsys):
    for index in range(20):
        display_digit("digits", "train", index, home / "out")
        name = digits.class_names[digits.labels[index]]
        assert f"train digit no. {index}: {'an' if name == '8' else 'a'} {name}" in capsys.readouterr().out
        assert (home / "out" / f"digits-train-{index}.png").exists()


def test_inspect_writes_statistics_and_figures(command, home):
    code, printed, error = command("inspect", "--dataset", "digits", "--output", str(home / "out"))
    assert code == 0, error
    assert "test all" in printed and "centring" in printed and "writers" not in printed
    statistics = json.loads((home / "out" / "statistics.json").read_text())["digits"]
    assert sum(part["num_digits"] for part in statistics["splits"]["train"]["classes"].values()) == 1438
    figures = {path.stem for path in (home / "out").iterdir() if path.suffix in (".png", ".svg")}
    assert figures == {
        f"digits_{name}"
        for name in (
            "digits_grid_10ex", "digits_grid_100ex", "label_distribution", "mean_and_deviation",
            "ink", "centring", "size", "slant", "typical_and_unusual", "pixel_values",
        )
    }  # fmt: skip
    page = (home / "out" / "digits.html").read_text()
    assert "Data set digits" in page and "1,438" in page and 'class="matrix counts few"' in page
    assert (home / "out" / "digits.html").stat().st_size <= 5_000_000
    assert all(path.stat().st_size <= 300_000 for path in (home / "out").glob("*.*g"))
    assert "mnist embeddings" in page and "label-errors" not in page  # nothing studied yet; label errors are MNIST's


def test_statistics_of_several_data_sets_share_a_file(home):
    add_statistics(home / "statistics.json", "one", {"a": 1})
    add_statistics(home / "statistics.json", "two", {"b": 2})
    assert json.loads((home / "statistics.json").read_text()) == {"one": {"a": 1}, "two": {"b": 2}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "emnist"], "unknown data set"),
        (["--dataset", "csv:nowhere.csv"], "nowhere.csv"),
        (["--data", "mnist"], "--data"),
        (["--dataset", "digits", "--output", "/proc/nowhere"], "/proc/nowhere"),
        (["--dataset"], "--dataset"),
    ],
)
def test_bad_input_is_refused(command, arguments, message):
    code, _, error = command("inspect", *arguments)
    assert code == 2 and message in error and len(error.splitlines()) <= 2


@pytest.mark.real_mnist
def test_real_mnist_is_centred_and_written_by_539_people(real_mirror):
    train = load_dataset("mnist", "train")
    shapes = measure_shapes(train.images.numpy())
    assert (shapes.longer_side == 20).mean() > 0.999
    assert shapes.off_centre.max() < 1.5
    assert describe_writers(train.writers.numpy())["num_writers"] == 539
