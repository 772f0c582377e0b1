"""Logits, predictions and scores of a model."""

import math

import pytest
import torch
from torch import nn

from models.registry import build_model
from utils.errors import UserError
from utils.evaluation import ShiftAverage, predict, predict_logits, score

CPU = torch.device("cpu")


def test_score_equals_a_hand_computed_one():
    logits = torch.tensor([[2.0] + [0.0] * 9, [0.0] * 9 + [1.0]])
    result = score(logits, torch.tensor([0, 3]))
    assert (result.num_digits, result.num_correct, result.accuracy) == (2, 1, 0.5)
    by_hand = (-math.log(math.exp(2) / (math.exp(2) + 9)) - math.log(1 / (math.exp(1) + 9))) / 2
    assert result.loss == pytest.approx(by_hand)


class CountBatches(nn.Module):
    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, images):
        assert not self.training and images.dtype == torch.float32 and images.max() <= 1
        self.sizes.append(len(images))
        return images.sum(dim=(1, 2, 3))[:, None].repeat(1, 10)


def test_logits_are_in_the_order_of_the_images_and_the_model_keeps_its_mode(few_digits):
    model = CountBatches().train()
    images = few_digits.images.repeat(6, 1, 1)[:1100]
    logits = predict_logits(model, images, CPU)
    torch.testing.assert_close(logits[:, 0], images.float().sum(dim=(1, 2)) / 255)
    assert model.sizes == [500, 500, 100] and model.training


def test_predictions_hold_logits_and_labels_of_the_set(few_digits):
    model = build_model("linear")
    predictions = predict(model, few_digits)
    assert torch.equal(torch.from_numpy(predictions.logits), predict_logits(model, few_digits.images, CPU))
    result = score(torch.from_numpy(predictions.logits), few_digits.labels)
    assert predictions.accuracy == result.accuracy and str(result).startswith(f"accuracy {result.accuracy:.2%} (")


class CentreAndRight(nn.Module):
    """Two classes: the logit of the first is the pixel in the centre, that of the second the pixel to its right."""

    def forward(self, images):
        return images[:, 0, 14, 14:16] * 5


def test_the_average_over_shifts_is_that_of_the_probabilities():
    image = torch.zeros(1, 1, 28, 28)
    image[0, 0, 14, 14] = 1.0
    model = CentreAndRight()
    torch.testing.assert_close(ShiftAverage(model, 0)(image), model(image).log_softmax(1))
    # The bright pixel is on the first place in one of nine shifts, on the second in one, elsewhere in seven.
    bright = math.exp(5) / (math.exp(5) + 1)
    expected = (bright + (1 - bright) + 7 * 0.5) / 9
    torch.testing.assert_close(ShiftAverage(model, 1)(image).softmax(1), torch.tensor([[expected, 1 - expected]]))


@pytest.mark.parametrize("pixels", [-1, 5])
def test_too_many_shifts_are_refused(pixels):
    with pytest.raises(UserError, match=f"--test-time-shifts {pixels}: expected 0 to 4 pixels"):
        ShiftAverage(nn.Identity(), pixels)
