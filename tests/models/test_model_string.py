"""The grammar: what it reads, that it reads it exactly, and how it refuses the rest."""

import subprocess
import sys
import tracemalloc

import pytest
import torch
from hypothesis import given, settings
from model_strings import model_strings

from models.model_string import parse
from models.registry import build_model
from utils.errors import UserError


@given(model_strings())
def test_round_trip(text):
    assert str(parse(text)) == text


@settings(deadline=None, max_examples=25)
@given(model_strings())
def test_network_has_the_shapes_that_the_parser_says(text):
    model = build_model(text)
    shapes = []
    for name, layer in model.layers.named_children():
        if name in parse(text).names:
            layer.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:])))
    model(torch.rand(2, 1, 28, 28))
    assert shapes == list(parse(text).shapes)


def kinds(text):
    return [type(layer).__name__ for layer in build_model(text).layers][1:]


def test_relu_stands_behind_the_batch_norm_of_a_layer_with_weights():
    assert kinds("C(4,3)-BN-P2-BN-FC8-BN-D0.5-FC10") == [
        *["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "BatchNorm2d"],
        *["Flatten", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"],
    ]
    assert kinds("BN-C(4,3,same)-A2-G-FC10") == [
        "BatchNorm2d",
        "Conv2d",
        "ReLU",
        "AvgPool2d",
        "GlobalAveragePool",
        "Linear",
    ]


def test_average_and_global_pooling_are_means():
    images = torch.rand(2, 1, 28, 28)
    pooled = build_model("A3-FC10").layers.pool1(images)  # 28 = 9 * 3 + 1: the last row is one pixel high
    torch.testing.assert_close(pooled[:, :, 9, 0], images[:, :, 27, 0:3].mean(2))
    torch.testing.assert_close(build_model("G-FC10").layers.pool1(images), images.mean((2, 3)))


def test_partial_windows_are_kept():
    assert [shape[1:] for shape in parse("C(1,3)-P2-C(1,3)-P2-FC10").shapes[:4]] == [
        (26, 26),
        (13, 13),
        (11, 11),
        (6, 6),
    ]
    pooled = build_model("C(1,3)-P2-C(1,3)-P2-FC10").layers[:7](torch.rand(1, 1, 28, 28))
    assert pooled.shape == (1, 1, 6, 6)


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("FC999999999", "character 1", "units must be from 1 to 65,536"),
        ("C(16,3)-P2-C(0,3)-FC10", "character 12", "channels must be from 1"),
        ("C(16,29)-FC10", "character 1", "the 28 x 28 that is left"),
        ("C(16,3)-P2-C(8,14)-FC10", "character 12", "the 13 x 13 that is left"),
        ("C(16,3-FC10", "character 1", "expected C(channels,kernel)"),
        ("C(16,3)--FC10", "character 9", "expected C(channels,kernel)"),
        ("FC10-C(16,3)", "character 6", "only fully connected"),
        ("FC10-P2", "character 6", "only fully connected"),
        ("C(08,3)-FC10", "character 1", "expected C(channels,kernel)"),
        ("C(8,0)-FC10", "character 1", "kernel must be from 1"),
        ("P0-FC10", "character 1", "pool must be from 1"),
        ("C(8,4,same)-FC10", "character 1", "the kernel must be odd"),
        ("C(8,3,valid)-FC10", "character 1", "expected C(channels,kernel)"),
        ("D1.5-FC10", "character 1", "expected C(channels,kernel)"),
        ("C(8,3)-G-P2-FC10", "character 10", "only fully connected"),
        ("FC10-BN", "", "the last layer must be FC10"),
        ("P29-FC10", "character 1", "the 28 x 28 that is left"),
        ("FC20000-FC20000-FC10", "character 9", "parameters up to here"),
        ("C(65536,1)-FC10", "character 1", "values a digit"),
        ("FC128", "", "the last layer must be FC10"),
        ("C(16,3)-P2", "", "the last layer must be FC10"),
        ("", "character 1", "expected C(channels,kernel)"),
        ("-".join(["P1"] * 101 + ["FC10"]), "character 301", "more than 100 layers"),
        ("FC" + "9" * 5000, "character 1", "expected C(channels,kernel)"),
        ("c(16,3)-fc10", "character 1", "expected C(channels,kernel)"),
    ],
)
def test_refused_with_place_and_reason(text, place, reason):
    with pytest.raises(UserError) as error:
        parse(text)
    assert place in str(error.value) and reason in str(error.value)
    assert len(str(error.value)) < 400


def test_absurd_string_takes_no_memory():
    tracemalloc.start()
    with pytest.raises(UserError):
        build_model("FC999999999-FC10")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6


def test_parsing_knows_no_torch():
    code = "import sys, models.model_string as m; m.parse('C(8,5)-P2-FC10'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
