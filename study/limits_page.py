"""The limits in sentences and pictures, as limits.json and as a page."""

import html
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from model_interpretation.classification_metrics import CONTESTED_TEST_DIGITS
from study.hardest_digits import Limits
from utils.atomic_files import write_whole
from utils.figures import COLOURS, as_png, digit_grid_figure, plain_axes
from utils.html_page import page, picture, table
from utils.paths import shown, study_folder

RESULTS = "limits.json"
NUM_SHOWN = 48


def write_limits(limits: Limits, command: str, folder: Path) -> None:
    """Prints what was found; writes limits.json, the pictures and a page into the folder."""
    values = {"command": command, **limits.to_json()}
    write_whole(folder / RESULTS, json.dumps(values, indent=1).encode())
    pictures = {"hardest_digits": as_png(hardest_figure(limits)), "missed_by_all": as_png(missed_figure(limits))}
    for name, png in pictures.items():
        write_whole(folder / f"{name}.png", png)
    lines = describe(values)
    rows = [
        [
            str(digit["index"]),
            str(digit["label"]),
            f"{digit['share_wrong']:.0%}",
            str(digit["mostly_taken_for"]),
            "contested" if digit["contested"] else "",
        ]
        for digit in values["hard_digits"]
    ]
    body = [
        f"<p>Made by <code>{html.escape(command)}</code>.</p>",
        *(f"<p>{html.escape(line)}</p>" for line in lines),
        *(f"<div>{picture(png, name)}</div>" for name, png in pictures.items()),
        "<h2>Digits that half of the networks or more get wrong</h2>",
        table(["test digit", "label", "networks wrong", "mostly taken for", "human raters"], rows),
    ]
    write_whole(folder / "limits.html", page("What no network gets", "\n".join(body)).encode())
    print("\n".join([*lines, f"page: {shown(folder / 'limits.html')}"]))


def limits_folder() -> Path:
    return study_folder() / "limits"


def describe(values: dict[str, Any]) -> list[str]:
    """What limits.json says, in sentences."""
    total, everywhere = values["num_digits"], values["wrong_in_every_network"]
    return [
        f"{values['num_networks']} networks of {len(values['recipes'])} recipes, those of the architecture study among "
        f"them where it was made, each recipe right on {values['able_from_validation_accuracy']:.0%} of its validation "
        f"digits or more, get "
        f"{values['mean_num_wrong']:.1f} of the {total:,} test digits wrong on average, each recipe with equal weight.",
        f"{values['wrong_in_some_network']:,} digits are wrong in some network, {values['wrong_in_half_or_more']} in "
        f"half of them or more, {everywhere} in every one. Whoever knew for each digit which of these networks to ask "
        f"would reach {values['accuracy_of_choosing_the_right_network']:.2%}, more with every further network; their "
        f"mean probability reaches {values['vote_accuracy']:.2%}.",
        f"Human raters contest {values['contested']} labels: without luck on those, "
        f"{values['share_of_uncontested_labels']:.2%} is the ceiling. On these digits "
        f"{values['contested_share_wrong']:.0%} of the networks differ from the label, and "
        f"{values['wrong_in_every_network_and_contested']} of the {everywhere} that all get wrong are among them.",
    ]


def hardest_figure(limits: Limits) -> Figure:
    """The hardest digits, each with its label, what it is mostly taken for, and the share of networks that err."""
    indices = limits.by_hardness[:NUM_SHOWN]
    indices = indices[limits.share_wrong[indices] > 0]
    captions = [
        f"{int(limits.test_set.labels[index])} as {limits.wrong_name[index]}, {limits.share_wrong[index]:.0%}"
        + (" *" if index in CONTESTED_TEST_DIGITS else "")
        for index in indices
    ]
    title = "label as most frequent wrong answer, share of networks that are wrong; *: human raters contest the label"
    return digit_grid_figure(limits.test_set.images[indices], captions, columns=8, title=title)


def missed_figure(limits: Limits) -> Figure:
    """How many digits are left that no network gets, the more networks are asked."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = plain_axes(figure)
    numbers = range(1, len(limits.missed_by_all_of) + 1)
    axes.plot(numbers, limits.missed_by_all_of, color=COLOURS[0], marker="o", markersize=3)
    axes.set(xlabel="networks, chosen by chance", ylabel="digits that all of them get wrong", ylim=(0, None))
    return figure
