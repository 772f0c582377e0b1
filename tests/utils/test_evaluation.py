"""Logits, predictions and scores of a model."""

import math

import pytest
import torch
from torch import nn

from models.registry import build_model
from utils.evaluation import predict, predict_logits, score

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
