"""The code blocks of README.md and docs/api.md run as printed; blocks on MNIST with fewer digits and epochs."""

import re

import pytest
import torch

from models import load_trained
from models.export import ONNX_TORCH
from utils.files import PROJECT_FOLDER
from utils.run import Run


def python_blocks(name):
    return re.findall(r"```python\n(.*?)```", (PROJECT_FOLDER / name).read_text(encoding="utf-8"), flags=re.DOTALL)


FIRST, *OTHERS = python_blocks("docs/api.md")
(README,) = python_blocks("README.md")


def replaced(code, old, new):
    assert code.count(old) == 1, old
    return code.replace(old, new)


@pytest.mark.real_mnist
@pytest.mark.parametrize("code", [README, FIRST], ids=["README.md", "docs/api.md"])
def test_the_example_runs(real_mirror, code):
    code = replaced(code, "num_epochs=3", "num_epochs=1, train_size=2000")
    code = replaced(code, "num_epochs=2", "num_epochs=1, train_size=2000")
    code = code.replace("validation_size=5000", "validation_size=5000, train_size=2000")
    names = {}
    exec(code, names)
    run = names["run"]
    assert [run.name for run in Run.finished()] == [run.name]  # the custom trainer writes no run
    assert run.recipe.model == "fast_conv" and not names["model"].training
    checkpoint = torch.load(run.best_checkpoint, weights_only=True)["model"]
    names["model"].load_state_dict(checkpoint)


def test_the_other_examples_run_in_order(home, capsys):
    names = {}
    for code in OTHERS:
        if '"onnx"' not in code or torch.__version__ >= ONNX_TORCH:
            exec(code, names)
    assert len(names["runs"]) == 3 and names["failures"] == {}
    assert (names["run"].path / "page.html").exists() and (names["run"].path / "confusion.png").exists()
    assert "8 runs" in capsys.readouterr().out
    if torch.__version__ < ONNX_TORCH:
        pytest.skip(f"ran all but the example of an ONNX file, which needs PyTorch {ONNX_TORCH}")


def test_a_run_of_the_users_own_module(home, tmp_path, monkeypatch):
    """`train("package.module:Class")`: the run works like any other."""
    from trainers import train

    (tmp_path / "my_module.py").write_text(
        "from torch import nn\n\n\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = train("my_module:Net", dataset="digits", num_epochs=1)
    assert load_trained(run)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
