"""What training writes for TensorBoard. metrics.jsonl and summary.json stay the record of a run; this is a view of it.

    runs/NAME/events...training     curves, graph, text, pictures
    runs/NAME/results/events...     hyperparameters from the start; final results and status at the end

The results are a TensorBoard run of their own, so that the HParams page has a column per result and none per curve: it
makes a column of every scalar in a run with hyperparameters.
"""

import contextlib
import shlex
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef
from torch import Tensor, fx, nn
from torch.utils.tensorboard._pytorch_graph import graph as traced_graph
from torch.utils.tensorboard.summary import histogram, pr_curve_raw

from models.layers import first_layer_filters
from trainers.generic_trainers.basic_trainer import BasicTrainer
from trainers.generic_trainers.tensorboard_pictures import (
    confusion_picture,
    digit_table_picture,
    digits_picture,
    filters_picture,
    reliability_picture,
    short,
)
from utils.data.augmentation import Augmentation
from utils.data.batches import to_pixels
from utils.data.datasets import ImageSet
from utils.errors import UserError
from utils.event_files import (
    FAILURE,
    FINAL,
    FINAL_LABELS,
    SESSION,
    SUCCESS,
    TRAINING,
    EventFile,
    chart_layout,
    files_of_kind,
    hyperparameters,
    png_value,
    replace_events,
    scalars,
    session_end,
    session_start,
    text,
)
from utils.predictions import Predictions
from utils.recipe import Execution
from utils.run import EpochMetrics, Run, RunSummary

EPOCH_TAGS = {
    "loss/train": "train_loss",
    "loss/val": "val_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/val": "val_accuracy",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "images_per_second": "images_per_second",
}
LAYOUT = {  # TensorBoard shows the last chart of a category first
    "training over validation": {
        "error rate": ["error_rate/train", "error_rate/val"],
        "loss": ["loss/train", "loss/val"],
        "accuracy": ["accuracy/train", "accuracy/val"],
    },
    "optimization": {
        "gradient norm": ["grad_norm"],
        "learning rate": ["learning_rate"],
    },
}
NUM_MISTAKES = 12
NUM_FILTERS = 20
NUM_THRESHOLDS = 51  # of a precision-recall curve
NUM_ACTIVATION_IMAGES = 256
NUM_AUGMENTED, NUM_VERSIONS = 8, 7  # digits, and augmented versions of each, in the pictures of the augmentation


