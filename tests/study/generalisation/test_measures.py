"""The measures of a scorecard, held against what can be computed by hand."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score
from torch import nn

from study.generalisation import moved_digits, no_digit, other_hands
from study.generalisation.adversarial import ATTACKS, LOSSES, cross_entropy, margin, right_under
from study.generalisation.cells import Cell, Part, cell_or_reason, mean_cell, share_cell
from study.generalisation.clean_digits import abstaining, fit_temperature
from study.generalisation.other_hands import saved_drawings
from study.generalisation.subject import Subject
from utils.answers import Answers
from utils.augmentation import transform
from utils.errors import UserError
from utils.image_set import ImageSet
from utils.run_folder import RunFolder


class Judge(Subject):
    """In place of a network: right where the picture's brightest pixel lies in one of these places."""

    def __init__(self, digits: ImageSet, places: set[tuple[int, int]]) -> None:
        self.digits, self.places = digits, places

    def sample(self, _count):
        return self.digits

    def is_right(self, image_set, _progress=None):
        brightest = image_set.images.flatten(1).int().argmax(1)
        return np.array([(int(place) // 28, int(place) % 28) in self.places for place in brightest])


def one_bright_pixel(row: int, column: int, count: int = 1) -> ImageSet:
    images = torch.zeros(count, 28, 28, dtype=torch.uint8)
    images[:, row, column] = 255
    return ImageSet("dots", images, torch.zeros(count, dtype=torch.int64))


def test_cells_say_value_interval_and_number():
    cell = share_cell(np.array([True] * 8 + [False] * 2))
    assert (cell.value, cell.n) == (0.8, 10)
    assert (cell.low, cell.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson 1927
    assert str(cell) == "80.00 % (49.02 to 94.33)"
    assert str(Cell(1.234, 1.2, 1.3, 5, "number")) == "1.23 (1.2 to 1.3)"
    mean = mean_cell(np.array([0.0, 1.0] * 200))
    assert mean.value == 0.5
    assert mean.low == pytest.approx(0.45, abs=0.01) and mean.high == pytest.approx(0.55, abs=0.01)


def test_a_cell_without_data_says_why_and_a_part_comes_back_from_json():
    def measure():
        raise UserError("x is missing.\nGet it by y.")

    part = Part({"a": cell_or_reason(measure), "b": Cell(0.5, 0.4, 0.6, 7)}, {"curve": [1, 2]})
    assert str(part.cells["a"]) == "none: x is missing. Get it by y."
    assert not part.is_whole
    assert Part.from_json(part.to_json()) == part


def test_digits_are_shifted_down_and_to_the_right():
    dot = one_bright_pixel(10, 12)
    right = moved_digits._right_at_shifts(Judge(dot, {(13, 10)}), dot, 4)
    assert np.argwhere(right[0]).tolist() == [[4 + 3, 4 - 2]]  # 3 down, 2 to the left


def test_the_area_counts_the_places_that_reach_95_percent():
    right = np.zeros((40, 3, 3), dtype=bool)
    right[:, 0, :] = True
    right[:37, 1, 1] = True  # 92.5 %
    cell = moved_digits._area_cell(right)
    assert cell.value == 3 and cell.low == 3 and 3 <= cell.high <= 4 and cell.kind == "number"


@pytest.mark.parametrize(
    ("degrees", "scale", "right", "down", "goes_to"),
    [
        (0, 1, 0, 0, (13, 20)),
        (90, 1, 0, 0, (7, 13)),  # counterclockwise: from the right to the top
        (180, 1, 0, 0, (14, 7)),
        (0, 1, 3, -2, (11, 23)),
        (90, 1, 3, -2, (5, 16)),  # turned first, then moved
    ],
)
def test_a_digit_is_turned_and_then_moved(degrees, scale, right, down, goes_to):
    pixels = one_bright_pixel(13, 20).images.unsqueeze(1) / 255
    moved = transform(pixels, moved_digits.move_map(degrees, scale, right, down))[0, 0]
    assert moved[goes_to] == pytest.approx(1, abs=1e-4)
    assert moved.sum() == pytest.approx(1, abs=1e-3)


def test_a_digit_scaled_by_a_half_has_a_quarter_of_the_ink():
    square = torch.zeros(1, 1, 28, 28)
    square[0, 0, 6:22, 6:22] = 1
    assert transform(square, moved_digits.move_map(0, 0.5, 0, 0)).sum() == pytest.approx(16 * 16 / 4, rel=0.01)


def test_the_worst_case_asks_every_move():
    dot = one_bright_pixel(13, 13, count=3)
    everywhere = {(row, column) for row in range(28) for column in range(28)}
    name = "worst of 3 px and 30 degrees"
    assert moved_digits.worst_case(Judge(dot, everywhere)).cells[name].value == 1
    assert moved_digits.worst_case(Judge(dot, everywhere - {(16, 16)})).cells[name].value == 0


def test_the_temperature_of_logits_that_are_twice_too_large_is_two():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 10, generator=generator) * 2
    labels = logits.softmax(1).multinomial(1, generator=generator).flatten()
    cell = fit_temperature(logits * 2, labels)
    assert cell.low < 2 < cell.high
    assert cell.high - cell.low < 0.15
    assert fit_temperature(logits, labels).value == pytest.approx(cell.value / 2, rel=1e-6)


def test_no_temperature_fits_digits_that_are_all_right_with_room_to_spare():
    labels = torch.arange(100) % 10
    logits = 20 * torch.nn.functional.one_hot(labels, 10).float()
    with pytest.raises(UserError, match="no temperature fits these 100"):
        fit_temperature(logits, labels)


def test_abstaining_leaves_out_the_least_sure(home):
    sureness = np.linspace(1, 5, 200)
    labels = np.zeros(200, dtype=np.int64)
    labels[:4] = 1  # the four least sure are wrong
    logits = np.zeros((200, 10), dtype=np.float32)
    logits[:, 0] = sureness
    subject = Subject(RunFolder(home / "no run"), torch.device("cpu"))
    subject.test_answers = Answers(logits, labels)
    part = abstaining(subject)
    assert part.cells["error on the surest 99%"].value == pytest.approx(2 / 198)
    assert part.cells["error on the surest 95%"].value == 0
    assert part.curves["error"][-1] == pytest.approx(4 / 200)


def test_the_auroc_is_that_of_scikit_learn_with_hanley_and_mcneils_interval():
    generator = np.random.default_rng(0)
    known, strange = generator.normal(1, 1, 400), generator.normal(0, 1, 300)
    cell = no_digit.auroc_cell(known, strange)
    labels = np.r_[np.ones(400), np.zeros(300)]
    assert cell.value == pytest.approx(roc_auc_score(labels, np.r_[known, strange]))
    resampled = [
        roc_auc_score(labels, np.r_[generator.choice(known, 400), generator.choice(strange, 300)]) for _ in range(300)
    ]
    assert (cell.low, cell.high) == pytest.approx(tuple(np.quantile(resampled, (0.025, 0.975))), abs=0.01)
    apart = no_digit.auroc_cell(known + 100, strange)
    assert (apart.value, apart.low, apart.high) == (1, pytest.approx(0.99), 1)  # 3 / 300


def test_whitened_vectors_have_unit_variance_in_every_direction():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.eye(6) + 0.3 * torch.randn(6, 6, generator=generator)
    vectors = torch.randn(5000, 6, generator=generator) @ mixing
    centred = vectors - vectors.mean(0)
    white = centred @ no_digit._whitening(centred)
    assert torch.allclose(white.T @ white / len(white), torch.eye(6), atol=0.05)


@pytest.fixture
def linear_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).requires_grad_(False)


@pytest.mark.parametrize("loss_to_raise", LOSSES)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_stays_in_its_ball_and_raises_the_loss(name, loss_to_raise, linear_network):
    attack, radius = ATTACKS[name], ATTACKS[name].shown_radius
    pixels = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = linear_network(pixels).argmax(1)
    changed = attack.change(linear_network, pixels, labels, radius, loss_to_raise)
    assert changed.min() >= 0 and changed.max() <= 1
    size = (changed - pixels).flatten(1)
    length = size.norm(dim=1) if name.endswith("l2") else size.abs().amax(1)
    assert (length <= radius + 1e-4).all()
    assert (length > 0.9 * radius).all()
    assert loss_to_raise(linear_network(changed), labels) > loss_to_raise(linear_network(pixels), labels)


def test_the_margin_has_a_gradient_where_the_cross_entropy_has_none():
    logits = torch.tensor([[300.0, 0.0, 1.0] + [0.0] * 7], requires_grad=True)
    labels = torch.tensor([0])
    (flat,) = torch.autograd.grad(cross_entropy(logits, labels), logits)
    (steep,) = torch.autograd.grad(margin(logits, labels), logits)
    assert flat.abs().max() < 1e-30
    assert margin(logits, labels) == -299 and steep[0, 0] == -1 and steep[0, 2] == 1


def test_more_radius_leaves_fewer_digits_right(linear_network):
    pixels = torch.rand(60, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = linear_network(pixels).argmax(1)
    right = right_under(linear_network, ATTACKS["PGD"], pixels, labels, "PGD")
    assert right[0].all() and right.shape == (1 + len(ATTACKS["PGD"].radii), 60)
    assert (right[1:] <= right[:-1]).all()
    assert right[-1].mean() < 0.1


def test_the_worst_tenth_of_the_writers_is_told_from_what_chance_makes(home, monkeypatch):
    monkeypatch.setattr(other_hands, "mnist_writers", lambda: {"test": np.arange(1000) // 50})  # 20 writers
    logits = np.eye(10, dtype=np.float32)[np.zeros(1000, dtype=int)]
    labels = np.zeros(1000, dtype=np.int64)
    labels[:40] = 1  # the first writer's digits are read wrong but for ten
    subject = Subject(RunFolder(home / "no run"), torch.device("cpu"))
    subject.test_answers = Answers(logits, labels)
    part = other_hands.writers(subject)
    worst, alike = part.cells.values()
    assert worst.value == pytest.approx((0.2 + 1) / 2) and worst.n == 20
    assert 0.85 < alike.low < alike.value < alike.high < 0.96
    monkeypatch.setattr(other_hands, "mnist_writers", lambda: None)
    assert "qmnist_labels" in other_hands.writers(subject).cells["worst tenth of the writers"].missing


def test_saved_drawings_come_in_mnists_form_with_their_labels(home):
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


def test_without_drawings_the_reason_says_how_to_make_some(home):
    with pytest.raises(UserError, match="mnist draw"):
        saved_drawings()
    (home / "runs" / "drawings").mkdir(parents=True)
    (home / "runs" / "drawings" / "3-damaged.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="no saved drawing"):
        saved_drawings()
