"""What each layer makes of a digit: names, shapes and values as the network itself has them."""

import numpy as np
import pytest
import torch
from PIL import Image

from model_interpretation.layer_outputs import layer_figure, layer_outputs, main, pixel_values_figure
from model_interpretation.network_figure import network_figure
from models.registry import build_model
from utils.errors import UserError
from utils.preloading import to_pixels


def test_shapes_of_two_conv(digits):
    outputs = layer_outputs(build_model("two_conv"), digits.images[0])
    shapes = {output.name: output.shape for output in outputs}
    assert shapes["conv1"] == "32 of 26 x 26" and shapes["conv1_pool"] == "32 of 13 x 13"
    assert shapes["conv2"] == "64 of 11 x 11" and shapes["conv2_pool"] == "64 of 5 x 5"
    assert shapes["flatten"] == shapes["dropout"] == "1600" and shapes["logits"] == "10"
    assert [output.name for output in outputs][:3] == ["standardize", "conv1", "conv1_pool"]


def test_values_are_the_networks_own(digits):
    model = build_model("standard_fc").eval()
    outputs = {output.name: output.values for output in layer_outputs(model, digits.images[3])}
    pixels = to_pixels(digits.images[3:4])
    with torch.no_grad():
        np.testing.assert_allclose(outputs["logits"], model(pixels)[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(outputs["fc1"], model.layers[:3](pixels)[0], rtol=1e-5, atol=1e-6)
    assert not any(module._forward_hooks for module in model.modules())


def test_pictures_show_all_values(digits):
    figures = {output.name: layer_figure(output) for output in layer_outputs(build_model("two_conv"), digits.images[0])}
    square = figures["flatten"].axes[0].images[0].get_array()
    assert np.isfinite(square.filled(np.nan)).sum() == 1600
    assert len(figures["logits"].axes[0].patches) == 10
    texts = pixel_values_figure(digits.images[0], "a digit").axes[1].texts
    assert [int(text.get_text()) for text in texts] == digits.images[0].flatten().tolist()


def test_command_writes_a_page_and_pictures(copied_run, tmp_path, capsys):
    main([str(copied_run), "--id", "2", "--output", str(tmp_path)])
    folder = tmp_path / copied_run.name / "layers-test-2"
    names = sorted(file.name for file in folder.iterdir())
    assert "layers.html" in names and "00-pixels.png" in names and len(names) > 3
    assert "layers.html" in capsys.readouterr().out
    with pytest.raises(UserError, match="expected 0 to 358"):
        main([str(copied_run), "--id", "359", "--output", str(tmp_path)])


def test_a_picture_in_place_of_a_digit(copied_run, tmp_path, digits):
    file = tmp_path / "mine.png"
    Image.fromarray(digits.images[0].numpy()).resize((280, 280)).save(file)
    main([str(copied_run), "--image", str(file), "--output", str(tmp_path)])
    assert (tmp_path / copied_run.name / "layers-image-mine" / "layers.html").exists()
    (tmp_path / "text.png").write_text("no picture")
    for arguments, message in [
        (["--image", str(file), "--id", "3"], "leave one of them out"),
        (["--image", str(tmp_path / "text.png")], "no picture"),
        (["--image", str(tmp_path / "nothing.png")], "cannot read"),
    ]:
        with pytest.raises(UserError, match=message):
            main([str(copied_run), *arguments, "--output", str(tmp_path / "none")])
    assert not (tmp_path / "none").exists()


def test_the_picture_of_a_network_has_a_bar_a_layer():
    model = build_model("two_conv")
    axes = network_figure(model, "two_conv").axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert len(axes.patches) == 1 + len(list(model.layers))
    assert "32 of 26 x 26" in texts and "18,496" in texts and "logits (Linear)" in texts
