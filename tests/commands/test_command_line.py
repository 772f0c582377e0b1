"""Promises of all commands: their help, the place of their outputs, the next step at the end."""

import inspect
import re
import shlex

import pytest

import mnist
from commands.options import named
from utils.cli import options_of
from utils.recipe import Recipe
from utils.run import Run

KINDS = {name: mnist.load_command(name)[1] for name in mnist.COMMANDS}


@pytest.mark.parametrize("name", mnist.COMMANDS)
def test_help_is_plain_and_has_two_examples(command, name):
    code, printed, _ = command(*name.split(), "--help")
    assert code == 0
    assert not re.search(r"\{None\}|default: None|default: \)|default: ''|\d\.\d{6}|FLOAT|STR\b", printed)
    examples = [line for line in printed.splitlines() if line.startswith(f"  mnist {name}")]
    assert len(examples) >= 2
    for example in examples:
        words = shlex.split(re.split(r" {3,}", example.strip())[0])[1 + len(name.split()) :]
        flags = {flag for option in options_of(KINDS[name]) for flag in option.flags}
        assert {word for word in words if word.startswith("--")} <= flags, example


@pytest.mark.parametrize("name", KINDS)
def test_descriptions_begin_with_an_imperative(name):
    first = inspect.cleandoc(KINDS[name].__doc__).split()[0]
    assert first[0].isupper() and not first.endswith("s") and first not in ("A", "The", "This")


@pytest.mark.parametrize("name", KINDS)
def test_options_of_one_name_mean_the_same_everywhere(name):
    options = {option.field: option for option in options_of(KINDS[name])}
    if "run" in options and name != "scratch train":
        assert options["run"].flags == [] and options["run"].value == "[RUN]"
    if "runs" in options:
        assert options["runs"].flags == [] and options["runs"].value == "[RUN ...]"
    if "split" in options:
        assert options["split"].value.startswith("{test,train,validation}")
    if "device" in options:
        assert options["device"].default == "auto"


@pytest.mark.parametrize("name", ["predict", "activations", "attribution", "features", "embeddings", "explain"])
def test_commands_that_compute_have_a_device(name):
    assert "--device" in [flag for option in options_of(KINDS[name]) for flag in option.flags]


WITH_OUTPUT = ["inspect", "display", "interpret", "compare", "activations", "features", "attribution", "embeddings",
               "explain", "tour", "report", "predict"]  # fmt: skip


@pytest.mark.parametrize("name", WITH_OUTPUT)
def test_outputs_lie_in_the_home(home, name):
    assert KINDS[name]().output.is_relative_to(home)


def test_the_version(command):
    assert command("--version")[:2] == (0, f"mnist-study-platform {mnist.__version__}\n")
    assert "mnist --version" in command("--help")[1]
    code, _, error = command("--verison")
    assert code == 2 and "unknown option '--verison': did you mean --version?" in error


@pytest.mark.parametrize("words", [("help", "train"), ("train", "help")])
def test_the_word_help_is_the_option_help(command, words):
    assert command(*words)[:2] == command("train", "--help")[:2]
    assert command("help")[:2] == command("--help")[:2]
    assert command("help", "trian")[0] == 2


@pytest.mark.parametrize(
    ("typed", "named_in_the_message"),
    [
        (("train", "linear", "--epochs", "0"), "--epochs 0"),
        (("train", "linear", "--num-epochs", "0"), "--num-epochs 0"),
        (("train", "linear", "--lr=-1"), "--lr -1"),
        (("train", "linear", "--lr", "fast"), "--lr: expected a number"),
        (("sweep", "--model", "linear", "--epochs", "0"), "--epochs 0"),
    ],
)
def test_a_message_has_the_flag_that_was_typed(command, home, typed, named_in_the_message):
    code, _, error = command(*typed)
    assert code == 2 and error.startswith(f"error: {named_in_the_message}"), error


