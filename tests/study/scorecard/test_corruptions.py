"""Corruption robustness: mean, median, ranks, and batch statistics adapted to the corrupted digits."""

import numpy as np
import pytest
import torch
from torch import nn

from study.scorecard import METRICS
from study.scorecard.corruptions import mean_ranks, with_batch_statistics
from study.scorecard.evaluator import Evaluator, fraction_result
from utils.data.mnist_c import MNIST_C
from utils.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def evaluator(digits, monkeypatch):
    """An evaluator of a network that always predicts 0; a corruption leaves that many of ten digits a 0."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    nn.init.zeros_(model[1].weight)
    model[1].bias.data = torch.eye(10)[0]
    zeros, ones = ((digits.labels == label).nonzero()[:10, 0] for label in (0, 1))

    def corrupted(name):
        count = min(10, list(MNIST_C).index(name))
        return digits.subset(torch.cat([zeros[:count], ones[count:]]), name), "made"

    monkeypatch.setattr("study.scorecard.corruptions.corrupted_digits", corrupted)
    evaluator = Evaluator(model, CPU)
    evaluator.test_set = digits.subset(zeros, "digits")
    return evaluator


def test_mean_and_median_over_the_corruptions(evaluator):
    accuracies = [min(10, place) / 10 for place in range(15)]
    mean, median = (METRICS[f"corruptions_{name}"].measure(evaluator) for name in ("mean", "median"))
    assert mean.value == pytest.approx(np.mean(accuracies)) and median.value == pytest.approx(0.7)
    for result in (mean, median):
        assert result.ci_low < result.value < result.ci_high and result.n == 10
    assert METRICS["corruption_impulse_noise"].measure(evaluator).value == pytest.approx(0.1)


def test_a_network_without_batch_norm_has_no_adapted_accuracy(evaluator):
    for metric_id in ("corruption_fog_adapted", "corruptions_mean_adapted"):
        assert "no batch normalisation" in METRICS[metric_id].measure(evaluator).missing
    with pytest.raises(UserError, match="no batch normalisation"):
        with_batch_statistics(nn.Linear(2, 2))


def test_adapted_statistics_undo_a_shift_and_a_scale_of_the_input():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 10))
    for _ in range(200):
        network(torch.rand(100, 1, 28, 28))
    network.eval()
    before = network.state_dict()["1.running_mean"].clone()
    adapted = with_batch_statistics(network)
    pixels = torch.rand(500, 1, 28, 28)
    clean = network(pixels).argmax(1)
    foggy = 0.3 * pixels + 0.6
    assert (adapted.eval()(foggy).argmax(1) == clean).float().mean() > 0.8
    assert (network(foggy).argmax(1) == clean).float().mean() < 0.5
    assert torch.equal(network.state_dict()["1.running_mean"], before)  # the given network stays as it was


def test_ranks_are_not_decided_by_one_corruption():
    accuracies = np.array([[0.9, 0.9, 0.9, 0.1], [0.8, 0.8, 0.8, 0.9]])
    assert accuracies.mean(1)[0] < accuracies.mean(1)[1]
    assert mean_ranks(accuracies).tolist() == [1.25, 1.75]
    assert mean_ranks(np.array([[0.5, 0.7], [0.5, 0.6]])).tolist() == [1.25, 1.75]  # a tie shares its ranks


@pytest.mark.real_mnist
def test_several_runs_are_ranked(in_scored_home, command):
    ids = [f"corruption_{name}" for name in MNIST_C]
    code, printed, _ = command("scorecard", "a-s0", "a-s1", "--metrics", *ids)
    assert code == 0 and "Mean rank of the 2 networks under MNIST-C" in printed
    lines = printed.split("Mean rank")[1].splitlines()
    assert [line.split() for line in lines[1:3]] == [["1.00", "a-s1"], ["2.00", "a-s0"]]


def test_errors_of_one_writer_widen_the_interval():
    is_correct = np.arange(1000) >= 50
    spread_out, clustered = (
        fraction_result(is_correct, writers) for writers in (torch.arange(1000) % 100, torch.arange(1000) // 10)
    )
    assert clustered.ci_high - clustered.ci_low > 2 * (spread_out.ci_high - spread_out.ci_low)
