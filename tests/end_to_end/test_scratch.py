"""`mnist scratch` and `mnist weights`: a NumPy project's workflow, there and back."""

import contextlib
import importlib
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from models.numpy_models.weights_file import read_weights
from models.registry import load_trained
from utils.data.datasets import load_dataset
from utils.errors import UserError
from utils.evaluation import predict_logits
from utils.run import Run

MODEL = "C(3,5)-P2-C(4,3)-P2-FC12-FC10"
SHAPES = {
    "weight_1": (3, 1, 5, 5), "bias_1": (3,), "weight_3": (4, 3, 3, 3), "bias_3": (4,),
    "weight_5": (12, 100), "bias_5": (12,), "weight_6": (10, 12), "bias_6": (10,),
}  # fmt: skip


@pytest.fixture
def weights(tmp_path):
    """A file of random weights in the layout."""
    generator = np.random.default_rng(0)
    path = tmp_path / f"weight_details{MODEL}.npz"
    np.savez(path, **{name: generator.normal(size=shape) * 0.3 for name, shape in SHAPES.items()})
    return path


@pytest.fixture
def scratch_run(command):
    """A run of the NumPy engine."""
    code, printed, error = command(
        "scratch", "train", MODEL, "--dataset", "digits", "--num-epochs", "3", "--learning-rate", "0.01",
        "--run-name", "scratch",
    )  # fmt: skip
    assert code == 0, error
    return Run.find("scratch"), printed


def test_training_ends_with_precision_loss_and_a_picture(command, scratch_run):
    run, printed = scratch_run
    summary = run.summary
    assert run.recipe.backend == "numpy" and summary.test_num_correct > 200
    assert f"loss at the end of training {run.metrics[-1].train_loss:.4f}" in printed
    wrong = 359 - summary.test_num_correct
    assert f"would be {1 - 2 * wrong / 3590:.2%}" in printed
    assert len(re.findall(r"\d: +\d+\.\d\d%", printed)) == 10
    assert (run.path / "loss_per_epoch.png").stat().st_size > 5000
    code, printed, _ = command("scratch", "evaluate", "scratch")
    assert code == 0 and f"({summary.test_num_correct} of 359 correct)" in printed
    assert sum(int(count) for count in re.findall(r"^  \d +(\d+) of", printed, flags=re.MULTILINE)) == wrong
    for words in (["evaluate", "scratch"], ["interpret", "scratch", "--output", str(run.path.parent.parent / "out")]):
        assert command(*words)[0] == 0


def test_weights_there_and_back(command, weights, tmp_path):
    assert command("weights", "import", str(weights), "--dataset", "digits", "--run-name", "one")[0] == 0
    run = Run.find("one")
    assert run.recipe.init_from == weights.name and run.summary.num_epochs_run == 0
    code, _, error = command("weights", "export", "one", "--output", str(tmp_path / "out"))
    assert code == 0, error
    with np.load(weights) as before, np.load(tmp_path / "out" / weights.name) as after:
        assert sorted(before.files) == sorted(after.files)
        assert all(np.array_equal(before[name], after[name]) and after[name].dtype == np.float64 for name in SHAPES)
    assert command("interpret", "one", "--output", str(tmp_path / "pictures"))[0] == 0
    assert command("compare", "--output", str(tmp_path / "comparison"))[0] == 0


def test_imported_weights_see_pixels_that_are_not_standardised(command, weights):
    command("weights", "import", str(weights), "--dataset", "digits", "--run-name", "one")
    images = load_dataset("digits", "test").images[:5]
    logits = predict_logits(load_trained(Run.find("one")), images, torch.device("cpu"))
    with np.load(weights) as file:
        arrays = {name: torch.from_numpy(file[name]).float() for name in file.files}
    values = torch.conv2d(images[:, None] / 255, arrays["weight_1"], arrays["bias_1"]).relu()
    values = torch.max_pool2d(values, 2)
    values = torch.conv2d(values, arrays["weight_3"], arrays["bias_3"]).relu()
    values = torch.max_pool2d(values, 2).flatten(1)
    values = (values @ arrays["weight_5"].T + arrays["bias_5"]).relu() @ arrays["weight_6"].T + arrays["bias_6"]
    torch.testing.assert_close(logits, values, atol=1e-4, rtol=1e-4)


def test_a_trained_network_gives_the_same_answers_after_export_and_import(command, scratch_run, tmp_path):
    assert command("weights", "export", "scratch", "--output", str(tmp_path / "out"))[0] == 0
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == f"weight_details{MODEL}.npz"
    assert command("weights", "import", str(file), "--dataset", "digits", "--run-name", "again")[0] == 0
    images = load_dataset("digits", "test").images
    one, other = (
        predict_logits(load_trained(Run.find(name)), images, torch.device("cpu")) for name in ("scratch", "again")
    )
    torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)
    code, _, error = command("weights", "export", "scratch", "--output", str(tmp_path / "out"))
    assert code == 2 and "not overwritten" in error


def test_imported_weights_are_trained_on(command, weights):
    command("weights", "import", str(weights), "--dataset", "digits", "--run-name", "one")
    code, _, error = command(
        "scratch", "train", "--init-from", "one", "--dataset", "digits", "--num-epochs", "2", "--run-name", "more"
    )
    assert code == 0, error
    more = Run.find("more")
    assert more.recipe.model == MODEL and more.recipe.init_from == "one"
    assert more.metrics[1].train_loss < Run.find("one").metrics[0].train_loss


