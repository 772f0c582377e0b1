"""The grammar of model strings: round trip, shapes, layers, and messages for invalid strings."""

import tracemalloc

import pytest
import torch
from hypothesis import given, settings
from model_strings import model_strings

from models import build_model, num_parameters
from models.model_string import parse
from utils.errors import UserError


@settings(deadline=None)
@given(model_strings())
def test_round_trip(text):
    assert str(parse(text)) == text


@settings(deadline=None, max_examples=25)
@given(model_strings())
def test_network_has_the_shapes_and_parameters_of_the_parser(text):
    model = build_model(text)
    shapes = []
    for name, layer in model.layers.named_children():
        if name in parse(text).names:
            layer.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:])))
    model(torch.rand(2, 1, 28, 28))
    parsed = parse(text)
    assert shapes == list(parsed.shapes)
    counts = [layer.num_parameters(inputs) for layer, inputs in zip(parsed.layers, parsed.input_shapes, strict=True)]
    assert num_parameters(model) == sum(counts)


def kinds(text):
    return [type(layer).__name__ for layer in build_model(text).layers][1:]


def test_relu_follows_the_batch_norm_of_a_layer_with_weights():
    assert kinds("C(4,3)-BN-P2-BN-FC8-BN-D0.5-FC10") == [
        *["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "BatchNorm2d"],
        *["Flatten", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"],
    ]
    assert kinds("C(4,3)-BN-BN-G-FC10") == [
        *["Conv2d", "BatchNorm2d", "ReLU", "BatchNorm2d", "GlobalAveragePool", "Linear"],
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


def test_names_count_positions():
    names = ("conv1", "norm2", "pool3", "dropout4", "pool5", "fc6", "logits")
    assert parse("C(4,3)-BN-P2-D0.5-G-FC8-FC10").names == names
    assert set(names) < {name for name, _ in build_model("C(4,3)-BN-P2-D0.5-G-FC8-FC10").layers.named_children()}


def test_pooling_includes_partial_windows():
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
        ("C(16,29)-FC10", "character 1", "the remaining 28 x 28"),
        ("C(16,3)-P2-C(8,14)-FC10", "character 12", "the remaining 13 x 13"),
        ("C(16,3-FC10", "character 1", "expected one of C(channels,kernel), P2"),
        ("C(16,3)--FC10", "character 9", "expected one of C(channels,kernel), P2"),
        ("FC10-C(16,3)", "character 6", "only fully connected"),
        ("FC10-P2", "character 6", "only fully connected"),
        ("C(08,3)-FC10", "character 1", "expected one of C(channels,kernel), P2"),
        ("C(8,0)-FC10", "character 1", "kernel must be from 1"),
        ("P0-FC10", "character 1", "pool must be from 1"),
        ("C(8,4,same)-FC10", "character 1", "the kernel must be odd"),
        ("C(8,3,valid)-FC10", "character 1", "expected one of C(channels,kernel), P2"),
        ("D1.5-FC10", "character 1", "expected one of C(channels,kernel), P2"),
        ("C(8,3)-G-P2-FC10", "character 10", "only fully connected"),
        ("FC10-BN", "", "ends in BN: expected FC10"),
        ("P29-FC10", "character 1", "the remaining 28 x 28"),
        ("FC20000-FC20000-FC10", "character 9", "parameters up to this layer"),
        ("C(65536,1)-FC10", "character 1", "activations per image"),
        ("C(16,3)-P2", "", "ends in P2: expected FC10"),
        ("", "character 1", "expected one of C(channels,kernel), P2"),
        ("-".join(["P1"] * 101 + ["FC10"]), "character 301", "more than 100 layers"),
        ("FC" + "9" * 5000, "character 1", "expected one of C(channels,kernel), P2"),
        ("c(16,3)-fc10", "character 1", "expected one of C(channels,kernel), P2"),
    ],
)
def test_invalid_string_is_refused_with_position_and_reason(text, place, reason):
    with pytest.raises(UserError) as error:
        parse(text)
    assert place in str(error.value) and reason in str(error.value)
    assert len(str(error.value)) < 400


def test_huge_network_is_refused_without_allocating_it():
    tracemalloc.start()
    with pytest.raises(UserError):
        build_model("FC999999999-FC10")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6
