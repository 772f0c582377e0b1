"""Which pixels decide: by hand on a linear network, and checks that catch what cannot be believed."""

import numpy as np
import pytest
import torch
from PIL import Image

from model_interpretation.attribution import main, other_seeds
from model_interpretation.attribution_checks import check, likeness, randomised
from model_interpretation.attribution_methods import METHODS, PATCH, STRIDE, methods_for
from models.registry import MODELS, build_model
from utils.errors import UserError
from utils.preloading import to_pixels
from utils.run_folder import RunFolder


@pytest.fixture(scope="module")
def linear():
    """Logits W (x - mean) / std + b, and what each pixel weighs for class 4."""
    torch.manual_seed(0)
    model = build_model("linear").eval().requires_grad_(False)
    std = next(buffer for name, buffer in model.named_buffers() if name.endswith("std"))
    weights = next(parameter for parameter in model.parameters() if parameter.shape == (10, 784))
    return model, (weights[4] / std).view(28, 28)


@pytest.fixture(scope="module")
def pixels(digits):
    return to_pixels(digits.images[:1])


def ask(method, model, pixels, label=4):
    return METHODS[method](model, pixels, torch.tensor([label]))[0]


def test_a_linear_network_by_hand(linear, pixels):
    model, weights = linear
    torch.testing.assert_close(ask("saliency", model, pixels), weights.abs())
    torch.testing.assert_close(ask("guided_backprop", model, pixels), weights)
    torch.testing.assert_close(ask("integrated_gradients", model, pixels), weights * pixels[0, 0], atol=1e-5, rtol=1e-4)
    shares = weights * pixels[0, 0]
    squares = shares.unfold(0, PATCH, STRIDE).unfold(1, PATCH, STRIDE).sum((2, 3))
    expected, counts = torch.zeros(28, 28), torch.zeros(28, 28)
    for row in range(squares.shape[0]):
        for column in range(squares.shape[1]):
            square = np.s_[STRIDE * row : STRIDE * row + PATCH, STRIDE * column : STRIDE * column + PATCH]
            expected[square] += squares[row, column]
            counts[square] += 1
    covered = ask("occlusion", model, pixels)[:24, :24]  # behind that the squares are cut off
    torch.testing.assert_close(covered, (expected / counts)[:24, :24], atol=1e-4, rtol=1e-3)


def test_integrated_gradients_add_up_to_the_logits_rise(pixels):
    torch.manual_seed(1)
    model = build_model("two_conv").eval().requires_grad_(False)
    found = ask("integrated_gradients", model, pixels)
    rise = model(pixels)[0, 4] - model(torch.zeros_like(pixels))[0, 4]
    assert found.sum().item() == pytest.approx(rise.item(), abs=0.02)


@pytest.mark.parametrize("name", [*MODELS, "C(3,5)-A2-G-FC10", "BN-FC12-BN-D0.2-FC10"])
def test_every_network_answers(name, pixels):
    model = build_model(name).eval().requires_grad_(False)
    methods = methods_for(model)
    has_convolution = any(isinstance(module, torch.nn.Conv2d) for module in model.modules())
    assert ("grad_cam" in methods) == has_convolution
    for method in methods.values():
        found = method(model, pixels.repeat(2, 1, 1, 1), torch.tensor([1, 2]))
        assert found.shape == (2, 28, 28) and found.isfinite().all()
    hooks = [module._forward_hooks or module._backward_hooks for module in model.modules()]
    assert not any(hooks)


def test_grad_cam_is_refused_without_a_convolution(linear, pixels):
    with pytest.raises(UserError, match="grad_cam needs a convolution"):
        ask("grad_cam", linear[0], pixels)


def test_a_method_that_ignores_the_weights_fails(linear, pixels):
    trust = check(linear[0], lambda model, images, classes: images[:, 0], pixels, 4)
    assert trust.likeness_to_random == pytest.approx(1) and trust.failure == "much the same with random weights"


def test_the_gradient_of_a_linear_network_passes(linear, pixels):
    trust = check(linear[0], METHODS["saliency"], pixels, 4)
    assert abs(trust.likeness_to_random) < 0.2 and not trust.failure
    signed = check(linear[0], METHODS["guided_backprop"], pixels, 4)
    assert signed.infidelity < 1e-6  # the gradient of a linear network says exactly what noise does
    assert signed.sensitivity < 1e-5 and signed.deletion[0] == pytest.approx(signed.insertion[-1])


def test_an_empty_map_fails(linear, pixels):
    trust = check(linear[0], lambda model, images, classes: torch.zeros(len(images), 28, 28), pixels, 4)
    assert trust.failure == "the map is empty"


def test_deletion_falls_and_insertion_rises_at_once_for_the_pixels_that_decide(linear, pixels):
    model, weights = linear
    good = check(model, lambda m, images, c: weights * images[:, 0], pixels, 4)
    bad = check(model, lambda m, images, c: -weights * images[:, 0], pixels, 4)
    assert good.deletion_area < bad.deletion_area and good.insertion_area > bad.insertion_area


def test_likeness_is_rank_correlation_of_sizes():
    one = torch.arange(784.0).view(28, 28)
    assert likeness(one, -(one**3)) == pytest.approx(1)
    assert likeness(one, torch.zeros(28, 28)) == 0
    background = torch.zeros(28, 28)
    background[0, :3] = torch.tensor([1.0, 2, 3])
    assert likeness(background, background.flip(1).roll(3, 1)) == pytest.approx(-1)  # blank pixels do not count


def test_randomised_weights_are_others(linear):
    drawn = randomised(linear[0])
    assert not torch.equal(next(iter(drawn.parameters())), next(iter(linear[0].parameters())))


def test_command_writes_pictures_and_a_page(copied_run, tmp_path, digits):
    file = tmp_path / "mine.png"
    Image.fromarray(digits.images[0].numpy()).resize((280, 280)).save(file)
    main([str(copied_run), "--id", "3", "--means", "--output", str(tmp_path)])
    folder = tmp_path / copied_run.name / "attribution-test-3"
    assert {path.name for path in folder.iterdir()} == {"attribution.html", "decision.png", "classes.png", "means.png"}
    main([str(copied_run), "--image", str(file), "--method", "saliency", "--output", str(tmp_path)])
    assert (tmp_path / copied_run.name / "attribution-image-mine" / "decision.png").exists()


def test_other_seeds_are_runs_of_the_same_recipe(copied_run, command):
    assert other_seeds(RunFolder(copied_run)) == []
    command("retrain", "--save")
    assert [run.config()["train"]["seed"] for run in other_seeds(RunFolder(copied_run))] == [1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--id", "359"], "expected 0 to 358"),
        (["--id", "1", "--image", "x.png"], "leave one of them out"),
        (["--image", "nothing.png"], "nothing.png"),
        (["--method", "magic"], "magic"),
        (["--method", "grad_cam", "--id", "1"], "needs a convolution"),
        (["--id", "one"], "one"),
    ],
)
def test_bad_input(copied_run, tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        main([str(copied_run), "--output", str(tmp_path / "none"), *flags])
    assert not (tmp_path / "none").exists()
