"""Groups over seeds, paired comparisons computed by hand, tables, damaged runs, and the page."""

import csv
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from made_runs import made_predictions, make_run

from study.comparison.compare import compare, compare_predictions, vote
from study.comparison.figures import accuracy_figure, learning_curve_figures
from study.comparison.groups import (
    csv_table,
    difference_text,
    group_differences,
    group_rows,
    group_runs,
    latex_table,
    list_runs,
    mean_difference,
    percent,
    plain_table,
)
from trainers.recipes import recipe_label
from utils.data import load_dataset
from utils.errors import UserError
from utils.figures import MAX_PICTURE_BYTES
from utils.predictions import Predictions
from utils.recipe import Recipe
from utils.run import Run

LINEAR = Recipe("linear", dataset="digits", num_epochs=2)
FC = Recipe("standard_fc", dataset="digits", num_epochs=2)


def with_changes(**changes):
    return Recipe.from_json({**LINEAR.to_json(), **changes})


def groups_of(*runs):
    groups, superseded = group_runs(runs)
    assert superseded == []
    return groups


def test_runs_that_differ_only_in_seed_form_one_group():
    runs = [make_run(f"a{seed}", LINEAR.with_seed(seed), test_accuracy=0.9 + seed / 100) for seed in range(3)]
    other, third = make_run("b", with_changes(batch_size=128)), make_run("c", FC)
    groups = {group.label: group for group in groups_of(*runs, other, third)}
    assert set(groups) == {recipe_label(recipe) for recipe in (LINEAR, other.recipe, FC)}
    group = groups[recipe_label(LINEAR)]
    assert [run.recipe.seed for run in group.runs] == [0, 1, 2]
    mean, margin = group.mean_interval("test_accuracy")
    assert mean == pytest.approx(0.91)
    assert margin == pytest.approx(4.302653 * 0.01 / 3**0.5, rel=1e-5)
    assert group.best_test_accuracy == pytest.approx(0.92)
    assert group.images_per_second == 501.0


def test_the_last_run_of_a_seed_counts():
    first, second = make_run("first", LINEAR, test_accuracy=0.5), make_run("second", LINEAR, test_accuracy=0.6)
    (group,), superseded = group_runs([first, second])
    assert group.runs == [second] and superseded == [first]


def test_groups_are_sorted_by_data_set_and_validation_accuracy():
    groups = groups_of(
        make_run("a", replace(FC, dataset="mnist"), val_accuracy=0.99),
        make_run("b", LINEAR, val_accuracy=0.8),
        make_run("c", FC, val_accuracy=0.9),
    )
    assert [group.runs[0].name for group in groups] == ["c", "b", "a"]


def test_a_run_of_version_1_joins_its_group():
    early, late = make_run("early", LINEAR), make_run("late", LINEAR.with_seed(1))
    (early.path / "config.json").write_text(
        json.dumps({"model": "linear", "train": {"dataset": "digits", "num_epochs": 2, "seed": 0, "device": "cpu"}})
    )
    (group,) = groups_of(Run(early.path), late)
    assert group.label == recipe_label(LINEAR) and len(group.runs) == 2


def test_tables():
    groups = groups_of(make_run("a", LINEAR, test_accuracy=0.9), make_run("b_", FC.with_seed(1)))
    (line,) = [row for row in csv.DictReader(csv_table(groups).splitlines()) if row["runs"] == "a"]
    assert (line["test_accuracy_mean"], line["test_accuracy_ci_low"], line["dataset"]) == ("0.9", "", "digits")
    latex = latex_table([replace(group, label=f"{group.recipe.model} & 5 %") for group in groups])
    assert r"standard\_fc \& 5 \%" in latex and latex.count(r"\\") == 3 and r"90.00\%" in latex
    assert plain_table(["run", "b"], [["x", "10"]]).splitlines() == ["run   b", "x    10"]


def test_csv_has_the_total_interval_and_its_parts():
    labels = np.arange(400) % 10
    runs = [
        make_run(f"a{seed}", LINEAR.with_seed(seed), predictions=made_predictions(np.arange(400) >= 38 + seed, labels))
        for seed in range(5)
    ]
    (line,) = csv.DictReader(csv_table(groups_of(*runs)).splitlines())
    seed_error, image_error = np.std([38, 39, 40, 41, 42], ddof=1) / 400 / 5**0.5, (0.1 * 0.9 / 399) ** 0.5
    assert float(line["test_accuracy_mean"]) == 0.9
    assert float(line["test_accuracy_seed_error"]) == pytest.approx(seed_error)
    assert float(line["test_accuracy_image_error"]) == pytest.approx(image_error, rel=0.02)
    logit = math.log(0.9 / 0.1)
    low = 1 / (1 + math.exp(-logit + 1.97 * image_error / 0.09))
    assert float(line["test_accuracy_ci_low"]) == pytest.approx(low, abs=0.002)


