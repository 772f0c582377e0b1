"""Out-of-distribution detection: its measures against scikit-learn, its intervals, its sets of images."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

from study.scorecard import BRIEF, METRICS
from study.scorecard.evaluator import Evaluator
from study.scorecard.ood import OOD_IMAGES, digit_pairs, half_digits, joined_halves, mirrored, noise, overlaid
from utils.data import ImageSet
from utils.ood_scores import (
    MahalanobisScore,
    NearestNeighbourScore,
    detection,
    energy_score,
    max_softmax,
    whitening_matrix,
)

CPU = torch.device("cpu")
SCORES = ("max_softmax", "energy", "mahalanobis", "knn")


def alone(count, first=0):
    return np.arange(first, first + count)


@pytest.fixture
def evaluator(digits):
    """An evaluator whose test set are the bundled digits, twenty by each writer."""
    torch.manual_seed(0)
    evaluator = Evaluator(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), CPU)
    evaluator.test_set = ImageSet("digits", digits.images, digits.labels, writers=torch.arange(len(digits)) // 20)
    return evaluator


def test_the_measures_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    digits, others = generator.normal(1, 1, 400).round(1), generator.normal(0, 1, 300).round(1)  # with ties
    found = detection(digits, others, alone(400), alone(300, 1000))
    is_other, scores = np.r_[np.zeros(400), np.ones(300)], -np.r_[digits, others]
    weights = np.r_[np.full(400, 1 / 400), np.full(300, 1 / 300)]
    auroc, aupr, fpr95 = found.values
    assert auroc == pytest.approx(roc_auc_score(is_other, scores))
    assert aupr == pytest.approx(average_precision_score(is_other, scores, sample_weight=weights))
    threshold = max(level for level in digits if (digits >= level).mean() >= 0.95)
    assert fpr95 == pytest.approx((others >= threshold).mean())


def test_chance_is_a_half_whatever_the_sizes_of_the_samples():
    generator = np.random.default_rng(0)
    auroc, aupr, fpr95 = detection(
        generator.normal(size=4000), generator.normal(size=400), alone(4000), alone(400, 9000)
    ).values
    assert (auroc, aupr, fpr95) == pytest.approx((0.5, 0.5, 0.95), abs=0.03)


def test_the_interval_is_that_of_the_bootstrap_for_independent_images():
    generator = np.random.default_rng(0)
    digits, others = generator.normal(1, 1, 400), generator.normal(0, 1, 300)
    _, low, high = detection(digits, others, alone(400), alone(300, 1000)).result("auroc")
    labels = np.r_[np.ones(400), np.zeros(300)]
    resampled = [
        roc_auc_score(labels, np.r_[generator.choice(digits, 400), generator.choice(others, 300)]) for _ in range(300)
    ]
    assert (low, high) == pytest.approx(tuple(np.quantile(resampled, (0.025, 0.975))), abs=0.01)


def test_copies_of_an_image_in_one_cluster_do_not_narrow_the_interval():
    generator = np.random.default_rng(0)
    digits, others = generator.normal(1, 1, 1000), generator.normal(0, 1, 20)
    widths = []
    for copies, clusters in ((1, alone(20, 5000)), (100, alone(20, 5000).repeat(100))):
        _, low, high = detection(digits, others.repeat(copies), alone(1000), clusters).result("auroc")
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0], rel=0.05)
    _, low, high = detection(digits, others.repeat(100), alone(1000), alone(2000, 5000)).result("auroc")
    assert high - low < widths[0] / 3  # what counting images instead of samples claims


def test_separate_samples_are_bounded_by_the_rule_of_three():
    found = detection(np.arange(10.0, 410), np.arange(-2000.0, 0), alone(400), -1 - np.arange(20).repeat(100))
    assert found.result("auroc") == pytest.approx((1, 1 - 3 / 20, 1))
    assert found.result("fpr95") == pytest.approx((0, 0, 3 / 20), abs=1e-9)


def test_scores_of_logits_are_higher_for_confident_predictions():
    logits = torch.tensor([[0.0] * 10, [9.0] + [0.0] * 9])
    assert max_softmax(logits)[0] == pytest.approx(0.1) and max_softmax(logits)[1] > 0.99
    assert energy_score(logits)[0] == pytest.approx(np.log(10)) and energy_score(logits)[1] > 9


def test_whitened_embeddings_have_unit_variance_in_every_direction():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.eye(6) + 0.3 * torch.randn(6, 6, generator=generator)
    embeddings = torch.randn(5000, 6, generator=generator) @ mixing
    centred = embeddings - embeddings.mean(0)
    white = centred @ whitening_matrix(centred)
    assert torch.allclose(white.T @ white / len(white), torch.eye(6), atol=0.05)


def test_scores_of_embeddings_are_higher_near_the_training_embeddings():
    embeddings = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) + torch.tensor([9.0, 0, 0, 0])
    queries = torch.tensor([[9.0, 0, 0, 0], [-9.0, 0, 0, 0]])
    for score in (MahalanobisScore(embeddings, torch.arange(200) % 2), NearestNeighbourScore(embeddings)):
        near, far = score(queries)
        assert near > far


def test_pairs_are_two_classes_by_one_writer(evaluator):
    digits, first, second = digit_pairs(evaluator)
    assert len(first) > 500 and (digits.labels[first] != digits.labels[second]).all()
    assert (digits.writers[first] == digits.writers[second]).all()
    mixture, joined = overlaid(evaluator), joined_halves(evaluator)
    assert torch.equal(mixture.images[3], torch.maximum(digits.images[first[3]], digits.images[second[3]]))
    assert torch.equal(joined.images[3, :, :14], digits.images[first[3], :, :14])
    assert torch.equal(joined.images[3, :, 14:], digits.images[second[3], :, 14:])
    assert np.array_equal(mixture.clusters, digits.writers[first].numpy())


def test_half_digits_and_mirrored_digits(evaluator, monkeypatch):
    monkeypatch.setattr("study.scorecard.ood.NUM_IMAGES", 100)
    halves = half_digits(evaluator).images
    assert not halves[0::4, :, 14:].any() and not halves[3::4, :14].any() and halves.flatten(1).any(1).all()
    digits = evaluator.test_set
    for image in mirrored(evaluator).images[:5]:
        (place,) = (digits.images == image.flip(1)).flatten(1).all(1).nonzero()
        assert digits.labels[place] in (3, 4, 6, 7, 9)


def test_noise_has_twenty_kinds_and_counts_as_twenty_samples(evaluator):
    images = noise(evaluator)
    assert len(np.unique(images.clusters)) == 20 and (images.clusters < 0).all()
    means = images.images.float().view(20, -1).mean(1)
    assert means.std() > 20  # grey levels: the kinds differ
    assert METRICS["ood_noise_energy"].measure(evaluator).n == 20


def test_letters_are_read_from_a_folder_and_missing_without_it(evaluator, home):
    metric = METRICS["ood_greek_letters_energy"]
    assert "data/handwritten_letters" in metric.measure(evaluator).missing and metric.input_files() == []
    folder = home / "data" / "handwritten_letters"
    folder.mkdir(parents=True)
    for number in range(3):
        picture = Image.new("L", (100, 110), 255)
        ImageDraw.Draw(picture).polygon([(20 + number, 90), (50, 15), (80, 90)], outline=0, width=6)
        picture.save(folder / f"delta_{number}.png")
    (folder / "damaged.png").write_bytes(b"no picture")
    other = Evaluator(evaluator.model, CPU)
    other.test_set = evaluator.test_set
    assert metric.measure(other).n == 3 and len(metric.input_files()) == 4


def test_letters_of_emnist_are_not_downloaded_by_a_scorecard(evaluator, no_network):
    assert "is not in data/" in METRICS["ood_emnist_letters_energy"].measure(evaluator).missing


def test_all_scores_of_far_and_near_images_are_in_the_brief_scorecard():
    for images in ("fashion_mnist", "kmnist", "near"):
        assert {f"ood_{images}_{score}" for score in SCORES} <= set(BRIEF)
    assert not any(id_.startswith(("robust_", "pgd_", "fgsm_")) for id_ in BRIEF)


def test_near_and_far_are_reported_apart():
    for name, kind in OOD_IMAGES.items():
        for score in SCORES:
            for ending in ("", "_aupr", "_fpr95"):
                assert METRICS[f"ood_{name}_{score}{ending}"].group.endswith("near" if kind.is_near else "far")