class TensorBoardLog:
    """A callback that writes the events of one run into its folder."""

    def __init__(self, run: Run, execution: Execution, model: nn.Module, trainer: BasicTrainer | None = None) -> None:
        """A new run starts with its hyperparameters, its settings as text, the page layout, the model's graph and
        pictures of its augmentation. Imported weights have no trainer.

        A resumed run writes its last epoch again, which a killed process may have left out, and purges what that
        process wrote of later epochs.
        """
        self.run, self.execution, self.model, self.trainer = run, execution, model, trainer
        epochs_so_far = trainer.metrics if trainer else []
        self.file = EventFile(run.path, TRAINING, purge_step=epochs_so_far[-1].epoch if epochs_so_far else None)
        for path in files_of_kind(self.results_folder, FINAL):  # of a failure before the run was resumed
            path.unlink()
        start = session_start(hyperparameters(run.recipe, execution), run.recipe.hash)
        replace_events(self.results_folder, SESSION, [start], 0)
        if epochs_so_far:
            self._write_metrics(epochs_so_far[-1])
        else:
            self.file.write([chart_layout(LAYOUT), text("run", settings_text(run))], 0)
            with warnings.catch_warnings(), contextlib.suppress(Exception):  # such a model has no graph
                warnings.simplefilter("ignore")
                self.file.write_graph(model_graph(model))
            if trainer is not None and not trainer.augmentation.is_identity:
                self.file.write(augmentation_pictures(trainer.augmentation, some_training_images(trainer)), 0)

    @property
    def results_folder(self) -> Path:
        return self.run.path / "results"

    def step_done(self) -> None:
        pass

    def epoch_done(self, metrics: EpochMetrics) -> None:
        self._write_metrics(metrics)
        if self.trainer is not None:
            self._write_details(metrics, self.trainer)

    def _write_metrics(self, metrics: EpochMetrics) -> None:
        values = {tag: getattr(metrics, field) for tag, field in EPOCH_TAGS.items()}
        values |= {f"error_rate/{split}": 1 - values[f"accuracy/{split}"] for split in ("train", "val")}
        self.file.write(scalars(values), metrics.epoch)

    def _write_details(self, metrics: EpochMetrics, trainer: BasicTrainer) -> None:
        """Accuracy per class; if asked for, single steps, the confusion matrix and histograms."""
        epoch, validation_set = metrics.epoch, trainer.validation_set
        assert trainer.epoch_details is not None
        counts = confusion_counts(trainer.epoch_details.val_logits, validation_set.labels)
        names, totals = validation_set.class_names, counts.sum(1)
        present = [(name, row) for row, name in enumerate(names) if totals[row]]
        values = scalars({f"class_accuracy/{name}": counts[row, row] / totals[row] for name, row in present})
        every = self.execution.log_confusion_every
        if every and epoch % every == 0:
            title = (
                f"{validation_set.name}, epoch {epoch}: {counts.sum() - np.trace(counts):,} of {counts.sum():,} wrong"
            )
            values.append(png_value("validation/confusion_matrix", confusion_picture(counts, names, title)))
        if self.execution.log_histograms:
            values += histograms(trainer)
        self.file.write(values, epoch)
        if self.execution.log_every:
            self._write_steps(metrics.step - trainer.steps_per_epoch, trainer)

    def _write_steps(self, num_steps_before: int, trainer: BasicTrainer) -> None:
        """The loss and learning rate of every N-th step, from the logits that the epoch kept: no step waits for it."""
        details = trainer.epoch_details
        assert details is not None
        losses = [float(part.mean()) for part in details.losses.cpu().split(trainer.recipe.batch_size)]
        for number, (loss, rate) in enumerate(zip(losses, details.rates, strict=True), start=num_steps_before + 1):
            if number % self.execution.log_every == 0:
                self.file.write(scalars({"step/loss": loss, "step/learning_rate": rate}), number)

    def finish(self, summary: RunSummary, model: nn.Module, test_set: ImageSet, predictions: Predictions) -> None:
        """Writes pictures, precision-recall curves and verdict of the evaluated model, and the final results."""
        values = [*pictures(model, test_set, predictions), *pr_curves(predictions, test_set.class_names)]
        self.file.write([*values, text("verdict", verdict_text(self.run, summary))], summary.best_epoch)
        self.file.close()
        fields = {**asdict(summary), "test_error_rate": 1 - summary.test_accuracy}
        results = scalars({tag: float(fields[tag.removeprefix("final/")]) for tag in FINAL_LABELS})
        self._end(SUCCESS, results, summary.num_epochs_run)

    def fail(self, error: BaseException) -> None:
        """Writes that training failed or was pruned, unless the run is already evaluated or its folder deleted."""
        if self.file.is_closed or not self.run.path.exists():
            return
        epoch = len(self.trainer.metrics) if self.trainer else 0
        reason = " ".join(str(error).split()) if isinstance(error, UserError) else f"{type(error).__name__} {error}"
        self.file.write([text("verdict", f"stopped after epoch {epoch}: {reason.strip()}")], epoch)
        self.file.close()
        self._end(FAILURE, [], epoch)

    def _end(self, status: int, results: list[Summary.Value], step: int) -> None:
        replace_events(self.results_folder, FINAL, [*results, session_end(status)], step)


# Texts.


def settings_text(run: Run) -> str:
    """Recipe, execution, command, commit and versions as Markdown."""
    environment = run.environment
    commit = environment.get("git_commit") or "none"
    changes = "" if environment.get("git_tree_is_clean") is not False else ", with uncommitted changes"
    facts = {
        "run": run.name,
        "command": f"`{shlex.join(map(str, environment.get('command', [])))}`",
        "started": environment.get("started", ""),
        "git commit": f"{commit}{changes}",
        "machine": environment.get("device", ""),
        "Python": environment.get("python", ""),
        **environment.get("packages", {}),
    }
    return "\n\n".join(
        [_table("", facts), _table("recipe", run.recipe.to_json()), _table("execution", asdict(run.execution))]
    )


