"""Devices, evaluation, statistics, randomness, figures, errors: each on a case that can be checked by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from models.registry import build_model
from utils import devices
from utils.answers import Answers
from utils.errors import UserError, exit_on_user_error
from utils.evaluation import predict_logits, score
from utils.figures import confusion_matrix_figure, digit_grid_figure, filters_figure
from utils.public_sets import PUBLIC_SETS
from utils.randomness import random_seed

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "tpu", "", "meta", "cpu:0:1"])
def test_device_that_is_not_here(name):
    with pytest.raises(UserError, match="is not on this machine"):
        devices.choose_device(name)


def test_auto_is_the_first_available(monkeypatch):
    assert devices.choose_device("cpu") == CPU
    monkeypatch.setattr(devices, "available_devices", lambda: ["cpu"])
    assert devices.choose_device("auto") == CPU


@pytest.mark.parametrize(
    ("name", "model", "fast", "expected"),
    [
        ("auto", "standard_conv", True, "bf16"),
        ("auto", "standard_conv", False, "fp32"),
        ("auto", "standard_fc", True, "fp32"),
        ("bf16", "standard_fc", True, "bf16"),
        ("fp32", "standard_conv", True, "fp32"),
    ],
)
def test_precision_follows_hardware_and_network(monkeypatch, name, model, fast, expected):
    monkeypatch.setattr(devices, "has_fast_bf16", lambda _: fast)
    assert devices.choose_precision(name, CPU, build_model(model)) == expected


def test_bf16_is_refused_where_it_would_be_emulated(monkeypatch):
    monkeypatch.setattr(devices, "has_fast_bf16", lambda _: False)
    with pytest.raises(UserError, match="'bf16'"):
        devices.choose_precision("bf16", CPU, build_model("standard_conv"))


def test_score_by_hand():
    logits = torch.tensor([[2.0] + [0.0] * 9, [0.0] * 9 + [1.0]])
    result = score(logits, torch.tensor([0, 3]))
    assert (result.num_digits, result.num_correct, result.accuracy) == (2, 1, 0.5)
    by_hand = (-math.log(math.exp(2) / (math.exp(2) + 9)) - math.log(1 / (math.exp(1) + 9))) / 2
    assert result.loss == pytest.approx(by_hand)


class CountBatches(nn.Module):
    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, images):
        assert not self.training and images.dtype == torch.float32 and images.max() <= 1
        self.sizes.append(len(images))
        return images.sum(dim=(1, 2, 3))[:, None].repeat(1, 10)


def test_prediction_keeps_order_and_mode(few_digits):
    model = CountBatches().train()
    images = few_digits.images.repeat(6, 1, 1)[:1100]
    logits = predict_logits(model, images, CPU)
    torch.testing.assert_close(logits[:, 0], images.float().sum(dim=(1, 2)) / 255)
    assert model.sizes == [500, 500, 100] and model.training


def test_random_seeds_differ_by_seed_epoch_and_purpose():
    purposes = ("initialisation", "order", "augmentation", "dropout")
    seeds = {random_seed(s, e, p) for s in range(20) for e in range(20) for p in purposes}
    assert len(seeds) == 20 * 20 * 4
    assert random_seed(0, 1, "order") == random_seed(0, 1, "order")
    torch.manual_seed(max(seeds))  # all fit


def test_confusion_matrix_shows_the_counts():
    answers = Answers(np.eye(10, dtype=np.float32)[[0, 1, 1, 2, 2]], np.array([0, 0, 1, 2, 2]))
    axes = confusion_matrix_figure(answers, ("zero", "one", "two"), "mnist/test").axes[0]
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0, 0): "1",
        (1, 0): "1",
        (1, 1): "1",
        (2, 2): "2",
    }
    assert axes.get_title() == "mnist/test: 1 of 5 wrong"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["zero", "one", "two"]


def test_long_names_of_classes_do_not_overlap():
    names = PUBLIC_SETS["fashion_mnist"].class_names
    figure = confusion_matrix_figure(Answers(np.eye(10, dtype=np.float32), np.arange(10)), names, "fashion_mnist/test")
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


@pytest.mark.parametrize("count", [1, 3, 8, 13])
def test_digit_grid_shows_each_digit_with_its_caption(few_digits, count):
    captions = [f"digit {number}" for number in range(count)]
    axes = digit_grid_figure(few_digits.images[:count], captions).axes[0]
    assert [text.get_text() for text in axes.texts] == captions
    canvas = np.nan_to_num(np.asarray(axes.images[0].get_array(), dtype=np.float64))
    assert canvas.sum() == pytest.approx(few_digits.images[:count].double().sum().item() / 255, rel=1e-5)


def test_filters_share_one_scale():
    picture = filters_figure(np.array([[[1.0, -3.0]], [[2.0, 0.5]]], dtype=np.float32), "t").axes[0].images[0]
    assert picture.get_clim() == (-3.0, 3.0)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("what\nnext"), 2, "error: what\nnext\n"),
        (OSError(28, "No space left on device", "runs/x"), 2, "runs/x: No space left on device"),
        (OSError(30, "Read-only file system", "runs/x"), 2, "runs/x: Read-only file system"),
        (KeyboardInterrupt("go on with: x"), 130, "go on with: x"),
    ],
)
def test_what_the_command_line_says(capsys, error, code, message):
    with pytest.raises(SystemExit) as stop, exit_on_user_error():
        raise error
    printed = capsys.readouterr().err
    assert stop.value.code == code and message in printed and len(printed.splitlines()) <= 2


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), exit_on_user_error():
        raise ZeroDivisionError


def test_the_compiler_that_inductor_would_take_is_asked_for(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="there is no no-such-compiler here"):
        devices.choose_compile("inductor", CPU)
