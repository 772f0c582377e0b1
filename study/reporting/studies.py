"""The sections of the architecture study and of the limits."""

from typing import Any

from study.architecture_effects import EXPLANATION, HEADER, MEASURES, effect_cells, effect_of, effects_figure
from study.hardest_digits import describe, limits_folder
from study.reporting.blocks import Command, Picture, Section, Table, Text, missing_section
from utils.figures import as_png


def architecture_section(results: dict[str, Any] | None) -> Section:
    """Which property buys what."""
    title = "Which property buys what"
    if results is None:
        return missing_section(title, "mnist architecture")
    sentences = []
    for measure in MEASURES:
        effects = {
            f"{network['property']}, {network['label']}": effect
            for network in results["networks"][1:]
            if (effect := effect_of(results, network, measure))
        }
        told = {name: effect for name, effect in effects.items() if effect[1] > 0 or effect[2] < 0}
        if not told:
            sentences.append(f"{measure}: no difference that {len(results['seeds'])} seeds can tell from chance.")
            continue
        best, worst = max(told, key=lambda name: told[name][0]), min(told, key=lambda name: told[name][0])
        parts = [f"{name} {100 * told[name][0]:+.2f}" for name in dict.fromkeys((best, worst))]
        sentences.append(f"{measure}: {'; '.join(parts)} ({len(told)} of {len(effects)} told from chance).")
    network = results["networks"][0]
    text = Text(
        f"{len(results['networks']) - 1} networks differ from {network['model']} in one property each, seeds "
        f"{', '.join(map(str, results['seeds']))}. The largest gain and the largest loss, in percentage points, "
        f"of those whose interval leaves out zero: {' '.join(sentences)}"
    )
    picture = Picture("architecture", "What each property buys, a panel a question", as_png(effects_figure(results)))
    explanation, table = Text(EXPLANATION), Table(HEADER, effect_cells(results))
    command = Command([results["command"]])
    return Section(title, [text, picture, explanation, table, command], [text, picture, command])


def limits_section(values: dict[str, Any] | None) -> Section:
    """What no network gets."""
    title = "What no network gets"
    if values is None:
        return missing_section(title, "mnist limits")
    text = [Text(line) for line in describe(values)]
    files = {name: limits_folder() / f"{name}.png" for name in ("hardest_digits", "missed_by_all")}
    descriptions = {
        "hardest_digits": "The hardest test digits: label, most frequent wrong answer, share of networks that err",
        "missed_by_all": "How many digits all of so many networks get wrong",
    }
    pictures = [Picture(name, descriptions[name], file.read_bytes()) for name, file in files.items() if file.exists()]
    command = Command(["mnist limits"])
    return Section(title, [*text, *pictures, command], [*text, *pictures[:1], command])
