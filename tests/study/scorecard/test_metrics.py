"""The metrics of the scorecard against values that can be computed by hand."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from study.scorecard import METRICS, MetricResult
from study.scorecard.adversarial import ATTACKS, LOSSES, correct_under_attack, cross_entropy, margin
from study.scorecard.calibration import fit_temperature
from study.scorecard.evaluator import Evaluator, Metric, fraction_result, mean_result
from study.scorecard.other_datasets import saved_drawings
from study.scorecard.spatial import affine_map, area_result, correct_after_shifts, spatial_worst_case
from study.scorecard.test_set import risk_coverage
from utils.data import ImageSet
from utils.data.augmentation import transform
from utils.errors import UserError
from utils.predictions import Predictions

CPU = torch.device("cpu")


class BrightestPixelNet(nn.Module):
    """Predicts 0 if the brightest pixel is in one of these places, else 1."""

    def __init__(self, places: set[tuple[int, int]]) -> None:
        super().__init__()
        self.register_buffer("logits", torch.eye(10)[1].repeat(784, 1))
        for row, column in places:
            self.logits[28 * row + column] = torch.eye(10)[0]

    def forward(self, pixels):
        return self.logits[pixels.flatten(1).argmax(1)]


def dots(row: int, column: int, count: int) -> ImageSet:
    """Images of class 0 with one bright pixel each."""
    images = torch.zeros(count, 28, 28, dtype=torch.uint8)
    images[:, row, column] = 255
    return ImageSet("dots", images, torch.zeros(count, dtype=torch.int64))


def evaluate_dots(row, column, places):
    """An evaluator of BrightestPixelNet(places) on three dots instead of MNIST's test set."""
    evaluator = Evaluator(BrightestPixelNet(places), CPU)
    evaluator.test_set = dots(row, column, 3)
    return evaluator


@pytest.fixture
def linear_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).requires_grad_(False)


def test_a_result_prints_its_value_and_interval():
    result = fraction_result(np.array([True] * 8 + [False] * 2))
    assert (result.value, result.n) == (0.8, 10)
    assert (result.ci_low, result.ci_high) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson 1927
    assert str(result) == "80.00% (49.02% to 94.33%)"
    assert str({"ece": result}) == "{'ece': 0.8000 (0.4902 to 0.9433, n 10)}"
    assert str(MetricResult(1.234, 1.2, 1.3, 5, "number")) == "1.23 (1.2 to 1.3)"
    assert repr(MetricResult(441.0, 400.0, 460.0, 500, "number")) == "441 (400 to 460, n 500)"
    assert repr(MetricResult(0.5, n=256)) == "0.5000 (n 256)" and str(MetricResult(0.5, n=256)) == "50.00%"
    assert repr(MetricResult(0.0, 0.0, 0.1, 30)) == "0.0000 (0.0000 to 0.1000, n 30)"
    mean = mean_result(np.array([0.0, 1.0] * 200))
    assert mean.value == 0.5
    assert mean.ci_low == pytest.approx(0.45, abs=0.01) and mean.ci_high == pytest.approx(0.55, abs=0.01)


def test_a_metric_without_data_gives_the_reason(linear_network, home):
    def compute(_evaluator):
        raise UserError(f"{home}/data/x is missing.\nGet it from y.")

    result = Metric("x", "x", 1, "Test set", compute).measure(Evaluator(linear_network, CPU))
    assert result.value is None and str(result) == "missing: data/x is missing. Get it from y."


def test_an_evaluator_leaves_the_model_as_it_was(linear_network):
    model = linear_network.train().requires_grad_(True)
    evaluator = Evaluator(model, CPU)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert not evaluator.model.training and evaluator.model is not model


def test_shared_computations_run_once(linear_network):
    evaluator, calls = Evaluator(linear_network, CPU), []

    def fail():
        calls.append("fail")
        raise UserError("no network")

    assert [evaluator.once("a", lambda: calls.append("a")) for _ in range(2)] == [None, None]
    for _ in range(2):
        with pytest.raises(UserError, match="no network"):
            evaluator.once("b", fail)
    assert calls == ["a", "fail"]


def test_digits_are_shifted_down_and_to_the_right():
    is_correct = correct_after_shifts(evaluate_dots(10, 12, {(13, 10)}), 4, 3)
    assert np.argwhere(is_correct[0]).tolist() == [[4 + 3, 4 - 2]]  # 3 down, 2 to the left


