"""From a network with a whole scorecard to the page of it and to the report."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from study import report
from study.architecture_results import MEASURES
from study.generalisation import clean_digits, corrupted_digits, moved_digits, no_digit, other_hands
from study.generalisation.keeping import scorecards_folder
from study.generalisation.scorecards import FULL, kept_scorecards, scorecard
from study.generalisation.subject import Subject
from study.recipe_names import recipe_label, training_command
from study.reporting.beyond import HANDS, PLACES, STRANGERS, SURENESS
from study.reporting.blocks import Command, Picture, Section, Table, Text
from study.reporting.conclusion import ABROAD, UNCONTESTED
from trainers.recipe import Recipe, TrainConfig
from trainers.train_command import recipe_of_trainer
from utils.datasets import load_dataset
from utils.mnist_c.corruptions import corrupt
from utils.public_sets import PUBLIC_SETS
from utils.run_folder import RunFolder
from utils.splits import stratified_sample

NUM_DIGITS = 1000
QUESTIONS = (HANDS, PLACES, SURENESS, STRANGERS)


def measure_on_few_digits(patch):
    whole = Subject.test_set.func
    patch.setattr(Subject, "test_set", property(lambda subject: stratified_sample(whole(subject), NUM_DIGITS)))
    patch.setattr(clean_digits, "CONTESTED_TEST_DIGITS", (1, 2))
    patch.setattr(other_hands, "mnist_writers", lambda: {"test": np.arange(NUM_DIGITS) // 20})
    patch.setattr(moved_digits, "NUM_DIGITS", 20)
    patch.setattr("study.generalisation.adversarial.NUM_DIGITS", 20)
    patch.setattr(no_digit, "NUM_TRAINING_DIGITS", 500)
    patch.setattr(no_digit, "NUM_NOISE", 200)
    patch.setattr(corrupted_digits, "CORRUPTIONS", ("brightness", "stripe"))

    def corrupted_set(name):
        clean = stratified_sample(load_dataset("mnist", "test"), NUM_DIGITS)
        return replace(clean, images=corrupt(clean.images, name, 0)), "generated here"

    patch.setattr(corrupted_digits, "_corrupted_set", corrupted_set)


@pytest.fixture(scope="module")
def carded_home(quick_run, tmp_path_factory):
    """A home with three runs of two recipes, each with a whole scorecard, though of few digits. All have the weights
    of the quick run, so that these are measured once."""
    from tests.conftest import MIRROR

    home = tmp_path_factory.mktemp("carded")
    (home / "runs").mkdir()
    for name, seed, rate in (("a-s0", 0, 0.01), ("a-s1", 1, 0.01), ("b-s0", 0, 0.02)):
        run = RunFolder(shutil.copytree(quick_run.path, home / "runs" / name))
        config, summary = run.config(), run.summary()
        config["train"] |= {"seed": seed, "learning_rate": rate}
        run.write_json("config.json", config)
        run.write_json("summary.json", {**summary, "seed": seed, "val_accuracy": 0.995 - rate / 10 + seed / 1000})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_STUDY_HOME", str(home))
        patch.setenv("MNIST_STUDY_MIRROR", MIRROR)
        for name, public_set in PUBLIC_SETS.items():
            patch.setitem(PUBLIC_SETS, name, replace(public_set, mirrors=[]))  # as if there were no network
        measure_on_few_digits(patch)
        scorecard(run, FULL, "cpu")
    return home


@pytest.fixture
def in_carded_home(carded_home, real_mirror, home):
    """A copy of it as this test's home."""
    shutil.copytree(carded_home, home, dirs_exist_ok=True)
    return home


@pytest.mark.real_mnist
def test_a_full_scorecard_has_every_cell_and_its_interval(in_carded_home, command):
    code, printed, _ = command("scorecard", "b-s0")
    assert code == 0
    card = kept_scorecards([RunFolder.find("b-s0")], FULL)["b-s0"]
    for name, cell in card.cells.items():
        assert cell.missing or name.startswith("blank") or cell.low <= cell.value <= cell.high, name
        assert name in printed
    value = {name: cell.value for name, cell in card.cells.items()}
    assert value["MNIST test"] > 0.98
    assert value["stripe"] < value["MNIST test"]
    assert value["worst of 3 px and 30 degrees"] < 0.6 < value["turned by 20 degrees either way"]
    assert value["turned by 90 degrees either way"] < 0.5
    assert value["PGD of 0.1"] < value["FGSM of 0.1"]
    assert value["shuffled pixels: AUROC, energy"] > 0.9
    fashion = card.cells["Fashion-MNIST: AUROC, neighbours"]
    assert "fashion_mnist is not at hand" in fashion.missing or fashion.value > 0.8
    assert "mnist evaluate RUN --dataset qmnist" in card.cells["QMNIST's other 50,000"].missing
    assert "mnist draw" in card.cells["saved drawings"].missing
    for name in {
        *ABROAD,
        *MEASURES.values(),
        UNCONTESTED,
        *(cell for question in QUESTIONS for cell in question.columns.values()),
    }:
        assert name in card.cells, name  # what the studies and the report speak of
    (file,) = scorecards_folder().glob("b-s0-*.html")
    assert file.read_text().count("<img") == 6
    written = file.stat().st_mtime_ns
    assert command("scorecard", "b-s0")[1] == printed and file.stat().st_mtime_ns == written  # kept, not drawn again


