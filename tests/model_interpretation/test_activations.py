"""Activations: names, shapes and values of every layer, and the pages that show them."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from model_interpretation.activations import (
    find_layer,
    layer_figure,
    layer_outputs,
    network_figure,
    penultimate_vectors,
    show_activations,
)
from model_interpretation.attribution_methods import last_feature_maps
from model_interpretation.predict import chosen_digit
from models.registry import build_model, load_trained
from utils.data.batches import to_pixels
from utils.errors import UserError
from utils.run import Run


def test_shapes_of_two_conv(digits):
    outputs = layer_outputs(build_model("two_conv"), digits.images[0])
    shapes = {output.name: output.shape for output in outputs}
    assert shapes["conv1"] == "32 of 26 x 26" and shapes["conv1_pool"] == "32 of 13 x 13"
    assert shapes["conv2"] == "64 of 11 x 11" and shapes["conv2_pool"] == "64 of 5 x 5"
    assert shapes["flatten"] == shapes["dropout"] == "1600" and shapes["logits"] == "10"
    assert [output.name for output in outputs][:3] == ["standardize", "conv1", "conv1_pool"]


def test_values_equal_those_of_the_forward_pass(digits):
    model = build_model("standard_fc").eval()
    outputs = {output.name: output.values for output in layer_outputs(model, digits.images[3])}
    pixels = to_pixels(digits.images[3:4])
    with torch.no_grad():
        np.testing.assert_allclose(outputs["logits"], model(pixels)[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(outputs["fc1"], model.layers[:3](pixels)[0], rtol=1e-5, atol=1e-6)
    assert not any(module._forward_hooks for module in model.modules())


def test_an_unknown_layer_is_refused_with_the_known_names():
    with pytest.raises(UserError, match="no layer 'conv9' in this network: expected one of standardize, conv1"):
        find_layer(build_model("two_conv"), "conv9")


def test_embeddings_are_the_input_of_the_last_layer(digits):
    model = build_model("standard_fc").eval()
    images = digits.images[:3]
    with torch.no_grad():
        expected = model.layers[:-1](to_pixels(images))
    torch.testing.assert_close(penultimate_vectors(model, images), expected)
    with pytest.raises(UserError, match="at least two layers"):
        penultimate_vectors(torch.nn.Flatten(), images)


def test_figures_show_all_values(digits):
    figures = {output.name: layer_figure(output) for output in layer_outputs(build_model("two_conv"), digits.images[0])}
    square = figures["flatten"].axes[0].images[0].get_array()
    assert np.isfinite(square.filled(np.nan)).sum() == 1600
    assert len(figures["logits"].axes[0].patches) == 10


def test_the_network_figure_has_a_bar_per_layer():
    model = build_model("two_conv")
    axes = network_figure(model, "two_conv").axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert len(axes.patches) == 1 + len(list(model.layers))
    assert "32 of 26 x 26" in texts and "18,496" in texts and "logits (Linear)" in texts


def test_a_test_digit_gets_a_page_and_a_picture_per_layer(copied_run, tmp_path, capsys):
    run = Run(copied_run)
    model = load_trained(run)
    show_activations(run, model, chosen_digit(run, "test", 2, None), tmp_path)
    folder = tmp_path / "mine" / "activations-test-2"
    names = {file.name for file in folder.iterdir()}
    assert {"activations.html", "00-pixels.png", "01-standardize.png"} <= names
    assert {"03-logits.svg", "02-flatten.png"} & names == {"03-logits.svg"}  # flattening changes no values
    assert "activations.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("index", "picture", "message"),
    [
        (359, None, "expected 0 to 358"),
        (3, "one.png", "leave one of them out"),
        (None, "text.png", "not a picture"),
        (None, "nothing.png", "cannot read"),
    ],
)
def test_a_digit_that_cannot_be_chosen(copied_run, tmp_path, index, picture, message):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match=message):
        chosen_digit(Run(copied_run), "test", index, picture and tmp_path / picture)


def test_the_command_shows_a_picture_file(command, copied_run, tmp_path, digits):
    name = b"a$b_$^{\xff.png".decode(errors="surrogateescape")  # neither mathematics nor valid UTF-8
    Image.fromarray(digits.images[0].numpy()).resize((280, 280)).save(tmp_path / name)
    code, _, error = command("activations", "--image", str(tmp_path / name), "--output", str(tmp_path / "out"))
    assert code == 0, error
    assert (tmp_path / "out" / "mine" / "activations-image-a$b_$^{?" / "activations.html").exists()


class Recurrent(nn.Module):
    """A layer with a tuple as output, before the last layer."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(28, 8, batch_first=True)
        self.logits = nn.Linear(8, 10)

    def forward(self, images):
        return self.logits(self.gru(images[:, 0])[0][:, -1])


def test_a_layer_with_a_tuple_as_output_is_recorded_by_its_first_element(digits):
    model = Recurrent().eval()
    assert penultimate_vectors(model, digits.images[:3]).shape == (3, 28 * 8)
    assert last_feature_maps(model) is None