def verdict_text(run: Run, summary: RunSummary) -> str:
    """The result in one sentence, and the command that loads the run."""
    kept = "the last" if run.recipe.checkpoint == "last" else "the best on validation"
    return (
        f"**{summary.test_accuracy:.2%} test accuracy**, loss {summary.test_loss:.4f}, "
        f"validation {summary.val_accuracy:.2%}. "
        f"Evaluated: epoch {summary.best_epoch} of {summary.num_epochs_run} ({kept}). "
        f"Training took {summary.train_seconds:.1f} s.\n\n`mnist interpret {run.name}`"
    )


def _table(title: str, values: dict[str, Any]) -> str:
    rows = [
        f"| {name.replace('_', ' ')} | {str(value).replace('|', chr(92) + '|')} |" for name, value in values.items()
    ]
    return "\n".join([f"| {title} | |", "|---|---|", *rows])


# Values of an epoch and of the end.


def confusion_counts(
    logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]
) -> Int64[np.ndarray, "classes classes"]:
    """How often each class (row) is predicted as each class (column)."""
    num_classes = logits.shape[1]
    cells = labels * num_classes + logits.argmax(1)
    return torch.bincount(cells, minlength=num_classes**2).view(num_classes, num_classes).cpu().numpy()


def histograms(trainer: BasicTrainer) -> list[Summary.Value]:
    """The distributions of weights, of the last step's gradients, and of each layer's activations for some validation
    digits."""
    arrays: dict[str, Tensor] = {}
    for name, parameter in trainer.model.named_parameters():
        arrays[f"weights/{name}"] = parameter
        if parameter.grad is not None:
            arrays[f"gradients/{name}"] = parameter.grad
    model, activations = trainer.evaluated_model, {}
    layers = {name: layer for name, layer in model.named_modules() if name and not list(layer.children())}
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output, name=name: activations.update({name: output}))
        for name, layer in layers.items()
    ]
    was_training = model.training
    pixels = to_pixels(trainer.validation_set.images[:NUM_ACTIVATION_IMAGES])
    with torch.no_grad():
        model.eval()(pixels.to(next(model.parameters()).dtype))
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    arrays |= {f"activations/{name}": output for name, output in activations.items()}
    values = {tag: array.detach().float().cpu().numpy() for tag, array in arrays.items()}
    return [value for tag, array in values.items() for value in histogram(tag, array, "auto", max_bins=64).value]


def some_training_images(trainer: BasicTrainer) -> UInt8[Tensor, "n 28 28"]:
    """The first training images, on the CPU."""
    indices = torch.arange(min(NUM_AUGMENTED, trainer.num_images))
    pixels = torch.cat([images for images, _ in trainer.batches.epoch(indices)])
    return (pixels.squeeze(1) * 255).round().byte().cpu()


def augmentation_pictures(augmentation: Augmentation, images: UInt8[Tensor, "n 28 28"]) -> list[Summary.Value]:
    """Augmented versions of some images and, if there are several kinds of change, what each does by itself."""
    versions = torch.stack([images, *(augmentation.example(images, seed) for seed in range(NUM_VERSIONS))], dim=1)
    title = "first column: training images; the others: augmented versions of them"
    drawn = {"augmentation/examples": digit_table_picture(versions.numpy(), (), title)}
    parts = augmentation.parts
    if len(parts) > 1:
        rows = torch.stack([images, *(part.example(images, 0) for part in parts.values())])
        title = "each kind of change by itself"
        drawn["augmentation/parts"] = digit_table_picture(rows.numpy(), ["original", *parts], title)
    return [png_value(tag, png) for tag, png in drawn.items()]


