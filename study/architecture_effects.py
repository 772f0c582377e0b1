"""The architecture study's networks trained and judged, and how each differs from the baseline."""

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tqdm import tqdm

from models.registry import build_model, num_parameters
from study.architecture_variants import BASELINE, Variant
from study.comparison.comparison_table import plain_table
from study.generalisation.corrupted_digits import MEAN
from study.generalisation.moved_digits import NEARBY
from study.generalisation.scorecards import BRIEF, scorecard
from study.sweeps.engines import LocalEngine
from study.sweeps.job import Job
from trainers.generic_trainers.training_run import Setting
from utils.atomic_files import write_whole
from utils.devices import choose_device
from utils.environment import describe_environment
from utils.errors import UserError
from utils.figures import COLOURS, INK, as_png, save_figure
from utils.html_page import page, picture, table
from utils.paths import shown, study_folder
from utils.statistics import difference_interval, mean_interval

RESULTS = "results.json"
LINEAR_POINTS = 1  # percentage points: beyond, the axis is logarithmic, so that small effects show beside large ones
# Column -> the scorecard's cell.
MEASURES = {
    "clean": "MNIST test",
    "moved": NEARBY,
    "corrupted": MEAN,
    "USPS": "USPS",
    "told from Fashion": "Fashion-MNIST: AUROC, energy",
    "told from KMNIST": "KMNIST: AUROC, energy",
}
HEADER = ["property", "network", "parameters", *MEASURES]
EXPLANATION = (
    "First line: the baseline's means over the seeds, in percent. Others: mean minus the baseline's, in percentage "
    "points, with Welch's 95 % interval over the seeds; a star where it leaves out zero, as one in twenty does by "
    "chance alone. moved: accuracy over all shifts by up to 4 px; corrupted: mean accuracy under MNIST-C's 15 "
    "corruptions; told from: AUROC of the energy."
)

Network = dict[str, Any]  # a variant with its values: as results.json has it


def train_and_judge(
    variants: Sequence[Variant], seeds: tuple[int, ...], num_epochs: int, device: str
) -> dict[str, Any]:
    """Trains what is missing, judges what was not judged yet; the values of each network seed by seed, which also go
    to results.json. Raises UserError where a network could not be trained."""
    started = time.perf_counter()
    jobs = [Job(variant.recipe(num_epochs, device), seeds) for variant in variants]
    Setting.of(jobs[0].recipe)  # a device or data that cannot be had are told before anything is trained
    _train(jobs)
    networks = []
    runs = tqdm([run for job in jobs for run in job.runs], desc="judged", unit="run", disable=None, leave=False)
    cards = {run.path.name: scorecard(run, BRIEF, device) for run in runs}
    for variant, job in zip(variants, jobs, strict=True):
        cells = [cards[run.path.name].cells for run in job.runs]
        known = {name: cell for name, cell in MEASURES.items() if cell in cells[0]}
        values = {name: [each[cell].value for each in cells] for name, cell in known.items()}
        networks.append(
            {
                "property": variant.property,
                "label": variant.label,
                "model": variant.model,
                "settings": dict(variant.settings),
                "num_parameters": num_parameters(build_model(variant.model)),
                "values": {name: found for name, found in values.items() if None not in found},
                "runs": [run.path.name for run in job.runs],
            }
        )
    return {
        "seeds": list(seeds),
        "num_epochs": num_epochs,
        "seconds": time.perf_counter() - started,
        "environment": describe_environment(choose_device(device)),
        "networks": networks,
    }


def _train(jobs: Sequence[Job]) -> None:
    missing = [left for job in jobs if (left := job.unfinished).seeds]
    failures: dict[str, str] = {}
    with tqdm(total=sum(len(job.seeds) for job in missing), desc="trained", unit="run", disable=None) as bar:
        for outcome in LocalEngine().run(missing, math.inf):
            failures |= {outcome.job.run(seed).path.name: reason for seed, reason in outcome.failures.items()}
            bar.update(len(outcome.job.seeds))
    for name, reason in failures.items():
        raise UserError(f"{len(failures)} runs failed. {name}: {reason}")


