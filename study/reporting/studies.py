"""The sections of the architecture study and of the limits."""

from typing import Any

from study.architecture_effects import EXPLANATION, HEADER, MEASURES, effect_cells, effect_of, effects_figure
from study.limits_page import describe, limits_folder
from study.reporting.blocks import Command, Picture, Section, Table, Text, missing_section
from utils.figures import as_png


def architecture_section(results: dict[str, Any] | None) -> Section:
    """Which property buys what."""
    title = "Which property buys what"
    if results is None:
        return missing_section(title, "mnist architecture")
    first, seeds = results["networks"][0], ", ".join(map(str, results["seeds"]))
    text = Text(
        f"{len(results['networks']) - 1} networks differ from {first['model']} in one property each, seeds {seeds}. In "
        "percentage points, what raises or lowers each measure by more than chance may: Welch's 95 % interval over the "
        "seeds leaves out zero, as one in twenty does by chance alone."
    )
    summary = [Text(_summary(results, measure)) for measure in MEASURES]
    picture = Picture("architecture", "What each property buys, a panel a question", as_png(effects_figure(results)))
    explanation, table = Text(EXPLANATION), Table(HEADER, effect_cells(results))
    command = Command([results["command"]])
    return Section(title, [text, *summary, picture, explanation, table, command], [text, *summary, picture, command])


def _summary(results: dict[str, Any], measure: str) -> str:
    """What raises and what lowers the measure, the strongest first."""
    raised, lowered = [], []
    for network in results["networks"][1:]:
        effect = effect_of(results, network, measure)
        if effect is None:
            continue
        difference, low, high = effect
        entry = (abs(difference), f"{network['property']} ({network['label']}) {100 * difference:+.1f}")
        raised += [entry] * (low > 0)
        lowered += [entry] * (high < 0)
    sides = ["; ".join(name for _, name in sorted(side, reverse=True)) or "nothing" for side in (raised, lowered)]
    return f"{measure[0].upper()}{measure[1:]}: raised by {sides[0]}. Lowered by {sides[1]}."


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
    command = Command([values["command"]])
    return Section(title, [*text, *pictures, command], [*text, *pictures[:1], command])
