"""report.json: everything that the report is computed from, seed by seed, so that anybody can compute it again.

Runs are recorded with their recipe, epochs, summary, scorecard and mistakes; images, weights and logits are not.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from study.ablation import AblationResults, read_results
from study.comparison.groups import group_runs
from study.label_errors import sentences
from study.report.evidence import Evidence, Network
from study.scorecard import METRICS, MetricResult, Scorecard
from utils.errors import UserError, brief
from utils.files import shown, write_whole
from utils.outside import read_json
from utils.predictions import Predictions
from utils.run import NAME_PATTERN, Run

SPLITS = ("test", "validation")
RESULT_DIGITS, CURVE_DIGITS = 9, 5  # significant digits
MISTAKE_LOGIT = 10.0  # of the predicted class in restored predictions; only the predicted class is recorded


def write_recorded(file: Path, evidence: Evidence) -> None:
    """Writes report.json, one line per run."""
    image_sets: dict[str, dict[str, Any]] = {}
    runs = [
        _recorded_run(run, card, image_sets)
        for network in evidence.networks
        for run, card in zip(network.group.runs, network.cards, strict=True)
    ]
    values = {
        "image_sets": image_sets,
        "inspection": evidence.inspection,
        "ablation": _recorded_ablation(evidence.ablation),
        "label_errors": evidence.label_errors,
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in values.items()]
    run_lines = ",\n".join(json.dumps(run, allow_nan=False) for run in runs)
    write_whole(file, ("{\n" + ",\n".join(lines) + f',\n"runs": [\n{run_lines}\n]\n' + "}\n").encode())


def _recorded_run(run: Run, card: Scorecard, image_sets: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": run.name,
        "config": run.recipe.to_json(),
        "environment": _without_paths(run.environment),
        "summary": dataclasses.asdict(run.summary),
        "epochs": [dataclasses.asdict(row) for row in run.metrics],
        "predictions": {
            split: _recorded_predictions(run.predictions(split), image_sets)
            for split in SPLITS
            if run.predictions_file(split).exists()
        },
        "results": {metric: _without_defaults(result) for metric, result in card.results.items()},
        "curves": {name: _rounded(curve, CURVE_DIGITS) for name, curve in card.curves.items()},
    }


def _recorded_predictions(predictions: Predictions, image_sets: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The mistakes as pairs of index and predicted class. The labels and writers of the images, which runs share, go
    into `image_sets`."""
    writers = None if predictions.writers is None else predictions.writers.tolist()
    images = {"labels": "".join(map(str, predictions.labels)), "writers": writers}
    key = hashlib.sha256(json.dumps(images).encode()).hexdigest()[:12]
    image_sets[key] = images
    mistakes = np.flatnonzero(~predictions.is_correct)
    return {"images": key, "mistakes": [[int(index), int(predictions.predicted[index])] for index in mistakes]}


def _recorded_ablation(ablation: AblationResults | None) -> dict[str, Any] | None:
    if ablation is None:
        return None
    return dataclasses.asdict(dataclasses.replace(ablation, environment=_without_paths(ablation.environment)))


def _without_paths(environment: dict[str, Any]) -> dict[str, Any]:
    """The versions and the machine, without folders and commands that name them."""
    return {name: value for name, value in environment.items() if name not in ("working_folder", "command")}


def _without_defaults(result: MetricResult) -> dict[str, Any]:
    defaults = MetricResult(None)
    values = {name: value for name, value in dataclasses.asdict(result).items() if value != getattr(defaults, name)}
    return {name: _rounded(value, RESULT_DIGITS) for name, value in values.items()}


def _rounded(value: Any, num_digits: int) -> Any:
    """The same lists and dictionaries with rounded numbers."""
    match value:
        case float():
            return float(f"{value:.{num_digits}g}")
        case list():
            return [_rounded(item, num_digits) for item in value]
        case dict():
            return {name: _rounded(item, num_digits) for name, item in value.items()}
    return value


def read_recorded(file: Path, folder: Path) -> Evidence:
    """The evidence in a report.json. Its runs are restored as run folders, without weights, in the empty `folder`.

    Raises UserError if the file is not a report.json of this version.
    """
    try:
        values = read_json(file)
        cards = {run["name"]: _restored(run, values["image_sets"], folder) for run in values["runs"]}
        groups, _ = group_runs(Run(folder / name) for name in cards)
        networks = [Network(group, [cards[run.name] for run in group.runs]) for group in groups]
        ablation = _restored_ablation(values["ablation"], folder)
        if values["label_errors"]:
            sentences(values["label_errors"])  # needs all that the report shows
        if not networks:
            raise ValueError("it has no readable runs")
    except OSError as error:
        raise UserError(
            f"cannot read {shown(file)}: {error.strerror}.\n"
            "Expected the report.json of a report: 'mnist report' writes one into study/output/report/"
        ) from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(
            f"{shown(file)} is not the report.json of a report of this version: {brief(error)}.\n"
            "'mnist report' writes one into study/output/report/"
        ) from None
    return Evidence(networks, values["inspection"], ablation, values["label_errors"], is_recorded=True)


def _restored(recorded: dict[str, Any], image_sets: dict[str, dict[str, Any]], folder: Path) -> Scorecard:
    """Writes the run folder. Returns the scorecard."""
    if not NAME_PATTERN.fullmatch(recorded["name"]):
        raise ValueError(f"{recorded['name']} is no name of a run")
    run = Run(folder / recorded["name"])
    for name, values in (("config", "config"), ("environment", "environment"), ("summary", "summary")):
        write_whole(run.path / f"{name}.json", json.dumps(recorded[values]).encode())
    epochs = "".join(f"{json.dumps(_known(row))}\n" for row in recorded["epochs"])
    write_whole(run.path / "metrics.jsonl", epochs.encode())
    for split, predictions in recorded["predictions"].items():
        _restored_predictions(predictions, image_sets).save(run.predictions_file(split))
    results = {metric: MetricResult(**{"value": None, **result}) for metric, result in recorded["results"].items()}
    known = {metric: result for metric, result in results.items() if metric in METRICS}
    return Scorecard(run.name, known, recorded["curves"], 0.0, run.path)


def _known(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _restored_predictions(recorded: dict[str, Any], image_sets: dict[str, dict[str, Any]]) -> Predictions:
    images = image_sets[recorded["images"]]
    labels = np.array([int(label) for label in images["labels"]], dtype=np.int64)
    predicted = labels.copy()
    for index, wrong in recorded["mistakes"]:
        predicted[index] = wrong
    logits = MISTAKE_LOGIT * np.eye(10, dtype=np.float32)[predicted]
    writers = None if images["writers"] is None else np.array(images["writers"], dtype=np.int64)
    return Predictions(logits, labels, writers)


def _restored_ablation(values: dict[str, Any] | None, folder: Path) -> AblationResults | None:
    if not values:
        return None
    file = folder / "ablation" / "results.json"
    write_whole(file, json.dumps(values).encode())
    return read_results(file)
