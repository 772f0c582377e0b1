"""Fisher eigenvalues against the full matrix, nearest digits by hand, the page and the projector files."""

import numpy as np
import pytest
import torch

from model_interpretation.activations import penultimate_vectors
from model_interpretation.embeddings import NUM_NEIGHBOURS, fisher_eigenvalues, nearest_digits, show_embeddings
from models.registry import MODELS, build_model, load_trained
from trainers import Recipe, train
from utils.data.batches import to_pixels
from utils.navigation import OVERVIEW
from utils.run import Run


def full_fisher_matrix(model, pixels):
    """The matrix from the gradient of each digit's log-probability of each class."""
    weights = list(model.parameters())
    total = torch.zeros(sum(weight.numel() for weight in weights), dtype=torch.float64).diag()
    for one in pixels.split(1):
        for log_probability in model(one).log_softmax(1)[0]:
            gradients = torch.autograd.grad(log_probability, weights, retain_graph=True)
            gradient = torch.cat([part.flatten() for part in gradients]).double()
            total += log_probability.detach().exp() * gradient.outer(gradient) / len(pixels)
    return total


@pytest.mark.parametrize("name", ["P2-P2-P2-FC10", "C(2,5)-BN-A2-P2-P2-FC10"])
def test_eigenvalues_equal_those_of_the_full_matrix(name, few_digits):
    torch.manual_seed(0)
    model = build_model(name).eval()
    pixels = to_pixels(few_digits.images[:6])
    expected = np.linalg.eigvalsh(full_fisher_matrix(model, pixels).numpy())[::-1]
    eigenvalues = fisher_eigenvalues(model, pixels, 5)
    np.testing.assert_allclose(eigenvalues, expected[:5], rtol=5e-3, atol=1e-5 * expected[0])


@pytest.mark.parametrize("name", [*(name for name in MODELS if name != "resnet18"), "C(3,5)-A2-G-D0.3-FC10"])
def test_every_model_has_embeddings_and_a_curvature(name, few_digits):
    model = build_model(name).eval()
    embeddings = penultimate_vectors(model, few_digits.images)
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    torch.testing.assert_close(last(embeddings), model(to_pixels(few_digits.images)), atol=1e-4, rtol=1e-4)
    assert fisher_eigenvalues(model, to_pixels(few_digits.images[:2]), 2)[0] > 0


@pytest.mark.parametrize("model", ["FC1-FC10", "FC8-FC10"])
def test_constant_embeddings_have_no_map(model, tmp_path, capsys):
    run = train(Recipe(model, dataset="digits", num_epochs=1), run_name="constant")
    trained = load_trained(run)
    next(parameter for name, parameter in trained.named_parameters() if "fc1.bias" in name).data.fill_(-1e5)
    show_embeddings(run, trained, tmp_path)
    assert "no map" in capsys.readouterr().out
    assert not (tmp_path / "constant" / "embeddings" / "map.png").exists()


def test_the_curvature_is_zero_if_all_probabilities_are_0_or_1(few_digits):
    model = build_model("FC10").eval()
    torch.nn.init.normal_(next(iter(model.parameters())), std=1e6)
    assert fisher_eigenvalues(model, to_pixels(few_digits.images[:4]), 3).tolist() == [0, 0, 0]


def test_nearest_digits_by_hand():
    training = torch.arange(20.0)[:, None]
    assert nearest_digits(training, torch.tensor([[19.2]])).tolist() == [list(range(19, 19 - NUM_NEIGHBOURS, -1))]


def test_the_page_the_overview_and_the_projector(command, copied_run, tmp_path):
    run = Run(copied_run)
    show_embeddings(run, load_trained(run), tmp_path)
    folder = tmp_path / run.name
    pictures = {"map.svg", "neighbours.png", "filters.png", "curvature.svg"}
    assert {file.name for file in (folder / "embeddings").iterdir()} == {*pictures, "embeddings.html"}
    overview = (folder / OVERVIEW).read_text()
    assert all(f'src="embeddings/{name}"' in overview for name in pictures)
    [metadata] = copied_run.rglob("metadata.tsv")
    header, *lines = metadata.read_text().splitlines()
    assert header == "label\tpredicted\toutcome" and len(lines) == 359
    [vectors] = copied_run.rglob("tensors.tsv")
    assert len(vectors.read_text().splitlines()) == 359
    assert command("embeddings", str(copied_run), "--output", str(tmp_path))[0] == 0
    assert len(list(copied_run.rglob("tensors.tsv"))) == 1  # the same embeddings are not written twice


def test_the_command_refuses_a_run_without_checkpoint(command, copied_run):
    (copied_run / "checkpoints" / "best.pt").unlink()
    code, _, error = command("embeddings", str(copied_run))
    assert code == 2 and "best.pt" in error