def test_fewer_than_five_seeds_have_no_interval():
    runs = [make_run(f"a{seed}", LINEAR.with_seed(seed), test_accuracy=0.9 + seed / 100) for seed in range(5)]
    few, enough = groups_of(*runs[:4])[0], groups_of(*runs)[0]
    assert group_rows([few])[0][4] == "91.50%" and csv_table([few]).count(",,") > 0
    assert re.fullmatch(r"92\.00% \(\d\d\.\d\d% to 9\d\.\d\d%\)", group_rows([enough])[0][4])


def test_intervals_of_accuracies_stay_between_0_and_100_percent():
    assert percent(0.995, 0.001) == "99.50% ± 0.10%" and percent(0.995, math.nan) == "99.50%"
    assert percent(0.9925, 0.0318) == "99.25% (96.07% to 100.00%)"
    assert percent(0.0125, 0.05) == "1.25% (0.00% to 6.25%)" and percent(1.0, 0.0) == "100.00% ± 0.00%"
    seeds = [make_run(f"a{seed}", LINEAR.with_seed(seed), 0.999, 0.97 + seed * 0.0075) for seed in range(5)]
    (line,) = csv.DictReader(csv_table(groups_of(*seeds)).splitlines())
    assert 0.9 < float(line["test_accuracy_ci_low"]) < 0.985 < float(line["test_accuracy_ci_high"]) < 1


def test_a_comparison_finds_the_images_that_only_one_network_predicts_correctly():
    first, second = made_predictions([True, True, False, False]), made_predictions([True, False, True, False])
    comparison = compare_predictions([first], [second])
    assert comparison.only_first_correct.tolist() == [1] and comparison.only_second_correct.tolist() == [2]
    assert comparison.difference.value == 0 and comparison.p_value == comparison.difference.p_value == 1.0
    assert comparison.difference.low < 0 < comparison.difference.high


def test_groups_vote_and_their_difference_is_a_mean_over_seeds():
    group = [made_predictions([True, False]), made_predictions([True, False]), made_predictions([False, True])]
    assert vote(group).is_correct.tolist() == [True, False]
    comparison = compare_predictions(group, [made_predictions([False, False])])
    assert comparison.difference.value == pytest.approx((2 / 3 + 1 / 3) / 2)


def networks_of_one_recipe(generator: np.random.Generator, count: int, difficulty: np.ndarray) -> list[Predictions]:
    """Networks that find the same images difficult and otherwise err independently."""
    labels = np.zeros(len(difficulty), dtype=np.int64)
    networks = []
    for _ in range(count):
        logits = np.zeros((len(difficulty), 10), dtype=np.float32)
        logits[:, 0] = difficulty + generator.normal(0, 1.5, len(difficulty))
        networks.append(Predictions(logits, labels))
    return networks


@pytest.mark.parametrize("sizes", [(2, 1), (3, 1), (8, 1), (5, 5)])
def test_a_comparison_seldom_finds_a_difference_between_networks_of_one_recipe(sizes):
    generator, p_values, intervals = np.random.default_rng(0), [], []
    for _ in range(100):
        difficulty = generator.normal(2.5, 2, 600)
        groups = [networks_of_one_recipe(generator, size, difficulty) for size in sizes]
        comparison = compare_predictions(*groups)
        p_values.append(comparison.difference.p_value)
        intervals.append((comparison.difference.low, comparison.difference.high))
        assert (comparison.p_value is None) == (sizes[0] != sizes[1])
    assert np.mean(np.array(p_values) < 0.05) <= 0.09  # 5 %, plus chance in 100 repetitions
    assert [low <= 0 <= high for low, high in intervals] == [p >= 0.05 for p in p_values]