def test_one_number_for_seeds_is_one_seed_and_the_output_says_so(command, home):
    code, printed, error = command("train", "linear", "--dataset", "digits", "--epochs", "1", "--seeds", "5")
    assert code == 0 and printed.startswith("one seed, 5 (0:5 for 5 seeds)\n"), error
    assert [run.recipe.seed for run in Run.all()] == [5]


def test_a_recipe_with_another_model_is_named(command, home):
    arguments = ("train", "linear", "--model", "P2-FC10", "--dataset", "digits", "--epochs", "1")
    code, printed, error = command(*arguments)
    assert code == 0 and printed.startswith("recipe linear, model P2-FC10\n"), error


def test_attribution_lists_the_registered_methods(command):
    from model_interpretation.attribution_methods import METHODS

    printed = " ".join(command("attribution", "--help")[1].split())
    assert f"Methods: {', '.join(METHODS)}." in printed


def test_aliases_of_common_options(command, home):
    code, _, error = command(
        "train", "linear", "--dataset", "digits", "--epochs", "1", "--lr=0.02", "--run-name", "mine"
    )
    assert code == 0, error
    recipe = Run.find("mine").recipe
    assert (recipe.num_epochs, recipe.learning_rate) == (1, 0.02)


def test_a_command_ends_with_the_next_step(command, copied_run):
    for arguments, next_step in [
        (["runs"], "compare"),
        (["evaluate"], "interpret mine"),
        (["evaluate", "mine", str(copied_run), "--device", "cpu"], "interpret mine"),
        (["activations", "--id", "3"], "attribution mine"),
        (["predict", "3"], "attribution mine"),
        (["display", "3", "--dataset", "digits"], "inspect --dataset digits"),
    ]:
        code, printed, error = command(*arguments)
        assert code == 0, error
        assert printed.splitlines()[-1] == f"next: mnist {next_step}"
        mnist.split_command(shlex.split(next_step))  # there is such a command


def test_the_augmentation_of_a_recipe_and_of_a_run_is_drawn(command, home):
    recipe = Recipe("linear", "digits", num_epochs=1, elastic_pixels=1, generic_probability=0.1, rotation_degrees=5)
    Run.create("mine", recipe, {}, "linear")
    code, printed, error = command("inspect", "--augmentation", "mine")
    assert code == 0, error
    assert "rotated by up to 5 degrees" in printed and "probability 0.1" in printed
    folder = home / "data_inspection" / "output"
    page = (folder / "augmentation_mine.html").read_text()
    assert all(f">{name}</" in page for name in ("affine", "elastic", *recipe.transformations))
    for part in ("versions", "parts"):
        assert (folder / f"augmentation_mine_{part}.png").stat().st_size < 300_000
    assert printed.splitlines()[-1] == "next: mnist train --resume mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fast_cov"], "unknown recipe or run 'fast_cov': did you mean fast_conv?"),
        (["linear"], "linear trains without augmentation: expected a recipe with one"),
        (["fast_conv", "--dataset", "digits"], "leave --dataset out"),
    ],
)
def test_an_augmentation_that_cannot_be_drawn_gets_the_reason(command, arguments, message):
    code, _, error = command("inspect", "--augmentation", *arguments)
    assert code == 2 and message in error and len(error.strip().splitlines()) <= 2


def test_no_runs_is_no_error(command):
    code, printed, _ = command("runs")
    assert code == 0 and "no runs yet" in printed and printed.endswith("next: mnist quickstart\n")


def test_metrics_without_ids_name_the_ids(command, copied_run):
    code, printed, error = command("scorecard", "mine", "--metrics")
    assert code == 2 and printed == "" and "rotation_40" in error and len(error.splitlines()) == 2


def test_the_newest_finished_run_is_the_default(command, copied_run, finished_run):
    assert command("evaluate")[1] == command("evaluate", "mine")[1]


def test_runs_are_named_as_a_user_types_them(home, finished_run, copied_run):
    assert named(Run.find("mine")) == "mine"
    assert named(finished_run) == shlex.quote(str(finished_run.path))