@pytest.mark.real_mnist
def test_the_report_says_what_was_measured_and_what_was_not(in_carded_home, command, tmp_path, monkeypatch):
    page = tmp_path / "report.html"
    code, printed, _ = command("report", "--output", str(page))
    assert code == 0 and "2 recipes, 3 runs" in printed
    text = page.read_text()
    for title in ("Input inspection", "Model fitting", "Generalisation", "Which property", "What no network gets",
                  "Conclusion: is it solved?"):  # fmt: skip
        assert title in text
    assert "This study was not made yet" in text and "mnist architecture" in text and "mnist limits" in text
    assert "--learning-rate 0.02 --seeds 0:1" in text and "--seeds 0:2" in text
    assert "Not measured: QMNIST" in text
    cell = kept_scorecards([RunFolder.find("a-s0")], FULL)["a-s0"].cells["worst of 3 px and 30 degrees"]
    assert f"{100 * cell.value:.1f}" in text
    assert "solved as a test set" in text and "is not solved (taken as 95% right)" in text
    assert str(in_carded_home) not in text

    command("limits")
    command("report", "--output", str(page))
    assert "digits wrong on average" in page.read_text()

    readme = tmp_path / "README.md"
    monkeypatch.setattr(report, "README", readme)
    monkeypatch.setattr(report, "PROJECT_FOLDER", tmp_path)
    readme.write_text("before\n<!-- study -->\nOUTDATED\n<!-- end study -->\nafter\n")
    assert command("report", "--output", str(page), "--readme")[0] == 0
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "OUTDATED" not in text
    for picture in ("study_shift_maps.png", "study_hardest_digits.png"):
        assert f"(docs/pictures/{picture})" in text and (tmp_path / "docs" / "pictures" / picture).exists()
    readme.write_text("no marks")
    code, _, error = command("report", "--output", str(page), "--readme")
    assert code == 2 and "no marks" in error and readme.read_text() == "no marks"


def test_a_report_without_scorecards_says_how_to_make_them(command):
    code, _, error = command("report")
    assert code == 2 and "mnist scorecard" in error


@pytest.mark.real_mnist
@pytest.mark.parametrize(
    "damage", ["{", "[]", "[" * 100_000, '{"networks": 1}', '{"networks": []}', '{"networks": [3]}']
)
def test_a_damaged_study_is_told(in_carded_home, command, tmp_path, damage):
    file = in_carded_home / "study" / "output" / "architecture" / "all" / "results.json"
    file.parent.mkdir(parents=True)
    file.write_text(damage)
    code, _, error = command("report", "--output", str(tmp_path / "report.html"))
    assert code == 2 and "results.json is damaged" in error and len(error.splitlines()) <= 2


@pytest.mark.real_mnist
@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"hard_digits": [1]}', '{"hard_digits": [1], "num_networks": 1, "recipes": 5}']
)
def test_damaged_limits_are_told(in_carded_home, command, tmp_path, damage):
    file = in_carded_home / "study" / "output" / "limits" / "limits.json"
    file.parent.mkdir(parents=True)
    file.write_text(damage)
    code, _, error = command("report", "--output", str(tmp_path / "report.html"))
    assert code == 2 and "limits.json is damaged" in error and len(error.splitlines()) <= 2


def test_a_report_into_a_folder_is_refused(command, tmp_path):
    for folder in (str(tmp_path), ""):
        code, _, error = command("report", "--output", folder)
        assert code == 2 and "expected a file" in error


@pytest.mark.parametrize("trainer", ["fast_conv", "linear", "fc"])
def test_the_command_of_a_trainers_own_recipe_is_the_trainer(trainer):
    assert training_command(recipe_of_trainer(trainer), [0, 1, 2]) == f"mnist train {trainer} --seeds 0:3"
    assert recipe_label(recipe_of_trainer(trainer)) == trainer


def test_the_command_of_another_recipe_has_its_flags():
    base = recipe_of_trainer("fast_conv")
    plain = replace(base, train=replace(base.train, rotation_degrees=0.0, num_epochs=2, preload=False))
    assert training_command(plain, [1, 5]) == (
        "mnist train fast_conv --num-epochs 2 --rotation-degrees 0 --no-preload --seeds 1,5"
    )
    assert recipe_label(plain) == "fast_conv, num epochs 2, rotation degrees 0, preload False"
    assert recipe_label(Recipe("fast_conv")) == "fast_conv by the default recipe"
    string = Recipe("C(8,3)-P2-FC10", TrainConfig(learning_rate=0.01))
    assert training_command(string, [0]) == "mnist train --model 'C(8,3)-P2-FC10' --learning-rate 0.01 --seeds 0:1"


def test_a_section_is_html_and_markdown():
    picture = Picture("maps", "two <maps>", b"png")
    section = Section("A & B", [Text("1 < 2"), picture, Table(["x"], [["a|b"]])], [picture, Command(["mnist runs"])])
    page = section.as_html()
    assert "A &amp; B" in page and "1 &lt; 2" in page and "two &lt;maps&gt;" in page
    assert section.as_markdown("docs") == (
        "### A & B\n\n![two <maps>](docs/study_maps.png)\n\n```bash\nmnist runs\n```"
    )
    assert Table(["x", "y"], [["a|b", "1"]]).as_markdown("") == "| x | y |\n| --- | --- |\n| a/b | 1 |"