@pytest.mark.parametrize("size", [1, 3])
def test_mcnemar_seldom_finds_a_difference_between_votes_of_one_recipe(size):
    generator, p_values = np.random.default_rng(0), []
    for _ in range(100):
        difficulty = generator.normal(2.5, 2, 600)
        groups = [networks_of_one_recipe(generator, size, difficulty) for _ in range(2)]
        p_values.append(compare_predictions(*groups).p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.08


def test_the_text_says_what_a_comparison_may_claim():
    single, group = [made_predictions([True, False])], [made_predictions([True, True])] * 3
    two_networks, unequal = (" ".join(compare_predictions(it, single).sentences()) for it in (single, group))
    assert "Two networks are too few seeds for a claim about their recipes" in two_networks
    assert "images as independent images" in two_networks and "B is wrong on 0 images" in two_networks
    assert "Too few seeds for a claim (A: 3, B: 1): expected at least 5 of each recipe" in unequal
    assert "McNemar's test needs groups of equal size, not 3 and 1" in unequal
    enough = compare_predictions(group * 2, group * 2).sentences()
    assert "Too few" not in " ".join(enough) and "The 6 networks of each group vote on every image." in enough[-1]


def test_errors_of_one_writer_are_no_evidence_against_a_network():
    labels, first, second = np.zeros(1000, np.int64), np.ones(1000, bool), np.ones(1000, bool)
    second[:20] = False  # all by the first of 50 writers
    alone, written = (
        compare_predictions(*([replace(made_predictions(it, labels), writers=writers)] for it in (first, second)))
        for writers in (None, np.arange(1000) // 20)
    )
    assert alone.difference.p_value < 0.001 < 0.05 < written.difference.p_value
    assert "1,000 images by 50 writers" in written.sentences()[0]


def test_the_groups_of_a_table_are_one_family():
    generator = np.random.default_rng(0)
    groups = []
    for name, model in enumerate(("linear", "standard_fc", "two_conv", "fast_conv")):
        rate = 0.9 if name == 3 else 0.7
        runs = [
            make_run(f"{model}{seed}", Recipe(model, dataset="digits", num_epochs=2, seed=seed),
                     predictions=made_predictions(generator.random(2000) < rate, np.zeros(2000, np.int64)))
            for seed in range(5)
        ]  # fmt: skip
        groups += groups_of(*runs)
    differences = group_differences(groups[3], groups[:3])
    assert [is_significant for _, is_significant in differences] == [True] * 3
    others = group_differences(groups[0], groups[1:])
    assert [is_significant for _, is_significant in others] == [False, False, True]
    alone = mean_difference(groups[0].predictions(), groups[3].predictions())
    adjusted = others[2][0]  # one of three is selected: a level of 1 - 0.05 / 3
    assert adjusted.low < alone.low < alone.high < adjusted.high
    assert difference_text(*others[2]).endswith(" *")
    few = [replace(group, runs=group.runs[:2]) for group in groups]
    assert not any(significant for _, significant in group_differences(few[3], few[:3]))
    assert "too few seeds" in difference_text(*group_differences(few[3], few[:3])[0])


def test_a_tiny_p_value_is_not_printed_as_zero():
    first, second = made_predictions([True] * 2000), made_predictions([False] * 2000)
    assert compare_predictions([first], [second]).p_value == 0
    assert "p < 0.0001." in " ".join(compare_predictions([first], [second]).sentences())


def test_different_test_images_cannot_be_compared():
    with pytest.raises(UserError, match="different test images"):
        compare_predictions([made_predictions([True] * 4)], [made_predictions([True] * 5)])


def test_learning_curves_have_a_mean_per_group_and_students_band_for_three_seeds():
    runs = [make_run(f"a{seed}", LINEAR.with_seed(seed)) for seed in range(3)]
    groups = groups_of(*runs, make_run("b", FC))
    axes = learning_curve_figures(groups)["validation error"].axes[0]
    curves = {line.get_label(): line.get_ydata() for line in axes.lines}
    errors = np.array([[1 - row.val_accuracy for row in run.metrics] for run in runs])
    np.testing.assert_allclose(curves[recipe_label(LINEAR)], errors.mean(0))
    assert len(axes.lines) == 2 and len(axes.collections) == 1  # a single seed has no band
    margin = 4.302653 * errors.std(0, ddof=1) / np.sqrt(3)  # Student's t for two degrees of freedom
    ends = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (ends.min(), ends.max()) == pytest.approx(((errors.mean(0) - margin)[0], (errors.mean(0) + margin)[0]))


@pytest.mark.parametrize("num_groups", [1, 2, 8, 40])
def test_the_figures_of_a_comparison_name_every_group_inside_the_picture(num_groups):
    recipes = [with_changes(num_epochs=2 + number, learning_rate=0.1 / (1 + number)) for number in range(num_groups)]
    groups = groups_of(*(make_run(f"r{number}", recipe) for number, recipe in enumerate(recipes)))
    figures = [accuracy_figure(groups), *learning_curve_figures(groups[:7]).values()]
    assert len(figures[0].axes[0].get_yticks()) == min(num_groups, 30)
    for figure in figures:
        figure.draw_without_rendering()
        names = figures[0].axes[0].get_yticklabels() if figure is figures[0] else []
        texts = [*names, *(text for legend in figure.legends for text in legend.get_texts())]
        boxes = [text.get_window_extent() for text in (*texts, figure._suptitle)]
        assert min(box.x0 for box in boxes) >= 0 and max(box.x1 for box in boxes) <= figure.bbox.width
        assert min(box.y0 for box in boxes) >= 0 and max(box.y1 for box in boxes) <= figure.bbox.height


def test_damaged_and_unfinished_runs_are_listed_and_do_not_stop_the_others(home, capsys):
    runs = [make_run("good", LINEAR)]
    for name in ("unfinished", "broken", "foreign", "without_metrics", "odd", "typed", "folder"):
        runs.append(make_run(name, LINEAR))
    paths = {run.name: run.path for run in runs}
    (paths["unfinished"] / "summary.json").unlink()
    (paths["broken"] / "summary.json").write_text("{")
    (paths["foreign"] / "summary.json").write_text("[]")
    (paths["without_metrics"] / "metrics.jsonl").unlink()
    (paths["odd"] / "config.json").write_text('{"model": "x", "colour": 1}')
    (paths["typed"] / "config.json").write_text('{"model": "x", "train": 3}')
    (paths["folder"] / "metrics.jsonl").unlink()
    (paths["folder"] / "metrics.jsonl").mkdir()
    list_runs()
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "finished" in lines["good"] and "unfinished, 2 of 2" in lines["unfinished"]
    damaged = {"broken", "foreign", "without_metrics", "odd", "typed", "folder"}
    assert all(lines[name].count("damaged") == 1 for name in damaged)
    compare(runs, home / "out")
    printed, error = capsys.readouterr()
    assert {line.split()[2] for line in error.splitlines()} == damaged | {"unfinished"}
    assert all(line.count("damaged") <= 1 for line in error.splitlines())
    assert "linear" in printed
    assert {path.name for path in (home / "out").iterdir()} == {f"comparison.{end}" for end in ("html", "csv", "tex")}


def test_two_groups_are_compared_image_by_image(home, capsys):
    correct, labels = np.arange(359) % 4 != 0, load_dataset("digits", "test").labels.numpy()
    runs = [
        make_run("a", LINEAR, predictions=made_predictions(correct, labels)),
        make_run("b", FC, predictions=made_predictions(~correct, labels)),
    ]
    compare(runs, home / "out", named=True)
    printed = capsys.readouterr().out
    assert "McNemar" in printed and f"{int(correct.sum())} images" in printed
    assert (home / "out" / "a-vs-b.html").read_text().count("data:image/png") == 2


def test_two_seeds_of_one_recipe_are_compared_image_by_image(home, capsys):
    labels = load_dataset("digits", "test").labels.numpy()
    runs = [
        make_run(
            f"seed{seed}", LINEAR.with_seed(seed), predictions=made_predictions(np.arange(359) % 2 == seed, labels)
        )
        for seed in (0, 1)
    ]
    compare(runs, home / "out")
    assert 'A is "seed0". B is "seed1". The test accuracy' in capsys.readouterr().out


def test_groups_that_cannot_be_compared_do_not_stop_the_table(home, capsys):
    runs = [
        make_run("a", LINEAR, predictions=made_predictions([True] * 10)),
        make_run("b", FC, predictions=made_predictions([True] * 11)),
    ]
    compare(runs, home / "out")
    printed = capsys.readouterr().out
    assert "not compared image by image" in printed and "standard_fc" in printed


def test_every_choice_of_runs_has_a_page_of_its_own(home):
    runs = [make_run(name, LINEAR.with_seed(seed)) for seed, name in enumerate(("a", "b", "c", "d" * 120))]
    for chosen in ([runs[0]], runs[:3], runs[::-1]):
        compare(chosen, home / "out", named=True)
    compare(runs, home / "out")
    pages = sorted(path.name for path in (home / "out").glob("*.html"))
    assert len(pages) == 4 and {"a.html", "a-vs-b-vs-c.html", "comparison.html"} < set(pages)


def test_data_sets_are_kept_apart(home, capsys):
    correct = [True, False] * 20
    runs = [
        make_run("a", LINEAR, predictions=made_predictions(correct)),
        make_run("b", replace(FC, dataset="mnist"), predictions=made_predictions(correct)),
    ]
    compare(runs, home / "out")
    printed = capsys.readouterr().out
    assert "different data sets, digits and mnist" in printed
    assert "data set digits\ngroup" in printed and "data set mnist\ngroup" in printed
    page = (home / "out" / "comparison.html").read_text()
    assert "Data set digits" in page and "Data set mnist" in page
    assert "Each point is a run" not in page  # nothing to compare in a chart of one run
    with pytest.raises(UserError, match="different data sets"):
        compare(runs, home / "out", named=True)


def test_a_hundred_runs_are_compared(home, capsys):
    runs = [make_run(f"r{n}", with_changes(batch_size=10 + n // 5, seed=n % 5)) for n in range(100)]
    compare(runs, home / "out", named=True)
    assert len(capsys.readouterr().out.splitlines()) == 22  # header, 20 groups, files
    (page,) = (home / "out").glob("*.html")
    assert page.stat().st_size <= 5_000_000
    pictures = re.findall(r'src="data:image/[^;]+;base64,([^"]+)"', page.read_text())
    assert pictures and max(map(len, pictures)) * 3 / 4 <= MAX_PICTURE_BYTES


def test_named_runs_that_cannot_be_compared_are_refused(home):
    good, missing = make_run("good", LINEAR, predictions=made_predictions([True] * 10)), make_run("missing", FC)
    other = make_run("other", FC, predictions=made_predictions([True] * 11))
    damaged = make_run("damaged", FC)
    damaged.predictions_file("test").write_bytes(b"x")
    unfinished, broken = make_run("unfinished", FC), make_run("broken", FC)
    (unfinished.path / "summary.json").unlink()
    (broken.path / "summary.json").write_text("{")
    for runs, message in (
        ([good, missing], "test.npz is missing"),
        ([good, other], "different test images"),
        ([good, damaged], r"damaged: predictions/test.npz: it is empty, cut off or overwritten"),
        ([good, good], "both names mean the same run"),
        ([good, unfinished], r"unfinished \(unfinished, 2 of 2 epochs\)"),
        ([broken], r"no finished run to compare: broken \(damaged: summary.json: "),
    ):
        with pytest.raises(UserError, match=message):
            compare(runs, home / "out", named=True)
    with pytest.raises(UserError, match="no finished run"):
        compare([], home / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no finished run"),
        (["nothing"], "no run at"),
        (["--format", "csv"], "--format"),
        (["a", "a"], "the same run"),
    ],
)
def test_bad_input(command, arguments, message):
    if "a" in arguments:
        make_run("a", LINEAR)
    code, _, error = command("compare", *arguments)
    assert code == 2 and message in error and len(error.splitlines()) <= 2


def test_an_output_folder_that_cannot_be_written(command):
    make_run("a", LINEAR)
    code, _, error = command("compare", "--output", "/proc/nowhere")
    assert code == 2 and "/proc/nowhere" in error and len(error.splitlines()) <= 2


def test_no_runs_to_list(command):
    code, printed, _ = command("runs")
    assert code == 0 and printed.startswith("no runs yet in ")


@pytest.mark.browser
def test_the_page_sorts_and_filters_in_a_browser(home, browser):
    runs = [
        make_run(name, with_changes(seed=seed, batch_size=10 * (seed + 1), num_epochs=seed + 1), test_accuracy=accuracy)
        for seed, (name, accuracy) in enumerate(zip("xyzuvw", (0.9, 0.85, 0.95, 0.8, 0.7, 0.6), strict=True))
    ]
    compare(runs, home / "out")
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((home / "out" / "comparison.html").as_uri())
    cells = "() => [...document.querySelectorAll('table')[0].tBodies[0].rows].map(row => row.cells[4].textContent)"
    head = page.locator("th", has_text="test").first
    head.click()
    accuracies = ["60.00%", "70.00%", "80.00%", "85.00%", "90.00%", "95.00%"]
    assert page.evaluate(cells) == accuracies
    assert head.get_attribute("aria-sort") == "ascending"
    head.click()
    assert page.evaluate(cells) == accuracies[::-1]
    page.get_by_label("Filter rows").first.fill("batch size 20")
    assert page.locator("table").first.locator("tbody tr:visible").count() == 1
    assert complaints == []
    page.close()
