"""What one run's network answers, measured and drawn."""

from typing import Any

import torch
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from model_interpretation.classification_metrics import CONTESTED_TEST_DIGITS, classification_metrics
from model_interpretation.interpretation_figures import history_figure, reliability_figure
from model_interpretation.run_data import load_run_split
from models.trained import load_trained
from utils.answers import Answers, load_answers
from utils.errors import UserError
from utils.evaluation import predict_logits
from utils.figures import answers_figure, confusion_matrix_figure
from utils.image_set import ImageSet
from utils.run_folder import RunFolder

NUM_DIGITS_SHOWN = 40


def interpret_run(run: RunFolder, splits: list[str], device: torch.device) -> tuple[dict[str, Any], dict[str, Figure]]:
    """Metrics with a split a key, and pictures with a file name a key, which also go to TensorBoard under the run.

    Raises UserError where the run is unfinished or damaged.
    """
    summary, rows = run.summary(), run.rows()
    if not rows:
        raise UserError(f"run {run.path.name} has no rows in metrics.jsonl")
    metrics: dict[str, Any] = {}
    pictures: dict[str, Figure] = {}
    for split in splits:
        image_set = load_run_split(run, split)
        answers = run_answers(run, split, image_set, device)
        contested = CONTESTED_TEST_DIGITS if image_set.name == "mnist/test" else ()
        metrics[split] = classification_metrics(answers, image_set.class_names, contested)
        pictures |= {f"{split}_{name}": figure for name, figure in _pictures(answers, image_set).items()}
    pictures["history"] = history_figure(rows, summary["best_epoch"])
    with SummaryWriter(str(run.path), filename_suffix=".interpretation") as writer:
        for name, figure in pictures.items():
            writer.add_figure(f"interpretation/{name}", figure, summary["best_epoch"], close=False)
    return metrics, pictures


def run_answers(run: RunFolder, split: str, image_set: ImageSet, device: torch.device) -> Answers:
    """The test answers that lie in the run, or those that its network gives now, in fp32."""
    if split != "test":
        logits = predict_logits(load_trained(run, device), image_set.images, device, progress=image_set.name)
        return Answers(logits.cpu().numpy(), image_set.labels.numpy())
    answers = load_answers(run.test_predictions)
    if answers.labels.tolist() != image_set.labels.tolist():
        raise UserError(f"the predictions of run {run.path.name} are of other digits than {image_set.name} has now")
    return answers


def _pictures(answers: Answers, image_set: ImageSet) -> dict[str, Figure]:
    pictures = {"confusion_matrix": confusion_matrix_figure(answers, image_set.class_names, image_set.name)}
    worst, least_sure = answers.worst_mistakes(NUM_DIGITS_SHOWN), answers.least_sure_right(NUM_DIGITS_SHOWN)
    if len(worst):
        title = f"{image_set.name}: true != predicted, confidence"
        pictures["worst_mistakes"] = answers_figure(answers, worst, image_set, title)
    if len(least_sure):
        title = f"{image_set.name}: true = predicted, confidence"
        pictures["least_sure_right"] = answers_figure(answers, least_sure, image_set, title)
    pictures["reliability"] = reliability_figure(answers, image_set.name)
    return pictures
