"""Devices, precision, compilation, CPU threads, resolved executions and random seeds."""

import os
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch

from models.registry import build_model
from utils import runtime
from utils.errors import UserError
from utils.recipe import Execution, Recipe
from utils.runtime import (
    available_cores,
    choose_compile,
    choose_device,
    choose_num_threads,
    choose_precision,
    describe_environment,
    random_seed,
    resolve_execution,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "tpu", "", "meta", "cpu:0:1"])
def test_an_unavailable_device_is_refused(name):
    with pytest.raises(UserError, match="is not on this machine"):
        choose_device(name)


def test_auto_is_a_gpu_if_available():
    assert choose_device("cpu") == CPU
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    assert (choose_device("auto") == CPU) == (not has_gpu)


@pytest.mark.parametrize(
    ("name", "model", "has_bf16", "expected"),
    [
        ("auto", "standard_conv", True, "bf16"),
        ("auto", "standard_conv", False, "fp32"),
        ("auto", "standard_fc", True, "fp32"),
        ("bf16", "standard_fc", True, "bf16"),
        ("fp32", "standard_conv", True, "fp32"),
    ],
)
def test_precision_follows_hardware_and_model(monkeypatch, name, model, has_bf16, expected):
    monkeypatch.setattr(runtime, "has_fast_bf16", lambda _: has_bf16)
    assert choose_precision(name, CPU, build_model(model)) == expected


def test_bf16_is_refused_without_hardware_for_it(monkeypatch):
    monkeypatch.setattr(runtime, "has_fast_bf16", lambda _: False)
    with pytest.raises(UserError, match="'bf16'"):
        choose_precision("bf16", CPU, build_model("standard_conv"))


def test_inductor_needs_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="no-such-compiler"):
        choose_compile("inductor", CPU)


def test_random_seeds_differ_by_seed_epoch_and_purpose():
    purposes = ("initialisation", "order", "augmentation", "dropout")
    seeds = {random_seed(s, e, p) for s in range(20) for e in range(20) for p in purposes}
    assert len(seeds) == 20 * 20 * 4
    assert random_seed(0, 1, "order") == random_seed(0, 1, "order")
    torch.manual_seed(max(seeds))  # all seeds fit


# CPU threads.


@pytest.fixture
def no_openmp_variables(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("model", "is_one"), [("linear", True), ("standard_fc", True), ("FC1024-FC10", False), ("fast_conv", False)]
)
def test_the_number_of_threads_depends_on_the_model_alone(no_openmp_variables, model, is_one):
    assert choose_num_threads(build_model(model)) == (1 if is_one else available_cores())


def test_a_requested_number_overrides_the_variable_and_the_variable_the_rule(no_openmp_variables, monkeypatch):
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
def test_bad_numbers_of_threads_are_refused(no_openmp_variables, monkeypatch, variables, requested, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        choose_num_threads(build_model("linear"), requested)


@pytest.mark.skipif(available_cores() < 2, reason="needs two cores")
def test_a_thread_limit_bounds_the_rule_and_refuses_a_larger_request(no_openmp_variables, monkeypatch):
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    assert choose_num_threads(build_model("fast_conv")) == 1
    with pytest.raises(UserError, match="OMP_THREAD_LIMIT is 1"):
        choose_num_threads(build_model("linear"), 2)


@pytest.mark.parametrize("package", ["models", "trainers", "study", "model_interpretation", "data_inspection", "utils"])
def test_every_package_sets_how_threads_wait_before_torch_is_loaded(package):
    program = (
        "import os, sys\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, *_):\n"
        "        if name == 'torch':\n"
        "            print(os.environ.get('GOMP_SPINCOUNT'), flush=True)\n"
        "            os._exit(0)  # to load torch takes seconds\n"
        "sys.meta_path.insert(0, Finder)\n"
        f"import {package}, torch"
    )
    for given, expected in (({}, "1000"), ({"OMP_WAIT_POLICY": "active"}, "None")):
        clean = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")}
        done = subprocess.run(
            [sys.executable, "-c", program], env={**clean, **given}, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == [expected]


# Resolved executions.


def test_a_resolved_execution_has_no_auto_and_resolves_to_itself():
    for model in ("standard_conv", "linear"):
        network = build_model(model)
        resolved = resolve_execution(Recipe(model), network, Execution())
        assert "auto" not in asdict(resolved).values() and resolved.threads == torch.get_num_threads()
        assert resolve_execution(Recipe(model), network, resolved) == resolved


def test_the_numpy_backend_runs_on_the_cpu_in_fp32_or_fp64():
    recipe, model = Recipe("FC10", backend="numpy"), build_model("FC10")
    resolved = resolve_execution(recipe, model, Execution(threads=1))
    assert resolved == Execution(device="cpu", precision="fp32", compile="none", threads=1)
    assert resolve_execution(recipe, model, Execution(precision="fp64")).precision == "fp64"
    for execution in (Execution(precision="bf16"), Execution(device="cuda"), Execution(compile="inductor")):
        with pytest.raises(UserError, match="the NumPy backend expects"):
            resolve_execution(recipe, model, execution)


def test_the_environment_records_the_execution():
    execution = Execution(device="cpu", precision="fp32", compile="none", threads=1)
    environment = describe_environment(execution, num_together=8)
    assert environment["execution"] == {**asdict(execution), "num_together": 8}
    assert environment["num_threads"] == 1
    assert environment["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"started", "command", "python", "platform", "device", "git_commit", "git_tree_is_clean"} <= set(environment)
