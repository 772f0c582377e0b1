"""Figures of scorecards with invented results."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from study.figures import MAX_CURVES
from study.scorecard import (
    CURVES,
    CURVES_WITHOUT_STRONG_ATTACK,
    FULL,
    METRICS,
    MetricResult,
    Scorecard,
)
from study.scorecard.figures import CAPTIONS, scorecard_blocks, scorecard_figures
from utils.document import Columns, Picture

LABELS = ("fast_conv", "fast_conv, 16 epochs, rotation 45°, shift 6 px", "$odd_name$", "linear",
          *(f"C({width},3)-BN-P2-FC64-FC10, learning rate 0.{width}" for width in range(8, 14)))  # fmt: skip


def made_card(generator, level=0.9):
    results = {
        id_: MetricResult(value, value - 0.01, value + 0.01, 1000)
        for id_, value in zip(FULL, level + generator.uniform(-0.1, 0.1, len(FULL)), strict=True)
    }
    curves = dict.fromkeys(CURVES)
    for id_ in CURVES:
        if id_.startswith(("robust", "pgd", "fgsm")):
            curves[id_] = {"radius": [0.0, 0.1, 0.2], "accuracy": [level, level / 2, 0.0]}
    steps = np.linspace(0, 1, 9)
    curves |= {
        "shift_map": (level * np.ones((29, 29))).tolist(),
        "scale_curve": {"scale": (0.5 + steps).tolist(), "accuracy": (level * (1 - abs(steps - 0.5))).tolist()},
        "rotation_curve": {"degrees": (360 * steps - 180).tolist(), "accuracy": (level * steps).tolist()},
        "risk_coverage": {"coverage": steps[1:].tolist(), "error": (0.1 * steps[:-1]).tolist()},
        "reliability": [[0.5, 0.1, 40], [0.7, 0.7, 100], [0.99, 0.99, 9000]],
    }
    return Scorecard("run", results, curves, 1.0, Path("card.json"))


def made_series(num_networks, num_seeds=1):
    generator = np.random.default_rng(0)
    levels = np.linspace(0.99, 0.6, num_networks)
    return {label: [made_card(generator, level) for _ in range(num_seeds)]
            for label, level in zip(LABELS, levels, strict=False)}  # fmt: skip


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(("num_networks", "num_seeds"), [(1, 1), (2, 2), (10, 3)])
def test_every_text_of_every_figure_is_inside_the_picture(num_networks, num_seeds):
    for name, figure in scorecard_figures(made_series(num_networks, num_seeds)).items():
        assert name in CAPTIONS
        figure.draw_without_rendering()
        legends = [text for legend in figure.legends for text in legend.get_texts()]
        boxes = [text.get_window_extent() for text in (*legends, figure._suptitle)]
        boxes += [axes.get_tightbbox() for axes in figure.axes if axes.get_visible()]
        assert min(min(box.x0, box.y0) for box in boxes) >= -1, name
        assert max(box.x1 for box in boxes) <= figure.bbox.width + 1, name
        assert max(box.y1 for box in boxes) <= figure.bbox.height + 1, name


def test_a_heat_map_has_a_row_per_network_and_a_missing_metric_is_an_empty_cell():
    series = made_series(2)
    fog, (card,) = "corruption_fog", series["fast_conv"]
    without_fog = replace(card, results={**card.results, fog: MetricResult(None, missing="no file")})
    figures = scorecard_figures({**series, "fast_conv": [without_fog]})
    (axes,) = figures["corruptions"].axes
    assert axes.get_yticklabels()[0].get_text() == "fast_conv"
    columns = [label.get_text() for label in axes.get_xticklabels()]
    assert sorted(columns) == sorted(
        METRICS[id_].label for id_ in FULL if id_.startswith("corruption") and not id_.endswith("_adapted")
    )
    assert len(texts_of(axes)) == 2 * len(columns) - 1
    other = 100 * series[LABELS[1]][0].results[fog].value
    assert f"{other:.1f}" in texts_of(axes)


def test_titles_state_the_finding():
    titles = {
        name: figure.get_suptitle().replace("\n", " ") for name, figure in scorecard_figures(made_series(2)).items()
    }
    assert titles["shift_maps"].startswith("95% accuracy or more for 841 of 841 shifts with fast_conv")
    assert titles["attack_l2"].startswith("APGD, l2: half of the digits are fooled at a radius from 0.03")
    assert titles["calibration"] == "Best calibrated: fast_conv, 1 of 3 bins outside the range of chance"


def test_without_the_strong_attack_the_figure_shows_the_next_one():
    series = made_series(2)
    (card,) = series["fast_conv"]
    without = replace(card, curves={id_: card.curves[id_] for id_ in CURVES_WITHOUT_STRONG_ATTACK})
    figures = scorecard_figures({**series, "fast_conv": [without]})
    assert figures["attack_linf"].get_suptitle().startswith("PGD, l-infinity: ")


def test_curves_of_many_networks_say_that_they_show_the_first():
    blocks = scorecard_blocks(made_series(10), "study_", "; a note")
    pictures = [part for block in blocks for part in (block.blocks if isinstance(block, Columns) else [block])]
    assert all(isinstance(picture, Picture) and picture.description.endswith("; a note") for picture in pictures)
    some = [picture.name for picture in pictures if f"the first {MAX_CURVES} of 10 networks" in picture.description]
    assert "study_scale" in some and "study_calibration" in some and "study_corruptions" not in some
