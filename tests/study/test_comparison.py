"""Groups over seeds, significance by hand, tables, damaged runs, and the page."""

import csv

import numpy as np
import pytest

from study.comparison.comparison_figures import learning_curves_figure
from study.comparison.comparison_table import csv_table, latex_table, plain_table
from study.comparison.groups import group_runs
from study.comparison.run_records import read_record
from study.comparison.significance import compare_answers, vote
from trainers.recipe import LATER_FIELDS, Recipe, TrainConfig
from utils.answers import Answers
from utils.datasets import load_dataset
from utils.errors import UserError
from utils.run_folder import EpochMetrics, RunFolder


def make_run(name, model="linear", seed=0, test_accuracy=0.9, right=None, epochs=2, **settings):
    """A finished run as its files would be, made without training; judged on the bundled digits."""
    run = RunFolder.create(name, model, seed)
    config = TrainConfig(dataset="digits", seed=seed, num_epochs=epochs, **settings)
    run.write_json("config.json", Recipe(model, config).to_json())
    for epoch in range(1, epochs + 1):
        run.append_row(EpochMetrics(epoch, epoch, 0.1, 0.5, 0.8, 0.4 / epoch, 0.8 + seed / 100, 1.0, 2.0, 500.0 + seed))
    summary = {
        "model": model, "num_parameters": 7850, "seed": seed, "device": "cpu", "precision": "fp32",
        "num_epochs_run": epochs, "best_epoch": epochs, "best_val_accuracy": 0.8 + seed / 100,
        "val_accuracy": 0.8 + seed / 100, "test_accuracy": test_accuracy, "test_loss": 0.1,
        "test_num_correct": round(test_accuracy * 359), "train_seconds": 4.0, "total_seconds": 5.0,
    }  # fmt: skip
    run.write_json("summary.json", summary)
    if right is not None:
        labels = np.arange(len(right)) % 10
        logits = np.eye(10, dtype=np.float32)[np.where(right, labels, (labels + 1) % 10)]
        Answers(logits, labels).save(run.test_predictions)
    return run


def groups_of(*runs):
    groups, repeated = group_runs([read_record(run) for run in runs])
    assert repeated == []
    return groups


def test_runs_that_differ_only_in_seed_are_one_group():
    runs = [make_run(f"a{seed}", seed=seed, test_accuracy=0.9 + seed / 100) for seed in range(3)]
    other = make_run("b", batch_size=128)
    third = make_run("c", model="standard_fc")
    groups = {group.label: group for group in groups_of(*runs, other, third)}
    assert set(groups) == {"linear (batch_size=64)", "linear (batch_size=128)", "standard_fc"}
    group = groups["linear (batch_size=64)"]
    assert [record.summary["seed"] for record in group.records] == [0, 1, 2]
    mean, half_width = group.mean_interval("test_accuracy")
    assert mean == pytest.approx(0.91)
    assert half_width == pytest.approx(4.302653 * 0.01 / 3**0.5, rel=1e-5)
    assert group.best_test_accuracy == pytest.approx(0.92)
    assert group.images_per_second == 501.0


def test_a_seed_counts_once_and_the_last_run_of_it():
    first, second = make_run("first", test_accuracy=0.5), make_run("second", test_accuracy=0.6)
    (group,), repeated = group_runs([read_record(run) for run in (first, second)])
    assert [record.name for record in group.records] == ["second"] and [record.name for record in repeated] == ["first"]


def test_data_sets_stand_in_the_labels_where_they_differ():
    other = make_run("b", model="standard_fc")
    config = other.config()
    other.write_json("config.json", {**config, "train": {**config["train"], "dataset": "mnist"}})
    labels = {group.label for group in groups_of(make_run("a"), other)}
    assert labels == {"linear (dataset=digits)", "standard_fc (dataset=mnist)"}


def test_a_whole_number_with_and_without_its_point_is_one_setting():
    (group,) = groups_of(make_run("a", rotation_degrees=10), make_run("b", seed=1, rotation_degrees=10.0))
    assert len(group.records) == 2


def test_a_run_of_an_earlier_version_joins_its_group():
    early, late = make_run("early", seed=0), make_run("late", seed=1)
    config = early.config()
    for name in LATER_FIELDS:
        del config["train"][name]
    early.write_json("config.json", config)
    assert [group.label for group in groups_of(early, late)] == ["linear"]


def test_two_groups_that_cannot_be_compared_do_not_stop_the_table(command, home):
    make_run("a", right=np.ones(10, bool))
    make_run("b", "standard_fc", right=np.ones(11, bool))
    code, printed, _ = command("compare", "--output", str(home / "out"))
    assert code == 0 and "not compared digit by digit" in printed and "standard_fc" in printed


def test_tables():
    groups = groups_of(make_run("a", test_accuracy=0.9), make_run("b_", model="standard_fc", seed=1))
    (line,) = [row for row in csv.DictReader(csv_table(groups).splitlines()) if row["group"] == "linear"]
    assert (line["test_accuracy_mean"], line["test_accuracy_half_width_95"], line["runs"]) == ("0.9", "", "a")
    latex = latex_table(groups)
    assert r"standard\_fc" in latex and latex.count(r"\\") == 3 and r"90.00\%" in latex
    assert plain_table(["run", "b"], [["x", "10"]]).splitlines() == ["run   b", "x    10"]


def answers(right, labels=None):
    labels = np.arange(len(right)) % 10 if labels is None else labels
    return Answers(np.eye(10, dtype=np.float32)[np.where(right, labels, (labels + 1) % 10)] * 5, labels)