def pictures(model: nn.Module, test_set: ImageSet, predictions: Predictions) -> list[Summary.Value]:
    """Confusion matrix, reliability, worst mistakes and first-layer filters. No mistakes or no filters of pixels: no
    picture of them."""
    names = [short(name) for name in test_set.class_names]
    counts = confusion_counts(torch.from_numpy(predictions.logits), torch.from_numpy(predictions.labels))
    num_wrong = int((~predictions.is_correct).sum())
    title = f"{test_set.name}: {num_wrong:,} of {len(predictions.labels):,} wrong"
    drawn = {
        "test/confusion_matrix": confusion_picture(counts, test_set.class_names, title),
        "test/reliability": reliability_picture(predictions, test_set.name),
    }
    mistakes = predictions.worst_mistakes(NUM_MISTAKES)
    if len(mistakes):
        break_ = "\n" if max(map(len, names)) > 3 else " "
        captions = [
            f"no. {i}\n{names[predictions.labels[i]]}{break_}as {names[predictions.predicted[i]]}, "
            f"{predictions.confidence[i]:.0%}"
            for i in mistakes.tolist()
        ]
        title = f"{test_set.name}: the {len(mistakes)} most confident of {num_wrong:,} mistakes"
        drawn["test/worst_mistakes"] = digits_picture(test_set.images[mistakes].cpu().numpy(), captions, title)
    filters = first_layer_filters(model)
    if filters is not None:
        title = f"weights of the first layer, {min(len(filters), NUM_FILTERS)} filters"
        drawn["filters/first_layer"] = filters_picture(filters[:NUM_FILTERS], title)
    return [png_value(tag, png) for tag, png in drawn.items()]


def pr_curves(predictions: Predictions, class_names: tuple[str, ...]) -> list[Summary.Value]:
    """A precision-recall curve per class: this class against all others, by its probability."""
    values = []
    for label, name in enumerate(class_names):
        is_class = predictions.labels == label
        places = (predictions.probabilities[:, label] * (NUM_THRESHOLDS - 1)).astype(int)
        positives, negatives = (  # at or above each threshold
            np.bincount(places[chosen], minlength=NUM_THRESHOLDS)[::-1].cumsum()[::-1]
            for chosen in (is_class, ~is_class)
        )
        tn, fn = negatives[0] - negatives, positives[0] - positives
        precision = positives / np.maximum(positives + negatives, 1)
        recall = positives / max(positives[0], 1)
        curve = (positives, negatives, tn, fn, precision, recall)
        values += pr_curve_raw(f"test/precision_recall/{name}", *curve, num_thresholds=NUM_THRESHOLDS).value
    return values


# The model's graph.


class _LayerTracer(fx.Tracer):
    """Traces the calls of layers, without looking into them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not list(m.children()) or super().is_leaf_module(m, module_qualified_name)


class _ShapeRecorder(fx.Interpreter):
    """Runs the traced model and notes the shape of each result."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = tuple(result.shape)
        return result


def model_graph(model: nn.Module) -> bytes:
    """The graph of the model's layers with their output shapes, as a serialized GraphDef. A model whose code depends on
    the values of tensors is traced operation by operation instead, which takes ten times as long."""
    parameter, was_training = next(model.parameters()), model.training
    pixels = torch.zeros(1, 1, 28, 28, device=parameter.device, dtype=parameter.dtype)
    model.eval()
    try:
        with torch.no_grad():
            try:
                return _layer_graph(model, pixels).SerializeToString()
            except Exception:  # fx refuses dynamic models with many kinds of errors
                return traced_graph(model, pixels)[0].SerializeToString()
    finally:
        model.train(was_training)


def _layer_graph(model: nn.Module, pixels: Tensor) -> GraphDef:
    traced = fx.GraphModule(model, _LayerTracer().trace(model))
    _ShapeRecorder(traced).run(pixels)
    nodes: dict[fx.Node, NodeDef] = {}
    names: set[str] = set()
    for node in traced.graph.nodes:
        layer = traced.get_submodule(node.target) if node.op == "call_module" else None
        attributes = {}
        if layer is not None:
            attributes["layer"] = AttrValue(s=str(layer).encode())
        if "shape" in node.meta:
            sizes = [TensorShapeProto.Dim(size=size) for size in node.meta["shape"]]
            attributes["_output_shapes"] = AttrValue(list=AttrValue.ListValue(shape=[TensorShapeProto(dim=sizes)]))
        name = node.target.replace(".", "/") if layer is not None else node.name
        name = f"{name}/{node.name}" if name in names else name  # a layer that is called twice
        names.add(name)
        nodes[node] = NodeDef(
            name=name,
            op=type(layer).__name__ if layer is not None else node.op,
            input=[nodes[source].name for source in node.all_input_nodes],
            attr=attributes,
        )
    return GraphDef(node=nodes.values(), versions=VersionDef(producer=22))
