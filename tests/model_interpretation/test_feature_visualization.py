"""Images that excite channels: the way goes up, the bests are the digits' own, the command says what there is."""

import numpy as np
import pytest
import torch
from PIL import Image

from model_interpretation import activation_maximisation
from model_interpretation.activation_maximisation import climb, likeness, most_exciting_images, total_variation
from model_interpretation.feature_visualization import default_layer, main
from model_interpretation.model_layers import (
    channel_means,
    find_layer,
    highest_activations,
    layer_output,
    leaf_layers,
    watching,
)
from models.registry import build_model
from utils.errors import UserError
from utils.preloading import to_pixels


@pytest.fixture(scope="module")
def network():
    """A small convolutional network with weights as they are drawn."""
    torch.manual_seed(0)
    return build_model("C(6,5)-P2-C(8,3)-FC10").eval().requires_grad_(False)


def test_the_bests_are_those_of_the_digits(network, few_digits):
    layer = find_layer(network, "conv3")
    bests = highest_activations(network, layer, few_digits.images.repeat(4, 1, 1))  # in two batches
    means = channel_means(layer_output(network, layer, to_pixels(few_digits.images)))
    torch.testing.assert_close(bests.activations, means.max(0).values)
    again = channel_means(layer_output(network, layer, bests.digits[:, None]))
    torch.testing.assert_close(again.diagonal(), bests.activations)


def test_the_images_excite_their_channels_more_than_any_digit(network, few_digits):
    layer = find_layer(network, "conv3")
    bests = highest_activations(network, layer, few_digits.images).activations
    channels = torch.arange(8)
    found = most_exciting_images(network, layer, channels, bests)
    assert found.images.shape == (8, 28, 28) and found.images.min() >= 0 and found.images.max() <= 1
    reached = channel_means(layer_output(network, layer, found.images[:, None]))[channels, channels]
    torch.testing.assert_close(reached, found.reached, atol=1e-4, rtol=1e-4)
    assert (found.reached >= bests).all()


@pytest.fixture
def short_climb(monkeypatch):
    monkeypatch.setattr(activation_maximisation, "NUM_STEPS", 15)


def test_the_same_seed_gives_the_same_images_and_another_one_others(network, short_climb):
    layer, channels, bests = find_layer(network, "conv1"), torch.tensor([0, 3]), torch.ones(2)
    first, again, other = (climb(network, layer, channels, bests, seed).images for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_images_of_one_channel_are_kept_apart(network, monkeypatch):
    monkeypatch.setattr(activation_maximisation, "NUM_STEPS", 80)
    layer, channels = find_layer(network, "conv3"), torch.tensor([2, 2, 2])
    alone, apart = (climb(network, layer, channels, torch.ones(3), 0, diversity).images for diversity in (0.0, 5.0))
    assert likeness(apart[:, None], channels) < likeness(alone[:, None], channels)
    assert likeness(apart[:, None], torch.arange(3)) == 0


def test_total_variation_by_hand():
    image = torch.zeros(1, 1, 28, 28)
    image[..., 3, 3] = 1
    assert total_variation(image).item() == pytest.approx(4 / (27 * 28))


def test_hooks_are_removed_after_errors(network):
    with pytest.raises(RuntimeError), watching(leaf_layers(network)):
        network(torch.zeros(1, 1, 28, 28, dtype=torch.float64))
    with pytest.raises(RuntimeError):
        layer_output(network, find_layer(network, "conv1"), torch.zeros(1, 1, 28, 28, dtype=torch.float64))
    assert not any(module._forward_hooks for module in network.modules())


def test_the_default_layer_is_the_last_convolution():
    assert default_layer(build_model("fast_conv")) == "conv3"
    assert default_layer(build_model("resnet18")) == "block4b.conv2"
    assert default_layer(build_model("linear")) == "logits"


def test_pages_of_a_layer_a_channel_a_digit_and_a_picture(short_climb, copied_run, tmp_path, digits, capsys):
    picture = tmp_path / "mine.png"
    Image.fromarray(digits.images[0].numpy()).resize((280, 280)).save(picture)
    for flags, folder, names in [
        ([], "features-logits", {"images.png", "digits.png"}),
        (["--unit", "3"], "features-logits-channel-3", {"images.png"}),
        (["--id", "5"], "features-logits-test-5", {"activations.png", "collage.png"}),
        (["--image", str(picture)], "features-logits-image-mine", {"activations.png", "collage.png"}),
    ]:
        main([str(copied_run), "--output", str(tmp_path), *flags])
        written = {file.name for file in (tmp_path / copied_run.name / folder).iterdir()}
        assert written == {*names, "features.html"}
    assert "of 10 images excite their channel" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--layer", "conv9"], "expected one of standardize, flatten, logits"),
        (["--channel", "10"], "logits has 10"),
        (["--channel", "-1"], "logits has 10"),
        (["--channel", "1", "--id", "2"], "leave all but one out"),
        (["--id", "359"], "expected 0 to 358"),
        (["--image", "nothing.png"], "nothing.png"),
        (["--run"], "--run"),
        (["--seed", "99999999999999999999999"], "--seed"),
        (["--layer", "flatten"], "flatten has 784 channels, too many"),
    ],
)
def test_bad_input(copied_run, tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        main([str(copied_run), "--output", str(tmp_path / "none"), *flags])
    assert not (tmp_path / "none").exists()


def test_a_run_without_checkpoint(copied_run, tmp_path):
    (copied_run / "checkpoints" / "best.pt").unlink()
    with pytest.raises(UserError, match=r"best\.pt"):
        main([str(copied_run), "--output", str(tmp_path / "none")])


def test_figures_have_no_missing_values(network, few_digits, short_climb):
    from model_interpretation.feature_visualization import layer_figures

    layer = find_layer(network, "conv1")
    figures = layer_figures(network, layer, highest_activations(network, layer, few_digits.images), seed=0)
    sheet = figures["images"].axes[0].images[0].get_array()
    assert np.isfinite(sheet.filled(np.nan)).sum() == 6 * 28 * 28
