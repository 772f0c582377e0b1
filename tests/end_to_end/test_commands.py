"""The commands as a user types them: what they print, what they leave behind, how they refuse."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from utils.files import PROJECT_FOLDER

QUICK = ("--dataset", "digits", "--num-epochs", "1", "--device", "cpu")
FILES = {
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "summary.json",
    "checkpoints/last.pt",
    "checkpoints/best.pt",
    "predictions/test.npz",
    "predictions/validation.npz",
}
SUMMARY_FIELDS = {
    "model", "num_parameters", "seed", "device", "precision", "num_epochs_run", "best_epoch", "best_val_accuracy",
    "val_accuracy", "test_accuracy", "test_loss", "test_num_correct", "train_seconds", "total_seconds",
}  # fmt: skip


def test_a_run_is_a_folder(finished_run):
    files = {str(path.relative_to(finished_run.path)) for path in finished_run.path.rglob("*") if path.is_file()}
    events = {name for name in files if "events.out.tfevents" in name}
    assert files - events == FILES
    assert sorted(name.split("/")[0] for name in events if "/" in name) == ["results", "results"] and len(events) == 3
    summary = json.loads((finished_run.path / "summary.json").read_text())
    assert set(summary) >= SUMMARY_FIELDS
    predictions = np.load(finished_run.predictions_file("test"), allow_pickle=False)
    right = int((predictions["logits"].argmax(1) == predictions["labels"]).sum())
    assert right == summary["test_num_correct"] == round(summary["test_accuracy"] * 359)
    environment = finished_run.environment
    assert environment["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"python", "device", "git_commit", "git_tree_is_clean", "command", "execution"} <= set(environment)
    assert "auto" not in environment["execution"].values()


def test_train_and_evaluate(command, home):
    code, printed, _ = command("train", "linear", *QUICK, "--seed", "3", "--run-name", "mine", "--batch-size", "32")
    assert code == 0
    assert "test accuracy" in printed and "mnist tensorboard" in printed and "mine" in printed
    config = json.loads((home / "runs" / "mine" / "config.json").read_text())
    assert (config["seed"], config["batch_size"]) == (3, 32)
    summary = json.loads((home / "runs" / "mine" / "summary.json").read_text())
    for split, number in (("test", 359), ("train", 1318), ("validation", 120)):
        code, printed, _ = command("evaluate", "mine", "--split", split)
        assert code == 0 and f"of {number:,} correct" in printed
        if split == "test":
            assert f"({summary['test_num_correct']:,} of" in printed


def test_any_model_string_trains_with_the_default_recipe(command, home):
    code, _, _ = command("train", "--model", "C(2,5)-P2-FC10", *QUICK)
    assert code == 0
    (run,) = (home / "runs").glob("[!.]*")
    assert run.name.startswith("C_2_5_P2_FC10-")


def test_every_specific_trainer_trains(command):
    for trainer in ("linear", "fc", "conv"):
        code, printed, error = command("train", trainer, *QUICK, "--run-name", trainer)
        assert code == 0, error
        assert "test accuracy" in printed


def test_help_explains_each_option_with_its_default(command):
    code, printed, _ = command("train", "fc", "--help")
    assert code == 0
    for part in ("--num-epochs", "--learning-rate", "--resume", "--no-preload", "default: 0.01", "default: 128"):
        assert part in " ".join(printed.replace("│", " ").split())


def test_mnist_help_needs_no_torch():
    code = "import sys, mnist; sys.argv = ['mnist', '--help']; mnist.main(); sys.exit('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0 and "train" in answer.stdout and "evaluate" in answer.stdout


def test_scripts_run_from_anywhere(tmp_path):
    script = PROJECT_FOLDER / "trainers" / "specific_trainers" / "linear_trainer.py"
    answer = subprocess.run(
        [sys.executable, str(script), "--num-epochs", "many"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: ") and "many" in answer.stderr and len(answer.stderr.splitlines()) == 2


def test_inspection_script_runs_from_anywhere(tmp_path):
    script = PROJECT_FOLDER / "data_inspection" / "scripts" / "data_inspection.py"
    command = [sys.executable, str(script), "--dataset", "digits", "--output", str(tmp_path / "out")]
    answer = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "out" / "digits_ink.png").exists()


def test_network_that_sees_pooled_pixels_alone(command, home):
    code, _, error = command("train", "--model", "P2-FC10", *QUICK)
    assert code == 0, error


def test_csv_files_are_found_from_other_folders(command, home, monkeypatch):
    (home / "there").mkdir()
    rows = np.concatenate([np.arange(200)[:, None] % 10, np.random.default_rng(0).integers(0, 256, (200, 784))], axis=1)
    np.savetxt(home / "there" / "digits.csv", rows, fmt="%d", delimiter=",")
    monkeypatch.chdir(home / "there")
    name = "csv:digits.csv,test=digits.csv"
    code, _, error = command("train", "linear", "--dataset", name, "--num-epochs", "1", "--run-name", "csv")
    assert code == 0, error
    monkeypatch.chdir(home)
    code, printed, error = command("evaluate", "csv")
    assert code == 0 and "of 200 correct" in printed, error


@pytest.mark.cuda
def test_cuda_learns_as_the_cpu_does(command, home):
    for device in ("cpu", "cuda"):
        arguments = ("--dataset", "digits", "--num-epochs", "8", "--precision", "fp32", "--device", device)
        assert command("train", "conv", *arguments, "--run-name", device)[0] == 0
    accuracies = [
        json.loads((home / "runs" / device / "summary.json").read_text())["test_accuracy"] for device in ("cpu", "cuda")
    ]
    assert min(accuracies) > 0.9 and abs(accuracies[0] - accuracies[1]) < 0.03


def test_quickstart_without_mnist_says_so_and_uses_the_bundled_digits(command, home, no_network, monkeypatch):
    monkeypatch.setattr("trainers.quickstart.NUM_EPOCHS_ON_DIGITS", 1)
    code, printed, error = command("quickstart")
    assert code == 0 and "NO MNIST" in error and "test accuracy" in printed
    (run,) = (home / "runs").glob("[!.]*")
    assert json.loads((run / "config.json").read_text())["dataset"] == "digits"


@pytest.mark.real_mnist
def test_one_epoch_on_real_mnist_reads_it_well(command, home, real_mirror):
    code, _, error = command("train", "fc", "--num-epochs", "2", "--run-name", "real", "--device", "cpu")
    assert code == 0, error
    summary = json.loads((home / "runs" / "real" / "summary.json").read_text())
    assert summary["test_accuracy"] > 0.96
    assert summary["num_parameters"] == 109_386


BAD_COMMANDS = {
    "unknown command": (["fly"], "unknown command 'fly'"),
    "misspelt command": (["evaluat", "x"], "did you mean evaluate?"),
    "misspelt option": (["train", "linear", "--learning-rte", "1"], "did you mean --learning-rate?"),
    "one argument too many": (["train", "linear", "conv"], "'conv' is one argument too many"),
    "unknown recipe": (["train", "resnet"], "unknown recipe 'resnet'"),
    "no recipe, no model": (["train"], "--model NAME"),
    "unknown model": (["train", "--model", "vgg", *QUICK], "model 'vgg'"),
    "absurd model": (["train", "--model", "FC999999999", *QUICK], "65,536"),
    "open bracket": (["train", "--model", "C(3,3-FC10", *QUICK], "character 1"),
    "unknown data set": (["train", "linear", "--dataset", "emnist"], "unknown data set 'emnist'"),
    "missing csv": (["train", "linear", "--dataset", "csv:/nowhere.csv"], "/nowhere.csv"),
    "unknown device": (["train", "linear", *QUICK, "--device", "tpu"], "'tpu'"),
    "unknown device of quickstart": (["quickstart", "--device", "tpu"], "'tpu'"),
    "unknown option": (["train", "linear", "--zoom", "1"], "unknown option --zoom"),
    "unknown option value": (["train", "linear", "--optimizer", "lion"], "lion"),
    "text for a number": (["train", "linear", "--seed", "one"], "--seed: expected a whole number, not 'one'"),
    "text for an optional number": (["display", "seven"], "expected a whole number, not 'seven'"),
    "missing value": (["train", "linear", "--seed"], "--seed: the value is missing"),
    "missing values": (["sweep", "--model", "linear", "--lr"], "--lr without a value"),
    "ablation of nothing": (["ablation", "--properties"], "--properties without a value"),
    "missing option": (["submit"], "--test FILE is missing"),
    "learning rate not positive": (["train", "linear", *QUICK, "--learning-rate", "0"], "--learning-rate"),
    "batch size not positive": (["train", "linear", *QUICK, "--batch-size", "-4"], "--batch-size"),
    "validation size over the set": (["train", "linear", *QUICK, "--validation-size", "5000"], "1,438"),
    "run name climbs out": (["train", "linear", *QUICK, "--run-name", "../x"], "plain folder name"),
    "train size over the set": (["train", "linear", *QUICK, "--train-size", "5000"], "cannot train on 5,000"),
    "seeds without an end": (["train", "linear", *QUICK, "--seeds", "3:"], "1 to 10,000 different seeds"),
    "seeds backwards": (["train", "linear", *QUICK, "--seeds", "3:1"], "1 to 10,000 different seeds"),
    "seeds twice": (["train", "linear", *QUICK, "--seeds", "1,1"], "1 to 10,000 different seeds"),
    "too many seeds": (["train", "linear", *QUICK, "--seeds", "0:99999999999"], "1 to 10,000 different seeds"),
    "no seeds": (["train", "linear", *QUICK, "--seeds="], "1 to 10,000 different seeds"),
    "seed and seeds": (["train", "linear", *QUICK, "--seed", "1", "--seeds", "0:2"], "--seed"),
    "compile mode of another device": (["train", "linear", *QUICK, "--compile", "cuda_graph"], "needs CUDA"),
    "unknown compile mode": (["train", "linear", *QUICK, "--compile", "fast"], "fast"),
    "unknown precision": (["train", "linear", *QUICK, "--precision", "fp8"], "fp8"),
    "unknown checkpoint": (["train", "linear", *QUICK, "--checkpoint", "first"], "first"),
    "resume nothing": (["train", "--resume", "runs/nothing"], "no run at"),
    "resume without a name": (["train", "--resume"], "--resume"),
    "evaluate nothing": (["evaluate"], "no finished run"),
    "evaluate an unknown run": (["evaluate", "nothing"], "no run at"),
    "evaluate an unknown split": (["evaluate", "x", "--split", "all"], "all"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_COMMANDS.values(), ids=BAD_COMMANDS)
def test_bad_input_gets_two_lines_and_exit_2(command, home, arguments, message):
    code, printed, error = command(*arguments)
    assert code == 2 and printed == ""
    assert error.startswith("error: ") and message in error
    assert len(error.splitlines()) <= 2
    assert not list((home / "runs").glob("*"))  # nothing was begun


@pytest.mark.parametrize("model", ["standard_fc", "C(2,5)-P2-FC10"])
def test_several_seeds_at_once(command, home, model):
    code, printed, error = command("train", "--model", model, *QUICK, "--seeds", "0:3", "--run-name", "many")
    assert code == 0, error
    assert [line.split()[:2] for line in printed.splitlines() if line.startswith("seed")] == [
        ["seed", str(seed)] for seed in range(3)
    ]
    assert "mean test accuracy of 3 seeds" in printed
    assert all((home / "runs" / f"many-s{seed}" / "summary.json").exists() for seed in range(3))


@pytest.fixture
def stopped_run(copied_run):
    """A run as if it had been stopped before its final evaluation."""
    (copied_run / "summary.json").unlink()
    return copied_run


def test_resume_after_the_last_epoch_only_judges(command, stopped_run, finished_run):
    code, _, error = command("train", "--resume", str(stopped_run))
    assert code == 0, error
    old, new = (json.loads((path / "summary.json").read_text()) for path in (finished_run.path, stopped_run))
    old.pop("total_seconds"), new.pop("total_seconds")
    assert old == new


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--resume", "mine", "--batch-size", "7"], "batch_size is 64, not 7"),
        (["train", "conv", "--resume", "mine"], "is a run of linear and keeps its recipe"),
        (["train", "--resume", "mine", "--model", "standard_fc"], "model is linear, not standard_fc"),
        (["train", "--resume", "mine", "--run-name", "other"], "--run-name"),
        (["train", "linear", "--run-name", "mine", *QUICK], "never overwritten"),
    ],
)
def test_a_stopped_run_refuses_another_recipe(command, stopped_run, arguments, message):
    code, _, error = command(*arguments)
    assert code == 2 and message in error and len(error.splitlines()) <= 2


def test_a_finished_run_is_not_trained_again(command, stopped_run):
    (stopped_run / "summary.json").write_text("{}")
    code, _, error = command("train", "--resume", str(stopped_run))
    assert code == 2 and "is finished" in error


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("checkpoints/last.pt", b"garbage", "last.pt is damaged"),
        ("checkpoints/last.pt", None, "last.pt is missing"),
        ("config.json", b"{", "config.json is damaged"),
        ("config.json", b"{}", "not a recipe"),
        ("metrics.jsonl", b"x\n", "metrics.jsonl is damaged"),
    ],
)
def test_damaged_runs_are_refused_by_file(command, stopped_run, file, content, message):
    if content is None:
        (stopped_run / file).unlink()
    else:
        (stopped_run / file).write_bytes(content)
    code, _, error = command("train", "--resume", str(stopped_run))
    assert code == 2 and message in error and len(error.splitlines()) <= 2


def test_checkpoint_of_another_network_is_refused(command, stopped_run):
    config = json.loads((stopped_run / "config.json").read_text())
    (stopped_run / "config.json").write_text(json.dumps({**config, "model": "standard_fc"}))
    code, _, error = command("train", "--resume", str(stopped_run))
    assert code == 2 and "another network" in error and len(error.splitlines()) <= 2


@pytest.mark.parametrize(
    "arguments",
    [["evaluate"], ["interpret"], ["scorecard"], ["activations"], ["features"], ["attribution"], ["embeddings"],
     ["explain"], ["predict"], ["retrain"], ["label-errors"], ["scratch", "evaluate"], ["weights", "export"], ["draw"],
     ["evaluate", "whole"]],
    ids=" ".join,
)  # fmt: skip
def test_an_unfinished_run_is_refused_by_name(command, home, finished_run, stopped_run, arguments):
    shutil.copytree(finished_run.path, home / "runs" / "whole")
    code, printed, error = command(*arguments, "mine")
    assert code == 2 and printed == ""
    assert "run mine is unfinished, 2 of 2 epochs" in error and "mnist train --resume mine" in error
    assert len(error.splitlines()) <= 2
