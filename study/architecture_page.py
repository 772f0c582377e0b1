"""The architecture study as a table, a picture and a page."""

import html
from pathlib import Path

from matplotlib.figure import Figure

from study.architecture_results import MEASURES, ArchitectureResults, StudiedNetwork, name_of
from study.comparison.comparison_table import plain_table
from utils.atomic_files import write_whole
from utils.figures import COLOURS, INK, as_png
from utils.html_page import page, picture, table
from utils.paths import shown
from utils.statistics import mean_interval

LINEAR_POINTS = 1  # percentage points: beyond, the axis is logarithmic, so that small effects show beside large ones
HEADER = ["property", "network", "parameters", *MEASURES]
EXPLANATION = (
    "First line: the baseline's means over the seeds, in percent. Others: mean minus the baseline's, in percentage "
    "points, with Welch's 95 % interval over the seeds; a star where it is told from chance, with one false discovery "
    "in twenty among all (Benjamini and Hochberg). moved: accuracy over all shifts by up to 4 px; corrupted: mean "
    "accuracy under MNIST-C's 15 corruptions; told from: AUROC of the energy. The learning rate was tuned for none of "
    "these networks, and all are compared with the same runs of the baseline."
)


def write_study(results: ArchitectureResults, folder: Path) -> None:
    """Prints the table of effects; writes it with its picture as a page, and the values as results.json."""
    results.write(folder)
    png, cells = as_png(effects_figure(results)), effect_cells(results)
    write_whole(folder / "effects.png", png)
    made = f"{len(results.networks)} networks, seeds {', '.join(map(str, results.seeds))}, {results.num_epochs} epochs"
    body = [
        f"<p>Made by <code>{html.escape(results.command)}</code>: {made}.</p>",
        picture(png, "what each property buys"),
        f"<p>{EXPLANATION}</p>",
        table(HEADER, cells),
    ]
    write_whole(folder / "architecture.html", page("Which property buys what", "\n".join(body)).encode())
    print(f"{plain_table(HEADER, cells)}\n{EXPLANATION}\npage: {shown(folder / 'architecture.html')}")


def effect_cells(results: ArchitectureResults) -> list[list[str]]:
    """A line a network: the baseline's own values, then the others' differences from it."""
    return [
        [
            network.property,
            network.label,
            f"{network.num_parameters:,}",
            *(_cell(results, network, name) for name in MEASURES),
        ]
        for network in results.networks
    ]


def _cell(results: ArchitectureResults, network: StudiedNetwork, measure: str) -> str:
    if network is results.baseline and measure in network.values:
        mean, half_width = mean_interval(network.values[measure])
        return f"{100 * mean:.2f} ± {100 * half_width:.2f}"
    effect = results.effects.get((name_of(network), measure))
    if effect is None:
        return "-"
    difference, low, high = (100 * value for value in (effect.difference, effect.low, effect.high))
    return f"{difference:+.2f} ({low:+.2f} to {high:+.2f}){' *' if effect.is_told else ''}"


def effects_figure(results: ArchitectureResults) -> Figure:
    """A row a network, a panel a measure: the difference from the baseline with its interval."""
    figure = Figure(figsize=(13, 1.2 + 0.27 * len(results.others)), layout="constrained")
    panels = figure.subplots(1, len(MEASURES), sharey=True)
    for axes, measure in zip(panels, MEASURES, strict=True):
        for row, network in enumerate(results.others):
            if effect := results.effects.get((name_of(network), measure)):
                difference, low, high = (100 * value for value in (effect.difference, effect.low, effect.high))
                colour = "#9aa5b1" if not effect.is_told else COLOURS[2] if difference > 0 else COLOURS[7]
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
    panels[0].set_yticks(range(len(results.others)), [name_of(network) for network in results.others], fontsize=9)
    panels[0].set_ylim(len(results.others) - 0.5, -0.5)
    figure.supxlabel(
        f"percentage points above {results.baseline.model}, logarithmic beyond {LINEAR_POINTS}; "
        "green better, red worse, grey not told from chance",
        fontsize=9,
    )
    return figure
