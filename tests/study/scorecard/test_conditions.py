"""Conditions of use: what each does to an image, and the pictures of real handwriting."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from study.scorecard import FULL, METRICS
from study.scorecard.conditions import CONDITIONS
from study.scorecard.evaluator import Evaluator
from utils.data import ImageSet

CPU = torch.device("cpu")


@pytest.fixture
def bar():
    """A vertical bar, four pixels wide and 20 long."""
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 4:24, 12:16] = 255
    return image


def changed(name, images):
    return CONDITIONS[name][1](images)


def test_every_condition_is_in_the_full_scorecard():
    assert {f"condition_{name}" for name in CONDITIONS} | {"pictures_accuracy"} <= set(FULL)


def test_grey_levels(bar):
    ink, paper = (0, 10, 13), (0, 0, 0)
    levels = {name: (int(changed(name, bar)[ink]), int(changed(name, bar)[paper])) for name in CONDITIONS}
    assert levels["inverted"] == (0, 255)
    assert levels["grey_paper"] == (255, 102)
    assert levels["low_contrast"] == (76, 0)  # 0.3 of 255, rounded to even
    assert levels["framed"] == (255, 255)


def test_strokes_lose_and_gain_two_pixels(bar):
    assert (changed("thin_strokes", bar)[0] > 0).sum() == 18 * 2
    assert (changed("thick_strokes", bar)[0] > 0).sum() == 22 * 6


def test_a_frame_is_one_pixel_wide(bar):
    framed = changed("framed", bar)[0]
    assert torch.equal(framed[1:-1, 1:-1], bar[0, 1:-1, 1:-1]) and (framed == 255).sum() == 80 + 27 * 4


def test_the_occluding_square_lies_in_the_box_of_the_digit():
    white = torch.full((300, 28, 28), 255, dtype=torch.uint8)
    occluded = changed("occluded", white) == 0
    assert (occluded.flatten(1).sum(1) == 64).all()
    rows, columns = occluded.any(2).any(0).nonzero()[:, 0], occluded.any(1).any(0).nonzero()[:, 0]
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 23, 4, 23)
    assert torch.equal(occluded, changed("occluded", white) == 0)  # the same squares for every network


def test_low_resolution_keeps_the_ink_but_not_the_details(bar):
    coarse = changed("low_resolution", bar)[0].float()
    assert coarse.sum() == pytest.approx(float(bar.float().sum()), rel=0.2)  # clipped at 0
    assert coarse[12, 10] > 20  # beside the bar


class WidthNet(nn.Module):
    """Predicts 1 for a narrow digit, else 0."""

    def forward(self, pixels):
        width = (pixels[:, 0].amax(1) > 0.3).sum(1)
        return torch.eye(10)[(width < 10).long()]


def save_picture(path, box):
    picture = Image.new("L", (100, 110), 255)
    ImageDraw.Draw(picture).rectangle(box, outline=0, width=4)
    picture.save(path)


def test_pictures_of_real_handwriting(home):
    metric, evaluator = METRICS["pictures_accuracy"], Evaluator(WidthNet(), CPU)
    assert "data/handwritten_images" in metric.measure(evaluator).missing
    folder = home / "data" / "handwritten_images"
    folder.mkdir(parents=True)
    save_picture(folder / "a.png", (48, 20, 52, 90))
    save_picture(folder / "b.png", (20, 20, 80, 90))
    (folder / "c.png").write_bytes(b"no picture")
    assert "labels.csv" in metric.measure(evaluator).missing
    (folder / "labels.csv").write_text("file,label,kind\na.png,1,pen\nb.png,0,pen\nc.png,0,damaged\n")
    result = metric.measure(evaluator)
    assert (result.value, result.n) == (pytest.approx(2 / 3), 3)  # a picture without a digit is an error
    assert result.ci_low < result.value < result.ci_high
    assert metric.input_files() == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize(
    "content", ["", "file,label\n", "file,label\nd.png,1\n", "file,label\na.png,ten\n", "a,b\n1,2\n"]
)
def test_labels_in_another_form_are_a_missing_metric(home, content):
    folder = home / "data" / "handwritten_images"
    folder.mkdir(parents=True)
    save_picture(folder / "a.png", (48, 20, 52, 90))
    (folder / "labels.csv").write_text(content)
    missing = METRICS["pictures_accuracy"].measure(Evaluator(WidthNet(), CPU)).missing
    assert "labels.csv" in missing and "file,label" in missing


@pytest.mark.real_mnist
def test_a_real_network_fails_where_users_would_not(quick_run, real_mirror):
    from models import load_trained

    evaluator = Evaluator(load_trained(quick_run), CPU, quick_run)
    whole = evaluator.test_set
    part = torch.arange(0, len(whole), 10)
    evaluator.test_set = ImageSet("part", whole.images[part], whole.labels[part], writers=whole.writers[part])
    value = {name: METRICS[f"condition_{name}"].measure(evaluator).value for name in CONDITIONS}
    assert value["inverted"] < 0.6 and value["thin_strokes"] < 0.8
    assert value["thick_strokes"] > 0.85 and value["framed"] > 0.9
    assert np.isclose(METRICS["test_accuracy"].measure(evaluator).value, 0.99, atol=0.01)