def change(path, **arrays):
    with np.load(path) as file:
        values = {name: file[name] for name in file.files} | arrays
    np.savez(path, **{name: value for name, value in values.items() if value is not None})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"bias_3": None}, "bias_3 is missing"),
        ({"weight_2": np.zeros(3)}, "weight_2 is not an array of"),
        ({"weight_5": np.zeros((100, 12))}, r"weight_5 has the shape \(100, 12\)"),
        ({"weight_1": np.full((3, 1, 5, 5), np.nan)}, "weight_1 holds values that are not finite"),
        ({"bias_6": np.array(["a"] * 10)}, "bias_6: it holds <U1 values"),
        ({"bias_6": np.array([None] * 10, dtype=object)}, "bias_6: it holds object values"),
        ({"bias_6": np.full(10, 1e300)}, "bias_6 holds values that are not finite"),
    ],
)
def test_bad_weights_are_refused(command, weights, arrays, message):
    change(weights, **arrays)
    code, _, error = command("weights", "import", str(weights), "--dataset", "digits")
    assert code == 2 and re.search(message, error) and len(error.splitlines()) <= 2
    assert not Run.all()


def test_damaged_files_are_refused(command, weights):
    whole = weights.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 40):
            damaged[place] = generator.integers(256)
        weights.write_bytes(damaged)
        with contextlib.suppress(UserError):  # where the damage is in the numbers alone, the file can be read
            read_weights(weights)
    lying = io.BytesIO()
    np.lib.format.write_array_header_1_0(lying, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    with zipfile.ZipFile(weights, "w") as archive:
        for name in SHAPES:
            archive.writestr(f"{name}.npy", lying.getvalue())
    code, _, error = command("weights", "import", str(weights), "--dataset", "digits")
    assert code == 2 and "its length does not fit its header" in error and not Run.all()


def test_an_import_that_is_stopped_leaves_nothing(command, weights, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("trainers.train"), "evaluate_and_write", stopped)
    assert command("weights", "import", str(weights), "--dataset", "digits", "--run-name", "one")[0] == 130
    assert not Run.all()


def test_a_run_that_started_from_another_goes_on_from_there_though_nothing_was_saved_yet(command, weights):
    command("weights", "import", str(weights), "--dataset", "digits", "--run-name", "one")
    flags = ["--init-from", "one", "--dataset", "digits", "--num-epochs", "1", "--learning-rate", "0.001"]
    assert command("scratch", "train", *flags, "--run-name", "whole")[0] == 0
    whole = Run.find("whole")
    killed = whole.path.with_name("killed")
    for folder in (killed, killed / "checkpoints", killed / "predictions"):
        folder.mkdir()
    for name in ("config.json", "environment.json"):
        (killed / name).write_bytes((whole.path / name).read_bytes())
    assert command("scratch", "train", "--resume", "killed")[0] == 0
    assert Run(killed).metrics[0].train_loss == whole.metrics[0].train_loss


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["weights", "import", "mine.npz"], "expected a file name with the model"),
        (["weights", "import", "weight_detailsC(8,5-FC10.npz"], "character 1"),
        (["weights", "import", "weight_detailsC(8,5)-BN-FC10.npz"], "BN of C(8,5)-BN-FC10"),
        (["weights", "import", "weight_detailsFC10.npz"], "No such file"),
        (["weights", "import"], "FILE"),
        (["weights", "send"], "expected mnist weights import"),
        (["weights"], "expected mnist weights import"),
        (["weights", "export", "nothing"], "no run at 'nothing'"),
        (["weights", "export", "mine"], "a run of linear"),
        (["scratch", "train"], "which network"),
        (["scratch", "train", "C(8,5"], "character 1"),
        (["scratch", "train", "standard_conv", "--dataset", "digits"], "runs model strings"),
        (["scratch", "train", "FC10", "--learning-rate", "fast"], "fast"),
        (["scratch", "train", "FC10", "--num-epochs", "0"], "--num-epochs 0"),
        (["scratch", "train", "FC8-FC10", "--init-from", "mine", "--dataset", "digits"], "another network"),
        (["scratch", "train", "FC10", "--init-from", "nothing"], "no run at 'nothing'"),
        (["scratch", "train", "FC10", "--backend", "torch"], "leave --backend out"),
        (["scratch", "evaluate", "mine"], "runs model strings"),
        (["scratch", "evaluate", "nothing"], "no run at 'nothing'"),
        (["scratch", "play"], "expected mnist scratch train"),
    ],
)  # fmt: skip
def test_bad_input(command, copied_run, words, message):
    code, _, error = command(*words)
    assert code == 2 and error.startswith("error: ") and message in error and len(error.splitlines()) <= 2
    assert [run.path.name for run in Run.all()] == ["mine"]


@pytest.mark.real_mnist
def test_the_published_weights_name_9556_digits(command, real_mirror):
    file = next((Path(real_mirror) / "numpy_cnn_weights").glob("*.npz"), None)
    if file is None:
        pytest.skip("no published NumPy weights in the mirror")
    code, printed, error = command("weights", "import", str(file), "--run-name", "published")
    assert code == 0 and "95.56% (9,556 of 10,000 correct)" in printed, error
    assert "(9,556 of 10,000 correct)" in command("scratch", "evaluate", "published")[1]
