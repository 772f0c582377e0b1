"""How a network sees the digits as a whole: eigenvalues by brute force, neighbours by hand, the page, the projector."""

import numpy as np
import pytest
import torch

from model_interpretation.fisher import fisher_eigenvalues
from model_interpretation.model_layers import penultimate_vectors
from model_interpretation.picture_page import OVERVIEW
from model_interpretation.representation import NUM_NEIGHBOURS, main, nearest_digits
from models.registry import MODELS, build_model
from utils.errors import UserError
from utils.preloading import to_pixels


def fisher_by_brute_force(model, pixels):
    """The whole matrix, from the gradient of each digit's log-probability of each class."""
    weights = list(model.parameters())
    total = torch.zeros(sum(weight.numel() for weight in weights), dtype=torch.float64).diag()
    for one in pixels.split(1):
        log_probabilities = model(one).log_softmax(1)[0]
        for log_probability in log_probabilities:
            gradients = torch.autograd.grad(log_probability, weights, retain_graph=True)
            gradient = torch.cat([part.flatten() for part in gradients]).double()
            total += log_probability.detach().exp() * gradient.outer(gradient) / len(pixels)
    return total


@pytest.mark.parametrize("name", ["P2-P2-P2-FC10", "C(2,5)-BN-A2-P2-P2-FC10"])
def test_the_eigenvalues_are_those_of_the_whole_matrix(name, few_digits):
    torch.manual_seed(0)
    model = build_model(name).eval()
    pixels = to_pixels(few_digits.images[:6])
    expected = np.linalg.eigvalsh(fisher_by_brute_force(model, pixels).numpy())[::-1]
    found = fisher_eigenvalues(model, pixels, 5)
    np.testing.assert_allclose(found, expected[:5], rtol=5e-3, atol=1e-5 * expected[0])


@pytest.mark.parametrize("name", [*(name for name in MODELS if name != "resnet18"), "C(3,5)-A2-G-D0.3-FC10"])
def test_every_network_has_vectors_and_a_curvature(name, few_digits):
    model = build_model(name).eval()
    vectors = penultimate_vectors(model, few_digits.images)
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    torch.testing.assert_close(last(vectors), model(to_pixels(few_digits.images)), atol=1e-4, rtol=1e-4)
    assert fisher_eigenvalues(model, to_pixels(few_digits.images[:2]), 2)[0] > 0


@pytest.mark.parametrize("model", ["FC1-FC10", "FC8-FC10"])
def test_a_network_that_sees_no_difference_has_no_map(model, home, tmp_path, capsys):
    from trainers.generic_trainers.training_run import train
    from trainers.recipe import Recipe, TrainConfig
    from utils.checkpoints import load_checkpoint, save_checkpoint

    run, _ = train(Recipe(model, TrainConfig(dataset="digits", num_epochs=1)), "flat")
    checkpoint = load_checkpoint(run.best_checkpoint, {"epoch", "model"})
    checkpoint["model"]["layers.fc1.bias"].fill_(-1e5)  # all units are dead
    save_checkpoint(run.best_checkpoint, checkpoint)
    main(["flat", "--output", str(tmp_path)])
    assert "no map" in capsys.readouterr().out
    assert not (tmp_path / "flat" / "representation" / "map.png").exists()


def test_no_curvature_where_the_network_is_utterly_sure(few_digits):
    model = build_model("FC10").eval()
    torch.nn.init.normal_(next(iter(model.parameters())), std=1e6)
    assert fisher_eigenvalues(model, to_pixels(few_digits.images[:4]), 3).tolist() == [0, 0, 0]


def test_neighbours_by_hand():
    training = torch.arange(20.0)[:, None]
    assert nearest_digits(training, torch.tensor([[19.2]])).tolist() == [list(range(19, 19 - NUM_NEIGHBOURS, -1))]


def test_the_page_and_the_projector(copied_run, tmp_path):
    main([str(copied_run), "--output", str(tmp_path)])
    folder = tmp_path / copied_run.name
    pictures = {"map.png", "neighbours.png", "filters.png", "curvature.png"}
    assert {file.name for file in (folder / "representation").iterdir()} == {*pictures, "representation.html"}
    overview = (folder / OVERVIEW).read_text()
    assert all(f'src="representation/{name}"' in overview for name in pictures)
    [metadata] = copied_run.rglob("metadata.tsv")
    header, *lines = metadata.read_text().splitlines()
    assert header == "label\tpredicted\tverdict" and len(lines) == 359
    [vectors] = copied_run.rglob("tensors.tsv")
    assert len(vectors.read_text().splitlines()) == 359
    main([str(copied_run), "--output", str(tmp_path)])
    assert len(list(copied_run.rglob("tensors.tsv"))) == 1  # the same vectors are not written twice


def test_a_run_without_checkpoint(copied_run, tmp_path):
    (copied_run / "checkpoints" / "best.pt").unlink()
    with pytest.raises(UserError, match=r"best\.pt"):
        main([str(copied_run), "--output", str(tmp_path / "none")])


def test_explain_makes_one_page_of_all(command, copied_run, tmp_path, monkeypatch):
    from model_interpretation import activation_maximisation

    monkeypatch.setattr(activation_maximisation, "NUM_STEPS", 3)
    code, out, _ = command("explain", str(copied_run), "--output", str(tmp_path))
    assert code == 0 and OVERVIEW in out
    folder = tmp_path / copied_run.name
    overview = (folder / OVERVIEW).read_text()
    pages = {page.parent.name.split("-")[0] for page in folder.glob("*/*.html")}
    assert pages == {"layers", "attribution", "features", "representation"}
    for picture in folder.glob("*/*.png"):
        assert f'src="{picture.parent.name}/{picture.name}"' in overview
    assert 'href="report.html"' in overview and f'href="{OVERVIEW}"' in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--id", "359"], "expected 0 to 358"),
        (["--id", "1", "--image", "x.png"], "leave one of them out"),
        (["--image", "nothing.png"], "nothing.png"),
        (["--digit", "3"], "--digit"),
        (["another"], "another"),
    ],
)
def test_bad_input_of_explain(command, copied_run, tmp_path, flags, message):
    code, _, error = command("explain", str(copied_run), "--output", str(tmp_path / "none"), *flags)
    assert code == 2 and message in error and error.count("\n") <= 2
    assert not (tmp_path / "none").exists()
