"""The sections of the architecture study and of the limits."""

from typing import Any

from study.architecture_page import EXPLANATION, HEADER, effect_cells, effects_figure
from study.architecture_results import DAMAGE, MEASURES, ArchitectureResults, name_of
from study.limits_page import RESULTS, describe, limits_folder
from study.reporting.blocks import Command, Picture, Section, Table, Text, missing_section
from utils.errors import UserError
from utils.figures import as_png
from utils.paths import shown


def architecture_section(results: ArchitectureResults | None) -> Section:
    """Which property buys what."""
    title = "Which property buys what"
    if results is None:
        return missing_section(title, "mnist architecture")
    text = Text(
        f"{len(results.others)} networks differ from {results.baseline.model} in one property each, and with it in the "
        f"number of parameters; {results.num_epochs} epochs of training, seeds {', '.join(map(str, results.seeds))}. "
        "What raises or lowers each measure, in percentage points, as far as it is told from chance, with one false "
        "discovery in twenty among all; the learning rate was tuned for none of them."
    )
    summary = [Text(_summary(results, measure)) for measure in MEASURES]
    picture = Picture("architecture", "What each property buys, a panel a question", as_png(effects_figure(results)))
    explanation, table = Text(EXPLANATION), Table(HEADER, effect_cells(results))
    command = Command([results.command])
    return Section(title, [text, *summary, picture, explanation, table, command], [text, *summary, picture, command])


def _summary(results: ArchitectureResults, measure: str) -> str:
    """What raises and what lowers the measure, the strongest first."""
    raised: list[tuple[float, str]] = []
    lowered: list[tuple[float, str]] = []
    for network in results.others:
        effect = results.effects.get((name_of(network), measure))
        if effect and effect.is_told:
            entry = (abs(effect.difference), f"{network.property} ({network.label}) {100 * effect.difference:+.1f}")
            (raised if effect.difference > 0 else lowered).append(entry)
    sides = ["; ".join(name for _, name in sorted(side, reverse=True)) or "nothing" for side in (raised, lowered)]
    return f"{measure[0].upper()}{measure[1:]}: raised by {sides[0]}. Lowered by {sides[1]}."


def limits_section(values: dict[str, Any] | None) -> Section:
    """What no network gets."""
    title = "What no network gets"
    if values is None:
        return missing_section(title, "mnist limits")
    try:
        text, command = [Text(line) for line in describe(values)], Command([str(values["command"])])
    except DAMAGE as error:
        file = shown(limits_folder() / RESULTS)
        raise UserError(f"{file} is damaged ({error}): make it again by 'mnist limits'") from None
    files = {name: limits_folder() / f"{name}.png" for name in ("hardest_digits", "missed_by_all")}
    descriptions = {
        "hardest_digits": "The hardest test digits: label, most frequent wrong answer, share of networks that err",
        "missed_by_all": "How many digits all of so many networks get wrong",
    }
    pictures = [Picture(name, descriptions[name], file.read_bytes()) for name, file in files.items() if file.exists()]
    return Section(title, [*text, *pictures, command], [*text, *pictures[:1], command])
