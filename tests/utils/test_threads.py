"""The number of CPU threads: the rule, its overrides, and the waiting that is set before torch is loaded."""

import os
import subprocess
import sys

import pytest

from models.registry import build_model
from utils.errors import UserError
from utils.threads import available_cores, choose_num_threads


@pytest.fixture(autouse=True)
def no_openmp_variables(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("model", "is_one"), [("linear", True), ("standard_fc", True), ("FC1024-FC10", False), ("fast_conv", False)]
)
def test_rule_depends_on_the_model_alone(model, is_one):
    assert choose_num_threads(build_model(model)) == (1 if is_one else available_cores())


def test_requested_number_wins_over_variable_and_variable_over_rule(monkeypatch):
    model = build_model("standard_fc")
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    assert choose_num_threads(model) == available_cores()
    assert choose_num_threads(model, 1) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1,4")
    assert choose_num_threads(build_model("fast_conv")) == 1


@pytest.mark.parametrize(
    ("variables", "requested", "message"),
    [
        ({}, 0, "--threads 0: expected 1 to"),
        ({}, -1, "expected 1 to"),
        ({}, 10_000, "the cores available to this process"),
        ({"OMP_NUM_THREADS": "many"}, None, "OMP_NUM_THREADS is 'many'"),
        ({"OMP_NUM_THREADS": "0"}, None, "OMP_NUM_THREADS is '0'"),
    ],
)
def test_bad_numbers_are_refused(monkeypatch, variables, requested, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        choose_num_threads(build_model("linear"), requested)


@pytest.mark.skipif(available_cores() < 2, reason="one core: nothing to contradict")
def test_a_thread_limit_contradicts_a_larger_request(monkeypatch):
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    with pytest.raises(UserError, match="OMP_THREAD_LIMIT is 1"):
        choose_num_threads(build_model("linear"), 2)


@pytest.mark.parametrize("package", ["models", "trainers", "study", "model_interpretation", "data_inspection", "utils"])
def test_every_package_sets_the_waiting_before_torch_is_loaded(package):
    program = (
        "import sys, os; sys.meta_path.insert(0, type('F', (), {'find_spec': staticmethod(lambda name, *_:"
        " name == 'torch' and print(os.environ.get('GOMP_SPINCOUNT')) or None)})());"
        f"import {package}; import torch"
    )
    for given, expected in (({}, "1000"), ({"OMP_WAIT_POLICY": "active"}, "None")):
        clean = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")}
        done = subprocess.run(
            [sys.executable, "-c", program], env={**clean, **given}, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[0] == expected
