"""The rows of a search and the similarity of transformations."""

import json

import pytest
import torch

from benchmarks import results
from benchmarks.augmentation_similarity import (
    RECIPES,
    condition_changes,
    markdown,
    minimal_distance,
    sample_shifts,
    training_change,
)
from benchmarks.robustness_search import (
    COLUMNS,
    aligned,
    front,
    gap,
    means_by_recipe,
    measured_rows,
    pictures,
    row_of,
    save,
    table,
)
from study.scorecard import MetricResult
from study.scorecard.validation import NON_DIGITS, SharedImages
from tests.made_runs import make_run
from utils.data.further_corruptions import FURTHER_CORRUPTIONS
from utils.recipe import Recipe


@pytest.fixture
def invented():
    """A result of 0.9 for every metric, 0.01 for the calibration error."""
    ids = [id_ for id_, _ in COLUMNS.values() if id_]
    ids += [f"corruption_{name}" for name in FURTHER_CORRUPTIONS] + [f"ood_{kind}_knn" for kind in NON_DIGITS]
    return {id_: MetricResult(0.01 if id_ == "ece" else 0.9) for id_ in ids}


def test_a_row_has_the_lowest_corruption_and_the_worst_kinds(invented):
    invented |= {"corruption_snow": MetricResult(0.5), "ood_shapes_knn": MetricResult(0.7)}
    row = row_of(invented)
    assert row["lowest"] == 0.5 and row["far"] == 0.7 and row["near"] == 0.9 and row["clean"] == 0.9


def test_the_gap_by_hand():
    met = {column: target for column, (_, target) in COLUMNS.items()}
    assert gap(met) == 0 and gap({**met, "clean": 1.0}) == 0  # more than the target counts as the target
    # Four times the allowed error in one column, twice in another.
    worse = {**met, "worst": 1 - 4 * (1 - met["worst"]), "ece": 2 * met["ece"]}
    assert gap(worse) == pytest.approx((2 + 1) / len(COLUMNS))
    assert gap({**met, "far": None}) is None


def test_rows_of_a_run_are_printed_and_saved_beside_earlier_ones(finished_run, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "OUTPUT", tmp_path)
    rows = measured_rows([finished_run], "cpu")
    (row,) = rows
    assert row["run"] == "finished" and row["columns"]["clean"] == row["metrics"]["accuracy"][0]
    assert row["columns"]["gap"] > 1 and row["columns"]["lowest"] < row["columns"]["corr"]
    lines = table(rows).splitlines()
    assert len(lines) == 3 and len({len(line) for line in lines}) == 1
    assert lines[2].startswith("finished") and f"{100 * row['columns']['clean']:.2f}" in lines[2]
    save([{**row, "run": "earlier"}])
    save(rows)
    save(rows)
    stored = json.loads((tmp_path / "robustness_search.json").read_text())
    assert [it["run"] for it in stored["rows"]] == ["earlier", "finished"] and stored["rows"][1] == row


def test_seeds_of_a_recipe_are_averaged():
    sizes_and_seeds = {"a": (64, 0), "b": (64, 1), "c": (32, 0)}
    runs = [
        make_run(name, Recipe("linear", batch_size=size, seed=seed)) for name, (size, seed) in sizes_and_seeds.items()
    ]
    columns = {"clean": 0.9, "far": None}, {"clean": 0.8, "far": 0.5}, {"clean": 0.1, "far": 0.1}
    rows = [
        {"run": name, "columns": values, "train_seconds": seconds}
        for name, values, seconds in zip("abc", columns, (10.0, 20.0, 30.0), strict=True)
    ]
    (mean,) = means_by_recipe(runs, rows)
    assert mean["run"] == "mean of 2: a" and mean["train_seconds"] == 15
    assert mean["columns"] == {"clean": pytest.approx(0.85), "far": None}


def test_the_front_leaves_out_what_another_run_exceeds():
    points = {"first": (0.99, 0.9, 0.9, 0.5), "second": (0.98, 0.95, 0.9, 0.5), "third": (0.98, 0.9, 0.9, 0.5)}
    columns = ("clean", "worst", "corr", "pgd")
    rows = [{"run": name, "columns": dict(zip(columns, values, strict=True))} for name, values in points.items()]
    assert front(rows) == ["first", "second"]
    assert front([*rows, {**rows[0], "run": "equal"}]) == ["first", "second", "equal"]


def test_pictures_show_every_condition(finished_run):
    figures = pictures(SharedImages([finished_run]))
    names = {text.get_text() for figure in figures.values() for axes in figure.axes for text in axes.texts}
    assert {"frost", "line", "scrawls", "clean"} <= names


def test_columns_are_aligned():
    assert aligned([["", "a"], ["long", "12.3"]]) == "         a\nlong  12.3"


# Similarity.


def test_minimal_distance_by_hand():
    condition = torch.tensor([[3.0, 4.0]])
    assert minimal_distance(torch.tensor([[0.0, 0.0], [3.0, 3.0]]), condition) == pytest.approx(0.2)
    assert minimal_distance(torch.tensor([[-9.0, 0.0]]), condition) == 1.0  # doing nothing is nearer
    both_ways = torch.tensor([[3.0, 0.5], [-3.0, 0.5]])  # the mean is far from all samples
    assert minimal_distance(both_ways, both_ways) == 0.0


def test_a_transformation_is_at_no_distance_from_itself(few_digits):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 8), torch.nn.Linear(8, 10))
    digits, changes = few_digits.images[:6], condition_changes()
    for name in ("further: inverse", "MNIST-C: rotate"):
        condition = sample_shifts(model, digits, changes[name], 5)
        assert minimal_distance(sample_shifts(model, digits, changes[name], 8), condition) < 1e-3
        nothing = sample_shifts(model, digits, lambda images: images, 3)
        assert minimal_distance(nothing, condition) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_different_digits_undergo_the_same_samples(name, few_digits):
    change = training_change(RECIPES[name])
    first, again = (change(few_digits.images[:1].repeat(20, 1, 1)) for _ in range(2))
    assert torch.equal(first, again) and len(first.unique(dim=0)) > 10
    # Another digit in half of the places leaves the samples of the first digit as they are.
    pair = change(torch.cat([few_digits.images[:1].repeat(10, 1, 1), few_digits.images[1:2].repeat(10, 1, 1)]))
    assert torch.equal(pair[:10], first[:10])


def test_the_table_names_near_transformations_only():
    values = {"distances": {"further: line": {"blur": 0.9, "strokes": 0.2}, "further: snow": {"blur": 0.8}}}
    text = markdown(values)
    assert "| further: line | strokes 0.20 |" in text and "| further: snow | none (nearest: blur 0.80) |" in text
