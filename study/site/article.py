"""What the article of the site says: every number comes from the evidence of a report."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from study.report.answer import Accuracies, headline_table, measured_conditions
from study.report.evidence import DAGGER, Evidence, Network
from study.scorecard import METRICS
from utils.document import Table

THRESHOLD = 0.95  # the accuracy below which a condition is counted
NUM_HARDEST = 24
# Curve of the scorecard -> the slider that it belongs to, and its values along the slider.
CURVES = {"rotation_curve": ("angle", "degrees"), "scale_curve": ("scale", "scale")}
CURVE_DIGITS = 4


def article_values(evidence: Evidence, recipes: Sequence[str]) -> dict[str, Any]:
    """The values of the article's template: texts with numbers, tables, and curves for the figures.

    The article is about the first of these recipes, by their labels, and compares it with the second. If the report
    lacks the first, it is about the best one by validation; if it lacks the second, it compares with the one that is
    below the threshold in the fewest conditions.
    """
    networks = evidence.networks
    by_label = {network.label: network for network in networks}
    main = by_label.get(recipes[0], networks[0])
    conditions = measured_conditions(networks) or measured_conditions([main])
    shared = [network for network in networks if set(conditions) <= set(measured_conditions([network]))]
    fewest = min(shared, key=lambda network: _num_failed(network, conditions), default=main)
    helped = next((network for network in shared if network.label in recipes[1:]), fewest)
    header, rows = headline_table(networks)
    return {
        "main": main.label,
        "helped": None if helped is main else helped.label,
        "test_accuracy": f"{main.group.interval('test_accuracy').value:.2%}",
        "test_text": main.text("test_accuracy"),
        "num_seeds": len(main.seeds),
        "threshold": f"{THRESHOLD:.0%}",
        "num_conditions": len(conditions),
        "num_failed": _num_failed(main, conditions),
        "num_failed_helped": _num_failed(helped, conditions),
        "conditions": _condition_rows(main, helped, conditions),
        "accuracy": {name: _mean_text(main, name) for name in METRICS if main.values(name)},
        "accuracy_helped": {name: _mean_text(helped, name) for name in METRICS if helped.values(name)},
        "table": Table(header, rows),
        "dagger": DAGGER,
        "inspection": _inspection(evidence.inspection),
        "label_errors": evidence.label_errors,
        "hardest": hardest_digits(evidence),
        "curves": _curves([main] if helped is main else [main, helped]),
        "num_networks": len(networks),
        "num_runs": evidence.num_runs,
    }


def hardest_digits(evidence: Evidence) -> list[dict[str, Any]]:
    """The test digits that most networks get wrong: index, label, error_rate, most_frequent_error, contested."""
    return list(evidence.label_errors["hard_digits"][:NUM_HARDEST]) if evidence.label_errors else []


def _mean_text(network: Network, metric: str) -> str:
    is_fraction = network.results(metric)[0].kind == "fraction"
    return f"{network.mean(metric):.1%}" if is_fraction else f"{network.mean(metric):.3g}"


def _num_failed(network: Network, conditions: Sequence[str]) -> int:
    return Accuracies.of(network, conditions).num_failed(THRESHOLD).estimate


def _condition_rows(main: Network, helped: Network, conditions: Sequence[str]) -> list[dict[str, Any]]:
    """Each condition, and the test set, with the mean accuracy of both networks, the hardest for the main network
    first."""
    measured = [
        *conditions,
        *(["test_accuracy"] if main.values("test_accuracy") and helped.values("test_accuracy") else []),
    ]
    return [
        {
            "label": METRICS[metric].label,
            "n": f"{main.results(metric)[0].n:,}",
            "main": round(main.mean(metric), CURVE_DIGITS),
            "main_text": main.text(metric),
            "helped": round(helped.mean(metric), CURVE_DIGITS),
            "helped_text": helped.text(metric),
        }
        for metric in sorted(measured, key=main.mean)
    ]


def _inspection(values: dict[str, Any] | None) -> dict[str, str] | None:
    """What the training digits are like, as texts."""
    if values is None:
        return None
    train, writers = values["splits"]["train"], values.get("writers")
    return {
        "num_digits": f"{train['num_digits']:,}",
        "off_centre_99": f"{train['off_centre']['quantile_99']:.1f}",
        "longer_side": f"{train['longer_side']['mean']:.1f}",
        "longer_side_share": f"{train['share_with_longer_side_20']:.2%}",
        "lean": f"{train['lean_degrees']['mean']:.0f}",
        "num_writers": f"{writers['train']['num_writers']:,}" if writers else "",
        "num_test_writers": f"{writers['test']['num_writers']:,}" if writers else "",
    }


def _curves(networks: Sequence[Network]) -> dict[str, Any]:
    """The measured curves, the means over the seeds, of the networks that have all of them."""
    needed = {*CURVES, "shift_map"}
    measured = [network for network in networks if all(needed <= set(card.curves) for card in network.cards)]
    curves: dict[str, Any] = {}
    for name, (slider, x) in CURVES.items():
        lines = [
            {
                "label": network.label,
                "y": _rounded(np.mean([card.curves[name]["accuracy"] for card in network.cards], axis=0)),
            }
            for network in measured
        ]
        if lines:
            curves[slider] = {"x": measured[0].cards[0].curves[name][x], "lines": lines}
    if measured:
        maps = {
            network.label: _rounded(np.mean([card.curves["shift_map"] for card in network.cards], axis=0))
            for network in measured
        }
        curves["shift"] = {"maps": maps}
    return curves


def _rounded(values: Any) -> Any:
    return np.round(np.asarray(values, np.float64), CURVE_DIGITS).tolist()
