"""The from-scratch functions in docs/techniques.md give the same results as PyTorch."""

import math
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from utils.files import PROJECT_FOLDER


@pytest.fixture(scope="module")
def from_scratch():
    """The functions of the document."""
    text = (PROJECT_FOLDER / "docs" / "techniques.md").read_text()
    names = {"torch": torch, "F": F, "math": math}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, names)
    return names


def test_batch_norm_equals_torchs_in_training_and_evaluation(from_scratch):
    layer = nn.BatchNorm2d(5).double()
    layer.weight.data, layer.bias.data = torch.rand(5).double(), torch.rand(5).double()
    mean, variance = torch.zeros(5).double(), torch.ones(5).double()
    for training in (True, True, False):
        x = torch.randn(8, 5, 6, 7).double().requires_grad_()
        layer.train(training)
        ours = from_scratch["batch_norm"](x, layer.weight, layer.bias, mean, variance, training)
        theirs = layer(x)
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(
            torch.autograd.grad((ours**2).sum(), x), torch.autograd.grad((theirs**2).sum(), x), atol=1e-9, rtol=1e-7
        )
        torch.testing.assert_close(mean, layer.running_mean)
        torch.testing.assert_close(variance, layer.running_var)


def test_dropout_keeps_and_scales_as_torchs(from_scratch):
    x = torch.rand(1000, 50)
    dropped = from_scratch["dropout"](x, 0.4, training=True)
    stays = dropped != 0
    torch.testing.assert_close(dropped[stays], x[stays] / 0.6)
    assert stays.float().mean().item() == pytest.approx(0.6, abs=0.01)
    torch.manual_seed(0)
    theirs = F.dropout(torch.ones(1000, 50), 0.4)
    assert (
        theirs.max().item()
        == pytest.approx(1 / 0.6)
        == from_scratch["dropout"](torch.ones(9, 9), 0.4, True).max().item()
    )
    assert torch.equal(from_scratch["dropout"](x, 0.4, training=False), x)


@pytest.mark.parametrize(
    ("degrees", "right", "down"), [(0, 0, 0), (90, 0, 0), (0, 2, -3), (12.5, 0.75, -1.25), (-200, 5, 9)]
)
def test_rotation_and_shift_equal_grid_sample(from_scratch, digits, degrees, right, down):
    image = digits.images[5].double() / 255
    angle = math.radians(degrees)
    rotation = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]).double()
    shift = -rotation @ torch.tensor([2 * right / 28, 2 * down / 28]).double()
    grid = F.affine_grid(torch.cat([rotation, shift[:, None]], 1)[None], [1, 1, 28, 28], align_corners=False)
    theirs = F.grid_sample(image[None, None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0, 0]
    torch.testing.assert_close(from_scratch["turn_and_move"](image, degrees, right, down), theirs, atol=1e-6, rtol=0)
    if degrees == 90:
        torch.testing.assert_close(theirs, image.rot90(-1), atol=1e-6, rtol=0)  # clockwise
