"""Optimized images exceed the activations of all digits; the pages of a layer, a channel and a digit."""

import numpy as np
import pytest
import torch
from PIL import Image

from model_interpretation.activations import (
    ChannelImages,
    channel_means,
    find_layer,
    highest_activations,
    layer_output,
    leaf_layers,
    record_outputs,
)
from model_interpretation.feature_visualization import (
    FeatureVisualizer,
    control_figure,
    default_layer,
    layer_figures,
    similarity,
    total_variation,
    visualize_features,
)
from model_interpretation.predict import chosen_digit
from model_interpretation.random_networks import random_networks
from models.registry import build_model, load_trained
from utils.data.batches import to_pixels
from utils.run import Run


@pytest.fixture(scope="module")
def network():
    """A small convolutional network with random weights."""
    torch.manual_seed(0)
    return build_model("C(6,5)-P2-C(8,3)-FC10").eval().requires_grad_(False)


def visualizer(network, layer, num_channels, seed=0, num_steps=15):
    """A visualizer whose reference activations are all 1."""
    references = ChannelImages(torch.zeros(num_channels, 28, 28), torch.ones(num_channels))
    return FeatureVisualizer(network, find_layer(network, layer), references, seed, num_steps)


def test_the_highest_activations_are_those_of_the_returned_digits(network, few_digits):
    layer = find_layer(network, "conv3")
    highest = highest_activations(network, layer, few_digits.images.repeat(4, 1, 1))  # two batches
    means = channel_means(layer_output(network, layer, to_pixels(few_digits.images)))
    torch.testing.assert_close(highest.activations, means.max(0).values)
    again = channel_means(layer_output(network, layer, highest.images[:, None]))
    torch.testing.assert_close(again.diagonal(), highest.activations)


def test_optimized_images_exceed_every_digit(network, few_digits):
    layer = find_layer(network, "conv3")
    references = highest_activations(network, layer, few_digits.images)
    channels = torch.arange(8)
    optimized = FeatureVisualizer(network, layer, references).best_images(channels)
    assert optimized.images.shape == (8, 28, 28) and optimized.images.min() >= 0 and optimized.images.max() <= 1
    reached = channel_means(layer_output(network, layer, optimized.images[:, None]))[channels, channels]
    torch.testing.assert_close(reached, optimized.activations, atol=1e-4, rtol=1e-4)
    assert (optimized.activations >= references.activations).all()


def test_the_seed_decides_the_images(network):
    channels = torch.tensor([0, 3])
    first, again, other = (visualizer(network, "conv1", 6, seed).optimize(channels).images for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_similarity_penalty_keeps_images_of_one_channel_different(network):
    channels = torch.tensor([2, 2, 2])
    optimize = visualizer(network, "conv3", 8, num_steps=80).optimize
    without, penalized = (optimize(channels, weight).images[:, None] for weight in (0.0, 5.0))
    assert similarity(penalized, channels) < similarity(without, channels)
    assert similarity(penalized, torch.arange(3)) == 0


def test_total_variation_by_hand():
    image = torch.zeros(1, 1, 28, 28)
    image[..., 3, 3] = 1
    assert total_variation(image).item() == pytest.approx(4 / (27 * 28))


def test_hooks_are_removed_after_errors(network):
    with pytest.raises(RuntimeError), record_outputs(leaf_layers(network)):
        network(torch.zeros(1, 1, 28, 28, dtype=torch.float64))
    with pytest.raises(RuntimeError):
        layer_output(network, find_layer(network, "conv1"), torch.zeros(1, 1, 28, 28, dtype=torch.float64))
    assert not any(module._forward_hooks for module in network.modules())


def test_the_default_layer_is_the_last_convolution():
    assert default_layer(build_model("fast_conv")) == "conv3"
    assert default_layer(build_model("resnet18")) == "block4b.conv2"
    assert default_layer(build_model("linear")) == "logits"


def test_pages_of_a_layer_a_channel_a_digit_and_a_picture(copied_run, tmp_path, digits, capsys):
    file = tmp_path / "mine.png"
    Image.fromarray(digits.images[0].numpy()).resize((280, 280)).save(file)
    run = Run(copied_run)
    model = load_trained(run)
    for options, folder, names in [
        ({}, "features-logits", {"images.png", "digits.png", "control.png"}),
        ({"channel": 3}, "features-logits-channel-3", {"images.png", "control.png"}),
        (
            {"digit": chosen_digit(run, "test", 5, None)},
            "features-logits-test-5",
            {"activations.svg", "collage.png", "control.png"},
        ),
        (
            {"digit": chosen_digit(run, "test", None, file)},
            "features-logits-image-mine",
            {"activations.svg", "collage.png", "control.png"},
        ),
    ]:
        visualize_features(run, model, tmp_path, num_steps=15, **options)
        written = {path.name for path in (tmp_path / copied_run.name / folder).iterdir()}
        assert written == {*names, "features.html"}
    assert "of 10 images activate their channel" in capsys.readouterr().out
    page = (tmp_path / copied_run.name / "features-logits" / "features.html").read_text()
    assert "a network of the same model with random weights" in page


def test_the_control_is_optimized_for_a_network_with_random_weights(network, few_digits):
    """Same procedure, other weights: the sheet of a channel differs from that of the trained network."""
    channels = torch.arange(2)
    sheets = [
        control_figure(model, "conv1", channels, few_digits.images, num_steps=15).axes[0].images[0].get_array()
        for model in (network, *random_networks("C(6,5)-P2-C(8,3)-FC10", 10, torch.device("cpu"), seed=5))
    ]
    assert sheets[0].shape == sheets[1].shape and not np.allclose(*(sheet.filled(0) for sheet in sheets))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--layer", "conv9"], "expected one of standardize, flatten, logits"),
        (["--channel", "10"], "logits has 10"),
        (["--channel", "-1"], "logits has 10"),
        (["--channel", "1", "--id", "2"], "exclude each other"),
        (["--id", "359"], "expected 0 to 358"),
        (["--image", "nothing.png"], "nothing.png"),
        (["--layer"], "--layer"),
        (["--seed", "99999999999999999999999"], "--seed"),
        (["--layer", "flatten"], "flatten has 784 channels, too many"),
    ],
)
def test_bad_input_of_the_command(command, copied_run, tmp_path, flags, message):
    code, _, error = command("features", str(copied_run), "--output", str(tmp_path / "none"), *flags)
    assert code == 2 and message in error
    assert not (tmp_path / "none").exists()


def test_the_command_refuses_a_run_without_checkpoint(command, copied_run):
    (copied_run / "checkpoints" / "best.pt").unlink()
    code, _, error = command("features", str(copied_run))
    assert code == 2 and "best.pt" in error


def test_figures_have_no_missing_values(network, few_digits):
    layer = find_layer(network, "conv1")
    references = highest_activations(network, layer, few_digits.images)
    figures = layer_figures(FeatureVisualizer(network, layer, references, num_steps=15))
    sheet = figures["images"].axes[0].images[0].get_array()
    assert np.isfinite(sheet.filled(np.nan)).sum() == 6 * 28 * 28
