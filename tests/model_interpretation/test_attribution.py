"""Attribution methods against hand-computed maps of a linear model, and the written pages."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from model_interpretation.attribution import attribute, load_siblings, other_seeds
from model_interpretation.attribution_methods import METHODS, PATCH_SIZE, PATCH_STRIDE, methods_for
from model_interpretation.predict import chosen_digit
from models.registry import MODELS, build_model, load_trained
from utils.data.batches import to_pixels
from utils.errors import UserError
from utils.run import Run


@pytest.fixture(scope="module")
def linear():
    """A linear model, logits W (x - mean) / std + b, and its weight of each pixel for class 4."""
    torch.manual_seed(0)
    model = build_model("linear").eval().requires_grad_(False)
    std = next(buffer for name, buffer in model.named_buffers() if name.endswith("std"))
    weights = next(parameter for parameter in model.parameters() if parameter.shape == (10, 784))
    return model, (weights[4] / std).view(28, 28)


@pytest.fixture(scope="module")
def pixels(digits):
    return to_pixels(digits.images[:1])


def attribution_map(method, model, pixels, label=4):
    return METHODS[method](model, pixels, torch.tensor([label]))[0]


def test_maps_of_a_linear_model_equal_the_hand_computed_ones(linear, pixels):
    model, weights = linear
    torch.testing.assert_close(attribution_map("saliency", model, pixels), weights.abs())
    torch.testing.assert_close(attribution_map("guided_backprop", model, pixels), weights)
    contributions = weights * pixels[0, 0]
    integrated = attribution_map("integrated_gradients", model, pixels)
    torch.testing.assert_close(integrated, contributions, atol=1e-5, rtol=1e-4)
    sums = contributions.unfold(0, PATCH_SIZE, PATCH_STRIDE).unfold(1, PATCH_SIZE, PATCH_STRIDE).sum((2, 3))
    expected, counts = torch.zeros(28, 28), torch.zeros(28, 28)
    for row in range(sums.shape[0]):
        for column in range(sums.shape[1]):
            top, left = PATCH_STRIDE * row, PATCH_STRIDE * column
            patch = np.s_[top : top + PATCH_SIZE, left : left + PATCH_SIZE]
            expected[patch] += sums[row, column]
            counts[patch] += 1
    covered = attribution_map("occlusion", model, pixels)[:24, :24]  # the last patches are cut off at the border
    torch.testing.assert_close(covered, (expected / counts)[:24, :24], atol=1e-4, rtol=1e-3)


def test_integrated_gradients_sum_to_the_difference_of_the_logits(pixels):
    torch.manual_seed(1)
    model = build_model("two_conv").eval().requires_grad_(False)
    attribution = attribution_map("integrated_gradients", model, pixels)
    difference = model(pixels)[0, 4] - model(torch.zeros_like(pixels))[0, 4]
    assert attribution.sum().item() == pytest.approx(difference.item(), abs=0.02)


@pytest.mark.parametrize("name", [*MODELS, "C(3,5)-A2-G-FC10", "BN-FC12-BN-D0.2-FC10"])
def test_methods_apply_to_every_model_and_remove_their_hooks(name, pixels):
    model = build_model(name).eval().requires_grad_(False)
    methods = methods_for(model)
    has_convolution = any(isinstance(module, torch.nn.Conv2d) for module in model.modules())
    assert ("grad_cam" in methods) == has_convolution
    for method in methods.values():
        maps = method(model, pixels.repeat(2, 1, 1, 1), torch.tensor([1, 2]))
        assert maps.shape == (2, 28, 28) and maps.isfinite().all()
    hooks = [module._forward_hooks or module._backward_hooks for module in model.modules()]
    assert not any(hooks)


def test_grad_cam_is_refused_without_a_convolution(linear, pixels):
    with pytest.raises(UserError, match="grad_cam needs a convolution"):
        attribution_map("grad_cam", linear[0], pixels)


def attribute_digit(path, index, picture, output, method="all", means=False):
    run = Run(path)
    attribute(run, load_trained(run), chosen_digit(run, "test", index, picture), output, means, method)


def test_a_digit_and_a_picture_get_pictures_and_a_page(copied_run, tmp_path, digits):
    file = tmp_path / "mine.png"
    Image.fromarray(digits.images[0].numpy()).resize((280, 280)).save(file)
    attribute_digit(copied_run, 3, None, tmp_path, means=True)
    folder = tmp_path / copied_run.name / "attribution-test-3"
    assert {path.name for path in folder.iterdir()} == {
        "attribution.html", "decision.png", "classes.png", "cascade.svg", "means.png",
    }  # fmt: skip
    page = (folder / "attribution.html").read_text()
    for column in ("infidelity", "random weights", "null", ">z<"):
        assert column in page
    assert ">ink<" in page and ">noise<" in page and "FAILS" not in page
    attribute_digit(copied_run, None, file, tmp_path, "saliency")
    assert (tmp_path / copied_run.name / "attribution-image-mine" / "decision.png").exists()


def with_seed(path, name, seed):
    """A copy of the run under another name, with another seed in its recipe."""
    shutil.copytree(path, path.with_name(name))
    config = path.with_name(name) / "config.json"
    config.write_text(config.read_text().replace('"seed": 0', f'"seed": {seed}'))
    return path.with_name(name)


def test_other_seeds_are_the_other_runs_of_the_same_recipe(copied_run):
    with_seed(copied_run, "copy", 0)
    with_seed(copied_run, "second", 1)
    other_recipe = with_seed(copied_run, "other_recipe", 2) / "config.json"
    other_recipe.write_text(other_recipe.read_text().replace('"num_epochs": 2', '"num_epochs": 3'))
    assert [run.name for run in other_seeds(Run(copied_run))] == ["second"]


def test_damaged_runs_are_left_out(copied_run, tmp_path, capsys):
    (with_seed(copied_run, "damaged", 1) / "config.json").write_text("{")
    (with_seed(copied_run, "without_weights", 2) / "checkpoints" / "best.pt").unlink()
    with_seed(copied_run, "whole", 3)
    assert len(load_siblings(Run(copied_run))) == 1
    assert "left out without_weights" in capsys.readouterr().err
    attribute_digit(copied_run, 3, None, tmp_path, "saliency")
    assert (tmp_path / copied_run.name / "attribution-test-3" / "decision.png").exists()


def test_the_command_passes_its_options_on(command, copied_run, tmp_path):
    options = ["--id", "3", "--method", "saliency", "--output", str(tmp_path)]
    code, out, _ = command("attribution", str(copied_run), *options)
    assert code == 0 and "attribution.html" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--id", "359"], "expected 0 to 358"),
        (["--id", "1", "--image", "x.png"], "leave one of them out"),
        (["--image", "nothing.png"], "nothing.png"),
        (["--method", "magic"], "unknown attribution method 'magic': expected one of saliency, "),
        (["--method", "grad_cam", "--id", "1"], "needs a convolution"),
        (["--id", "one"], "one"),
    ],
)
def test_bad_input_of_the_command(command, copied_run, tmp_path, flags, message):
    code, _, error = command("attribution", str(copied_run), "--output", str(tmp_path / "none"), *flags)
    assert code == 2 and message in error
    assert not (tmp_path / "none").exists()