def write_effects(results: dict[str, Any], command: str) -> None:
    """Prints the table of effects; writes it with its picture as a page, and the values as results.json."""
    folder = architecture_folder()
    write_whole(folder / RESULTS, json.dumps({"command": command, **results}, indent=1).encode())
    figure, cells = effects_figure(results), effect_cells(results)
    save_figure(figure, folder / "effects.png")
    body = [
        f"<p>Made by <code>{command}</code>: {len(results['networks'])} networks, seeds "
        f"{', '.join(map(str, results['seeds']))}.</p>",
        picture(as_png(figure), "what each property buys"),
        f"<p>{EXPLANATION}</p>",
        table(HEADER, cells),
    ]
    write_whole(folder / "architecture.html", page("Which property buys what", "\n".join(body)).encode())
    print(f"{plain_table(HEADER, cells)}\n{EXPLANATION}\npage: {shown(folder / 'architecture.html')}")


def architecture_folder() -> Path:
    return study_folder() / "architecture"


def effect_cells(results: dict[str, Any]) -> list[list[str]]:
    """A line a network: the baseline's own values, then the others' differences from it."""
    baseline = _baseline(results)
    lines = []
    for network in results["networks"]:
        cells = []
        for name in MEASURES:
            if network is baseline and name in baseline["values"]:
                mean, half_width = mean_interval(baseline["values"][name])
                cells.append(f"{100 * mean:.2f} ± {100 * half_width:.2f}")
            elif effect := effect_of(results, network, name):
                difference, low, high = (100 * value for value in effect)
                star = " *" if low > 0 or high < 0 else ""
                cells.append(f"{difference:+.2f} ({low:+.2f} to {high:+.2f}){star}")
            else:
                cells.append("-")
        lines.append([network["property"], network["label"], f"{network['num_parameters']:,}", *cells])
    return lines


def effect_of(results: dict[str, Any], network: Network, measure: str) -> tuple[float, float, float] | None:
    """The network's mean minus the baseline's and the ends of its 95 % interval; None where either was not measured."""
    baseline = _baseline(results)["values"].get(measure)
    values = network["values"].get(measure)
    if baseline is None or values is None:
        return None
    difference = mean_interval(values)[0] - mean_interval(baseline)[0]
    return (difference, *difference_interval(values, baseline))


def _baseline(results: dict[str, Any]) -> Network:
    found: Network = next(network for network in results["networks"] if network["property"] == BASELINE.property)
    return found


def effects_figure(results: dict[str, Any]) -> Figure:
    """A row a network, a panel a measure: the difference from the baseline with its interval."""
    others = [network for network in results["networks"] if network["property"] != BASELINE.property]
    figure = Figure(figsize=(13, 1.2 + 0.27 * len(others)), layout="constrained")
    panels = figure.subplots(1, len(MEASURES), sharey=True)
    for axes, measure in zip(panels, MEASURES, strict=True):
        for row, network in enumerate(others):
            if effect := effect_of(results, network, measure):
                difference, low, high = (100 * value for value in effect)
                colour = "#9aa5b1" if low <= 0 <= high else COLOURS[2] if low > 0 else COLOURS[7]
                axes.plot([low, high], [row, row], color=colour, linewidth=2)
                axes.plot(difference, row, "o", color=colour, markersize=4.5)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_xscale("symlog", linthresh=LINEAR_POINTS)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.08)
        axes.set_title(measure, fontsize=10)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
    labels = [f"{network['property']}: {network['label']}" for network in others]
    panels[0].set_yticks(range(len(others)), labels, fontsize=9)
    panels[0].set_ylim(len(others) - 0.5, -0.5)
    figure.supxlabel(
        f"percentage points above {_baseline(results)['model']}, logarithmic beyond {LINEAR_POINTS}; "
        "green better, red worse, grey not told apart",
        fontsize=9,
    )
    return figure