def test_comparison_of_two_names_the_digits():
    first, second = answers([True, True, False, False]), answers([True, False, True, False])
    comparison, _ = compare_answers([first], [second])
    assert comparison.only_first_right.tolist() == [1] and comparison.only_second_right.tolist() == [2]
    assert comparison.difference == 0 and comparison.p_value == 1.0


def test_vote_of_three_and_mean_over_seeds():
    group = [answers([True, False]), answers([True, False]), answers([False, True])]
    assert vote(group).is_right.tolist() == [True, False]
    comparison, _ = compare_answers(group, [answers([False, False])])
    assert comparison.difference == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_other_digits_cannot_be_compared():
    with pytest.raises(UserError, match="different test digits"):
        compare_answers([answers([True] * 4)], [answers([True] * 5)])


def test_curves_have_a_mean_and_a_band_for_each_group():
    groups = groups_of(*(make_run(f"a{seed}", seed=seed) for seed in range(2)), make_run("b", model="standard_fc"))
    loss, error = learning_curves_figure(groups).axes
    assert len(loss.lines) == len(loss.collections) == 2
    curves = {line.get_label(): line.get_ydata() for line in error.lines}
    np.testing.assert_allclose(curves["linear"], [1 - 0.805] * 2)


def test_damaged_and_unfinished_runs_are_listed_and_do_not_stop_the_rest(command, home):
    make_run("good")
    (make_run("unfinished").path / "summary.json").unlink()
    (make_run("broken").path / "summary.json").write_text("{")
    (make_run("foreign").path / "summary.json").write_text("[]")
    (make_run("rowless").path / "metrics.jsonl").unlink()
    (make_run("odd").path / "config.json").write_text('{"model": "x"}')
    (make_run("typed").path / "config.json").write_text('{"model": "x", "train": 3}')
    metrics = make_run("folder").path / "metrics.jsonl"
    metrics.unlink()
    metrics.mkdir()
    code, printed, error = command("runs")
    assert code == 0, error
    lines = {line.split()[0]: line for line in printed.splitlines()}
    assert "finished" in lines["good"] and "unfinished, 2 of 2" in lines["unfinished"]
    for name in ("broken", "foreign", "rowless", "odd", "typed", "folder"):
        assert "damaged" in lines[name]
    code, printed, error = command("compare", "--output", str(home / "out"))
    assert code == 0
    left_out = {line.split()[2] for line in error.splitlines()}
    assert left_out == {"unfinished", "broken", "foreign", "rowless", "odd", "typed", "folder"}
    assert "linear" in printed
    assert {path.name for path in (home / "out").iterdir()} == {f"comparison.{end}" for end in ("html", "csv", "tex")}


def test_two_groups_are_compared_digit_by_digit(command, home):
    right = np.arange(359) % 4 != 0
    labels = load_dataset("digits", "test").labels.numpy()
    for name, model, is_right in (("a", "linear", right), ("b", "standard_fc", ~right)):
        answers(is_right, labels).save(make_run(name, model).test_predictions)
    code, printed, error = command("compare", "a", "b", "--output", str(home / "out"))
    assert code == 0, error
    assert "McNemar" in printed and f"{int(right.sum())} digits" in printed
    page = (home / "out" / "comparison.html").read_text()
    assert page.count("data:image/png") == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no finished run"),
        (["nothing"], "no run at"),
        (["a", "b"], "test.npz is missing"),
        (["c", "d"], "different test digits"),
        (["c", "e"], "is damaged"),
        (["a", "a"], "these do not"),
        (["--format", "csv"], "--format"),
    ],
)
def test_bad_input(command, arguments, message):
    if arguments and arguments[0] in "ac":
        make_run("a"), make_run("b", "standard_fc")
        make_run("c", right=np.ones(10, bool)), make_run("d", "standard_fc", right=np.ones(11, bool))
        make_run("e", "standard_fc").test_predictions.write_bytes(b"x")
    code, _, error = command("compare", *arguments)
    assert code == 2 and message in error and len(error.splitlines()) <= 2


def test_output_that_cannot_be_written(command):
    make_run("a")
    code, _, error = command("compare", "--output", "/proc/nowhere")
    assert code == 2 and "/proc/nowhere" in error and len(error.splitlines()) <= 2


def open_page(browser, path, width=1000):
    """The page in a real browser, and what its console complained of."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    return page, complaints


@pytest.mark.browser
def test_page_sorts_and_filters_in_a_browser(command, home, browser):
    for seed, (name, accuracy) in enumerate((("x", 0.9), ("y", 0.85), ("z", 0.95))):
        make_run(name, seed=seed, test_accuracy=accuracy, batch_size=10 * (seed + 1), epochs=seed + 1)
    assert command("compare", "--output", str(home / "out"))[0] == 0
    page, complaints = open_page(browser, home / "out" / "comparison.html")
    cells = "() => [...document.querySelectorAll('table')[0].tBodies[0].rows].map(row => row.cells[4].textContent)"
    head = page.locator("th", has_text="test").first
    head.click()
    assert page.evaluate(cells) == ["85.00%", "90.00%", "95.00%"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.click()
    assert page.evaluate(cells) == ["95.00%", "90.00%", "85.00%"]
    page.fill("input", "batch_size=20")
    assert page.locator("table").first.locator("tbody tr:visible").count() == 1
    assert complaints == []
    page.close()


@pytest.mark.browser
def test_report_fits_a_phone(command, home, browser, copied_run):
    code, _, error = command("interpret", str(copied_run), "--split", "test", "--output", str(home / "out"))
    assert code == 0, error
    page, complaints = open_page(browser, home / "out" / "mine" / "report.html", width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    loaded = page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert loaded and complaints == []
    page.close()