def test_the_area_counts_shifts_with_95_percent_accuracy():
    is_correct = np.zeros((40, 3, 3), dtype=bool)
    is_correct[:, 0, :] = True
    is_correct[:37, 1, 1] = True  # 92.5 %
    area = area_result(is_correct)
    assert area.value == 3 and area.ci_low == 3 and 3 <= area.ci_high <= 4 and area.kind == "number"
    by_one_writer = area_result(is_correct, torch.arange(40) // 37)  # the errors of the last three digits go together
    assert (by_one_writer.ci_low, by_one_writer.ci_high) == (3, 4)


@pytest.mark.parametrize(
    ("degrees", "scale", "right", "down", "goes_to"),
    [
        (0, 1, 0, 0, (13, 20)),
        (90, 1, 0, 0, (7, 13)),  # counterclockwise: from the right to the top
        (180, 1, 0, 0, (14, 7)),
        (0, 1, 3, -2, (11, 23)),
        (90, 1, 3, -2, (5, 16)),  # rotated first, then shifted
    ],
)
def test_a_digit_is_rotated_and_then_shifted(degrees, scale, right, down, goes_to):
    pixels = dots(13, 20, 1).images.unsqueeze(1) / 255
    moved = transform(pixels, affine_map(degrees, scale, right, down))[0, 0]
    assert moved[goes_to] == pytest.approx(1, abs=1e-4)
    assert moved.sum() == pytest.approx(1, abs=1e-3)


def test_a_digit_scaled_by_a_half_has_a_quarter_of_the_ink():
    square = torch.zeros(1, 1, 28, 28)
    square[0, 0, 6:22, 6:22] = 1
    assert transform(square, affine_map(0, 0.5, 0, 0)).sum() == pytest.approx(16 * 16 / 4, rel=0.01)


def test_one_failing_move_decides_the_worst_case():
    everywhere = {(row, column) for row in range(28) for column in range(28)}
    assert spatial_worst_case(evaluate_dots(13, 13, everywhere), 3).value == 1
    assert spatial_worst_case(evaluate_dots(13, 13, everywhere - {(16, 16)}), 3).value == 0


def test_the_temperature_of_logits_that_are_twice_too_large_is_two():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 10, generator=generator) * 2
    labels = logits.softmax(1).multinomial(1, generator=generator).flatten()
    fitted = fit_temperature(logits * 2, labels)
    assert fitted.ci_low < 2 < fitted.ci_high
    assert fitted.ci_high - fitted.ci_low < 0.15
    assert fit_temperature(logits, labels).value == pytest.approx(fitted.value / 2, rel=1e-6)


def test_no_temperature_fits_predictions_that_are_all_correct_with_a_large_margin():
    labels = torch.arange(100) % 10
    logits = 20 * nn.functional.one_hot(labels, 10).float()
    with pytest.raises(UserError, match="no temperature fits these 100"):
        fit_temperature(logits, labels)


def test_selective_prediction_drops_the_least_confident_first(linear_network):
    labels = np.zeros(200, dtype=np.int64)
    labels[:4] = 1  # the four least confident predictions are wrong
    logits = np.zeros((200, 10), dtype=np.float32)
    logits[:, 0] = np.linspace(1, 5, 200)
    evaluator = Evaluator(linear_network, CPU)
    evaluator.test_predictions = Predictions(logits, labels)
    assert METRICS["error_at_coverage_99"].measure(evaluator).value == pytest.approx(2 / 198)
    assert METRICS["error_at_coverage_95"].measure(evaluator).value == 0
    assert risk_coverage(evaluator)["error"][-1] == pytest.approx(4 / 200)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_stays_in_its_ball_and_raises_the_loss(name, loss, linear_network):
    attack, radius = ATTACKS[name], ATTACKS[name].shown_radius
    pixels = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = linear_network(pixels).argmax(1)
    perturbed = attack.perturb(linear_network, pixels, labels, radius, loss)
    assert perturbed.min() >= 0 and perturbed.max() <= 1
    change = (perturbed - pixels).flatten(1)
    size = change.norm(dim=1) if name.endswith("l2") else change.abs().amax(1)
    assert (size <= radius + 1e-4).all()
    assert (size > 0.9 * radius).all()
    assert loss(linear_network(perturbed), labels) > loss(linear_network(pixels), labels)


def test_the_margin_has_a_gradient_where_the_cross_entropy_has_none():
    logits = torch.tensor([[300.0, 0.0, 1.0] + [0.0] * 7], requires_grad=True)
    labels = torch.tensor([0])
    (flat,) = torch.autograd.grad(cross_entropy(logits, labels), logits)
    (steep,) = torch.autograd.grad(margin(logits, labels), logits)
    assert flat.abs().max() < 1e-30
    assert margin(logits, labels) == -299 and steep[0, 0] == -1 and steep[0, 2] == 1


def test_robust_accuracy_falls_with_the_radius(linear_network):
    pixels = torch.rand(60, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = linear_network(pixels).argmax(1)
    is_correct = correct_under_attack(linear_network, ATTACKS["pgd_linf"], pixels, labels)
    assert is_correct[0].all() and is_correct.shape == (1 + len(ATTACKS["pgd_linf"].radii), 60)
    assert (is_correct[1:] <= is_correct[:-1]).all()
    assert is_correct[-1].mean() < 0.1


def test_saved_drawings_have_the_form_of_mnist_and_their_labels(home):
    folder = home / "runs" / "drawings"
    folder.mkdir(parents=True)
    for label, box in ((1, (48, 20, 52, 90)), (0, (30, 20, 70, 90))):
        picture = Image.new("L", (100, 110), 255)
        ImageDraw.Draw(picture).rectangle(box, outline=0, width=4)
        picture.save(folder / f"{label}-20261121-101010-{label}.png")
    drawings = saved_drawings()
    assert drawings.labels.tolist() == [0, 1]
    widths = [(image.amax(0) > 60).sum() for image in drawings.images]
    assert widths[0] > widths[1] and drawings.images.shape == (2, 28, 28)


def test_without_drawings_the_error_names_the_drawing_page(home):
    with pytest.raises(UserError, match="mnist draw"):
        saved_drawings()
    (home / "runs" / "drawings").mkdir(parents=True)
    (home / "runs" / "drawings" / "3-damaged.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="no saved drawings"):
        saved_drawings()
