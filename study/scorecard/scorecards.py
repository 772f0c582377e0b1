"""Scorecards of runs, measured or from the cache; their tables and pages; and metrics of any module."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import nn

from models import load_trained
from study.scorecard.cache import Scorecard, ScorecardCache, cache_file, scorecards_folder
from study.scorecard.corruptions import ranks_of
from study.scorecard.evaluator import Curve, Evaluator, Metric, MetricResult
from study.scorecard.figures import scorecard_blocks
from study.scorecard.registry import (
    CURVES,
    CURVES_WITHOUT_STRONG_ATTACK,
    FULL,
    MAIN,
    METRICS,
    WITHOUT_STRONG_ATTACK,
    get_metric,
)
from utils.data.datasets import class_names, load_dataset
from utils.data.splits import DIGIT_NAMES
from utils.document import Block, Command, Document, Facts, Section, Sliders, Table, Text
from utils.errors import UserError
from utils.event_files import log_scorecard
from utils.files import output_folder, shown
from utils.run import Run
from utils.runtime import choose_device
from utils.track import track

SUMMARY_METRICS = ("test_accuracy", "usps_accuracy", "shift_4px", "corruptions_mean", "spatial_worst_case")
MAX_NETWORKS_WITH_SLIDERS = 10
MAX_MISSING_NAMED = 3
NOT_MEASURED = "Not measured"
EXAMPLE_DIGIT = 1  # of the bundled digits, which are always there: the digit that moves with the sliders


def evaluate(
    model: nn.Module | Run, metrics: Sequence[str] | None = None, device: str = "auto"
) -> dict[str, MetricResult]:
    """Measures metrics, by default the full scorecard, of a run or of any module from pixels (N, 1, 28, 28) in [0, 1]
    to logits (N, 10).

    Results of runs are cached. Metrics that need a run's training or validation digits have no value for a module.
    Raises UserError for an unknown metric id or device, and if MNIST's test set is not available.
    """
    metrics = FULL if metrics is None else metrics
    if isinstance(model, Run):
        return scorecard(model, metrics, device).results
    chosen = [get_metric(metric_id) for metric_id in metrics]
    evaluator = Evaluator(model, choose_device(device))
    _ = evaluator.test_set  # raises if it is not available
    bar = track(chosen, desc="metrics")
    return {metric.id: metric.measure(evaluator) for metric in bar}


def scorecard(run: Run, metrics: Sequence[str] = FULL, device: str = "auto") -> Scorecard:
    """These metrics of the run. With all metrics of the full scorecard also the curves; without those of the strong
    attack, the other curves. Measures what the cache lacks.

    The main metrics also become columns in TensorBoard. Raises UserError for an unknown metric id or device, and if the
    run is unfinished, damaged, or not of digits.
    """
    chosen: list[Metric | Curve] = [get_metric(metric_id) for metric_id in dict.fromkeys(metrics)]
    if set(WITHOUT_STRONG_ATTACK) <= set(metrics):
        curves = CURVES if set(FULL) <= set(metrics) else CURVES_WITHOUT_STRONG_ATTACK
        chosen += [CURVES[id_] for id_ in curves]
    check_is_measurable(run)
    cache = ScorecardCache(cache_file(run))
    due = [item for item in chosen if cache.is_due(item)]
    if due:
        chosen_device = choose_device(device)
        evaluator = Evaluator(load_trained(run, chosen_device), chosen_device, run)
        _ = evaluator.test_set  # raises if it is not available
        bar = track(due, desc=run.name)
        for item in bar:
            bar.set_postfix_str(item.id)
            started = time.perf_counter()
            value = asdict(item.measure(evaluator)) if isinstance(item, Metric) else item.compute(evaluator)
            cache.put(item, value, time.perf_counter() - started)
    main = _scorecard_from(cache, run, [METRICS[metric_id] for metric_id in MAIN]).results
    log_scorecard(run, {metric_id: result.value for metric_id, result in main.items() if result.value is not None})
    return _scorecard_from(cache, run, chosen)


def check_is_measurable(run: Run) -> None:
    if run.problem:
        raise UserError(f"{shown(run.path)} has no scorecard: it is {run.problem}. Expected a finished run.")
    if class_names(run.recipe.dataset) != DIGIT_NAMES:
        raise UserError(f"{shown(run.path)} was trained on {run.recipe.dataset}: a scorecard needs a model of digits")


def cached_scorecards(runs: Iterable[Run], metrics: Sequence[str] = FULL) -> dict[str, Scorecard]:
    """What the cache has of these metrics, and all cached curves, by run name. Nothing is measured. Runs without any
    cached result, unfinished and damaged runs are left out."""
    chosen: list[Metric | Curve] = [*map(get_metric, metrics), *CURVES.values()]
    caches = {run: ScorecardCache(cache_file(run)) for run in runs if not run.problem and run.best_checkpoint.exists()}
    cards = (_scorecard_from(cache, run, chosen) for run, cache in caches.items())
    return {card.run_name: card for card in cards if card.results}


def _scorecard_from(cache: ScorecardCache, run: Run, chosen: Sequence[Metric | Curve]) -> Scorecard:
    entries = {item.id: entry for item in chosen if (entry := cache.get(item))}
    results = {id_: MetricResult(**entry.value) for id_, entry in entries.items() if id_ in METRICS}
    curves = {id_: entry.value for id_, entry in entries.items() if id_ in CURVES}
    return Scorecard(run.name, results, curves, sum(entry.seconds for entry in entries.values()), cache.file)


def finished_mnist_runs() -> list[Run]:
    """The finished, readable runs that were trained on MNIST, the oldest first."""
    return [run for run in Run.all() if not run.problem and run.recipe.dataset == "mnist"]


def print_scorecards(runs: Sequence[Run], metrics: Sequence[str] = FULL, device: str = "auto") -> None:
    """Prints the scorecard of each run, and writes a page for a full scorecard. All runs are checked first."""
    for run in runs:
        check_is_measurable(run)
    cards = []
    for run in runs:
        card = scorecard(run, metrics, device)
        cards.append(card)
        print(f"{card.run_name}, measured in {card.seconds:.0f} s\n{scorecard_table(card)}")
        if card.curves:
            print(f"page: {write_scorecard_page(card)}")
        print()
    if ranks := ranks_of([card.results for card in cards]):
        print(f"Mean rank of the {len(cards)} networks under MNIST-C, 1 for the best:")
        for rank, card in sorted(zip(ranks, cards, strict=True), key=lambda pair: pair[0]):
            print(f"  {rank:5.2f}  {card.run_name}")


def scorecard_table(card: Scorecard) -> str:
    """One line per metric under the headings of the groups. Metrics without a value come last, with the reason."""
    measured = {id_: result for id_, result in card.results.items() if not result.missing}
    width = max((len(METRICS[id_].label) for id_ in measured), default=0)
    lines = []
    for title, ids in _by_group(measured).items():
        lines.append(title)
        lines += [f"  {METRICS[id_].label:<{width}}  {measured[id_]!s:<28} n {measured[id_].n:>6,}" for id_ in ids]
    missing = [f"  {METRICS[id_].label}: {result.missing}" for id_, result in card.results.items() if result.missing]
    return "\n".join([*lines, *(["Missing", *missing] if missing else [])])


def metrics_table() -> str:
    """All metrics with their ids under the headings of the groups."""
    width = max(map(len, METRICS))
    lines = []
    for title, ids in _by_group(METRICS).items():
        lines += [title, *(f"  {id_:<{width}}  {METRICS[id_].label}" for id_ in ids)]
    return "\n".join(lines)


def scorecard_document(card: Scorecard) -> Document:
    """The page of a full scorecard: sliders, figures, then a table per group."""
    series = {card.run_name: [card]}
    blocks: list[Block] = [
        Section("Moved digits", [move_sliders(series)]),
        Section("Figures", scorecard_blocks(series)),
    ]
    for title, ids in _by_group(card.results).items():
        results = {id_: card.results[id_] for id_ in ids}
        rows = [[METRICS[id_].label, str(it), f"{it.n:,}", id_] for id_, it in results.items() if not it.missing]
        missing = [*map(Text, missing_texts({id_: it.missing for id_, it in results.items() if it.missing}))]
        table = [Table(["metric", "value (95 % interval)", "n", "id"], rows, sortable=True)] if rows else []
        blocks.append(Section(title, [*table, *missing]))
    blocks.append(Section("Command", [Command([f"mnist scorecard {card.run_name}"])]))
    facts = [
        (METRICS[id_].label, f"{result.value:.1%}")
        for id_ in SUMMARY_METRICS
        if (result := card.results.get(id_)) and result.value is not None
    ]
    text = (
        f"Measured in {card.seconds:.0f} s. Intervals are 95\u00a0% confidence intervals; n is the number of images, "
        "or of writers."
    )
    return Document("Scorecard", blocks, [Facts(facts), Text(text)], subject=f"Run {card.run_name}")


def missing_texts(reasons: Mapping[str, str]) -> list[str]:
    """A sentence per reason why metrics, by id, have no value. Many metrics of a group are counted."""
    texts = []
    for reason in dict.fromkeys(reasons.values()):
        parts = []
        for group, ids in _by_group([id_ for id_ in reasons if reasons[id_] == reason]).items():
            labels = [METRICS[id_].label for id_ in ids]
            are_many = len(labels) > MAX_MISSING_NAMED
            parts.append(f"{len(labels)} metrics of '{group}'" if are_many else "; ".join(labels))
        texts.append(f"{NOT_MEASURED}: {'; '.join(parts)}: {reason}.")
    return texts


def move_sliders(series: Mapping[str, Sequence[Scorecard]]) -> Sliders:
    """Sliders over shift, scale and rotation for the first of these networks, by label: the mean over the seeds of
    each. The scorecards need all curves."""
    shown_series = dict(list(series.items())[:MAX_NETWORKS_WITH_SLIDERS])

    def mean(value_of: Callable[[dict[str, Any]], Any]) -> np.ndarray:
        return np.array([np.mean([value_of(card.curves) for card in cards], 0) for cards in shown_series.values()])

    curves = next(iter(series.values()))[0].curves
    some = f" The first {len(shown_series)} of {len(series)} networks." if len(shown_series) < len(series) else ""
    return Sliders(
        "Move a slider to see the accuracy on digits moved like the example. Shift, scale and rotation were measured "
        f"apart from one another.{some}",
        list(shown_series),
        load_dataset("digits", "test").images[EXAMPLE_DIGIT].numpy(),
        mean(lambda curves: curves["shift_map"]),
        curves["scale_curve"]["scale"],
        mean(lambda curves: curves["scale_curve"]["accuracy"]),
        curves["rotation_curve"]["degrees"],
        mean(lambda curves: curves["rotation_curve"]["accuracy"]),
    )


def write_scorecard_page(card: Scorecard) -> str:
    """Writes the page, unless it is newer than the measurements. Returns its path."""
    file = scorecards_folder() / f"{card.run_name}-{card.file.stem[:6]}.html"
    if not file.exists() or file.stat().st_mtime < card.file.stat().st_mtime:
        scorecard_document(card).write_html(file, output_folder("model_interpretation") / card.run_name)
    return shown(file)


def _by_group(metric_ids: Iterable[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for metric_id in metric_ids:
        groups.setdefault(METRICS[metric_id].group, []).append(metric_id)
    return groups
