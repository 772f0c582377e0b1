"""`mnist export` and ONNX files: the same logits as the run's network, what the files say, and how bad ones end."""

import io
import json
import sys
import zipfile

import numpy as np
import pytest
import torch
from made_runs import made_predictions, make_run
from torch import nn
from torch.torch_version import TorchVersion

from models import build_model, load_trained
from models.export import (
    FORMATS,
    MAX_DIFFERENCE,
    ONNX_TORCH,
    OnnxNetwork,
    describe,
    export_run,
    load_onnx,
    write_onnx,
    write_pt2,
)
from trainers import Execution, train
from utils.checkpoints import save_checkpoint
from utils.data.batches import to_pixels
from utils.data.datasets import load_dataset
from utils.errors import UserError
from utils.evaluation import predict_logits
from utils.recipe import Recipe
from utils.run import Run

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
writes_onnx = pytest.mark.skipif(torch.__version__ < ONNX_TORCH, reason=f"ONNX files need PyTorch {ONNX_TORCH}")
EXPORTED = [
    "standard_fc",
    "fast_conv",
    "deep_conv",
    "shift_invariant",
    "FC32-BN-D0.5-FC10",
    "C(4,5,same)-BN-P3-A3-C(6,3)-G-FC16-BN-FC10",
    "torchvision:resnet18",
]


def network(name, images):
    """The network with random weights. The statistics of batch norm are those of the images."""
    torch.manual_seed(0)
    model = build_model(name)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None
    with torch.no_grad():
        model.train()(to_pixels(images))
    return model.eval()


@writes_onnx
@pytest.mark.parametrize("name", EXPORTED)
def test_onnx_and_torch_have_the_same_logits_for_any_number_of_images(name, digits):
    model = network(name, digits.images[:100])
    exported = OnnxNetwork(write_onnx(model, {"model": name}), name)
    assert exported.metadata == {"model": name}
    pixels = to_pixels(digits.images[:300])
    with torch.no_grad():
        expected = model(pixels)
    assert expected.std() > 0.01
    for count in (1, 7, 300):
        torch.testing.assert_close(exported(pixels[:count]), expected[:count], atol=MAX_DIFFERENCE, rtol=0)


@pytest.mark.parametrize("name", ["deep_conv", "FC32-BN-D0.5-FC10"])
def test_pt2_files_take_any_number_of_images_and_hold_the_metadata(name, few_digits):
    model = network(name, few_digits.images)
    extra_files = {"metadata.json": ""}
    program = torch.export.load(io.BytesIO(write_pt2(model, {"model": name})), extra_files=extra_files).module()
    assert json.loads(extra_files["metadata.json"]) == {"model": name}
    pixels = to_pixels(few_digits.images)
    for count in (1, 7, 200):
        torch.testing.assert_close(program(pixels[:count]), model(pixels[:count]))


class LengthOfTheBatch(nn.Linear):
    def forward(self, images):
        return super().forward(images.reshape(len(images), -1))


class Branch(nn.Linear):
    def forward(self, images):
        return super().forward(images.flatten(1)) * (1 if images.sum() > 0 else 2)


class Decomposition(nn.Linear):
    def forward(self, images):
        return super().forward(torch.linalg.svd(images)[0].flatten(1))


@writes_onnx
def test_an_own_class_may_use_the_length_of_the_batch(few_digits):
    model = LengthOfTheBatch(784, 10).eval()
    exported = OnnxNetwork(write_onnx(model, {}), "own")
    for count in (1, 9):
        pixels = to_pixels(few_digits.images[:count])
        torch.testing.assert_close(exported(pixels), model(pixels).detach(), atol=1e-5, rtol=0)


@writes_onnx
@pytest.mark.parametrize(
    ("kind", "reason"), [(Branch, "no graph for any number of images"), (Decomposition, "no ONNX form: .*svd")]
)
def test_a_network_without_an_onnx_form_is_refused_in_two_lines(kind, reason, capfd):
    with pytest.raises(UserError, match=reason) as error:
        write_onnx(kind(784, 10), {})
    assert len(str(error.value).splitlines()) == 2
    assert capfd.readouterr() == ("", "")


@writes_onnx
def test_files_do_not_name_folders_of_the_author(few_digits):
    model = network("C(2,5)-FC10", few_digits.images)
    with zipfile.ZipFile(io.BytesIO(write_pt2(model, {}))) as archive:
        parts = [archive.read(name) for name in archive.namelist()]
    content = write_onnx(model, {})
    assert all(b"registry.py" not in part and b"layers.py" not in part for part in [content, *parts])
    assert content == write_onnx(model, {})  # the same network is the same file


@pytest.mark.parametrize("file_format", [pytest.param(it, marks=writes_onnx if it == "onnx" else ()) for it in FORMATS])
def test_a_run_is_exported_with_what_it_is(command, copied_run, tmp_path, file_format):
    folder = tmp_path / "new" / "folder"
    code, printed, error = command("export", "mine", "--format", file_format, "--output", str(folder))
    assert code == 0, error
    file = folder / f"mine.{file_format}"
    assert list(folder.iterdir()) == [file]
    assert "359 test digits the same predictions" in printed
    run = Run.find("mine")
    metadata = describe(run)
    assert Recipe.from_json(json.loads(metadata["recipe"])) == run.recipe
    assert metadata["git_commit"].startswith(run.environment["git_commit"] or "unknown")
    assert json.loads(metadata["classes"]) == [str(digit) for digit in range(10)]
    low, accuracy, high = (float(metadata[f"test_accuracy{end}"]) for end in ("_low", "", "_high"))
    assert low < accuracy < high and accuracy == pytest.approx(run.summary.test_accuracy, abs=1e-6)
    if file_format == "onnx":
        assert load_onnx(file).metadata == metadata
    elif file_format == "pt2":
        with zipfile.ZipFile(file) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith("extra/metadata.json")]
            assert json.loads(archive.read(name)) == metadata
    else:
        import safetensors

        with safetensors.safe_open(file, "pt") as weights:
            assert weights.metadata() == metadata
            assert set(weights.keys()) == set(load_trained(run).state_dict())


@writes_onnx
def test_an_onnx_file_has_the_accuracy_of_its_run(command, copied_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("export")[0] == 0  # the newest run, into the working folder
    code, printed, error = command("evaluate", "mine.onnx")
    assert code == 0, error
    expected = command("evaluate", "mine")[1].splitlines()[0].removeprefix("digits/test: ")
    first, second, last = printed.splitlines()
    assert first == f"digits/test: mine.onnx by ONNX Runtime, {expected}"
    assert second.startswith("95 % confidence interval of the accuracy ")
    assert last == "next: mnist evaluate mine.onnx --dataset usps"
    assert command("evaluate", "mine.onnx", "--dataset", "digits")[1].splitlines()[0] == first


def test_a_safetensors_file_is_loaded_like_a_run(command, copied_run, tmp_path, few_digits):
    assert command("export", "--format", "safetensors", "--output", str(tmp_path))[0] == 0
    file = tmp_path / "mine.safetensors"
    cpu = torch.device("cpu")
    expected = predict_logits(load_trained(Run.find("mine")), few_digits.images, cpu)
    for source in (file, str(file)):
        torch.testing.assert_close(predict_logits(load_trained(source), few_digits.images, cpu), expected)


def changed_safetensors(file, **changes):
    import safetensors.torch

    with safetensors.safe_open(file, "pt") as old:
        metadata = {**old.metadata(), **changes}
    safetensors.torch.save_file(safetensors.torch.load_file(file), file, metadata)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "my_module:Net"}, "a class of its author"),
        ({"model": "FC32-FC10"}, "another network"),
        ({"model": "FC65536-FC65536-FC10"}, "expected at most 100,000,000"),
        ({"classes": "ten"}, "does not name its model and classes"),
        (None, "cannot be read as a safetensors file"),
    ],
)
def test_a_foreign_safetensors_file_is_refused(command, copied_run, tmp_path, changes, reason):
    command("export", "--format", "safetensors", "--output", str(tmp_path))
    file = tmp_path / "mine.safetensors"
    if changes is None:
        file.write_bytes(file.read_bytes()[:-9])
    else:
        changed_safetensors(file, **changes)
    with pytest.raises(UserError, match=reason):
        load_trained(file)


def made_run(name, weights, **recipe):
    """A finished run of FC10 on the bundled digits with these weights."""
    run = make_run(name, Recipe("FC10", "digits", num_epochs=1, **recipe), predictions=made_predictions([True] * 359))
    made_predictions([True] * 9).save(run.predictions_file("validation"))
    save_checkpoint(run.best_checkpoint, {"epoch": 1, "model": weights})
    return run


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_a_network_of_the_numpy_backend_is_exported_with_its_weights(home, precision):
    recipe = Recipe("C(2,5)-P4-FC10", "digits", backend="numpy", num_epochs=1)
    run = train(recipe, execution=Execution(precision=precision))
    network = load_trained(export_run(run, "safetensors", home))
    images = load_dataset("digits", "test").images
    logits = predict_logits(network, images, torch.device("cpu"))
    torch.testing.assert_close(logits, torch.from_numpy(run.predictions("test").logits), atol=MAX_DIFFERENCE, rtol=0)


def test_an_older_pytorch_is_refused_with_the_version_that_is_needed(command, copied_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.6.0+cu124"))
    code, _, error = command("export", "mine")
    assert code == 2 and len(error.splitlines()) == 1
    assert f"ONNX files need PyTorch {ONNX_TORCH} or later, this is 2.6.0" in error and not list(
        tmp_path.glob("*.onnx")
    )


@writes_onnx
def test_a_run_that_cannot_be_exported_ends_with_exit_code_2(command, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = build_model("FC10").state_dict()
    made_run("fine", weights)
    made_run("large", {name: values * 1e6 for name, values in weights.items()})
    (home / "a_file").write_text("")
    Run.create("unfinished", Recipe("FC10", "digits"), {})
    for arguments, reason in [
        (["unfinished"], "unfinished, 0 of"),
        (["large"], "FC10 as onnx is not exact"),
        (["nothing"], "no run at 'nothing'"),
        (["fine", "--output", "a_file"], "cannot create the folder"),
        (["fine", "--output", "/proc/nothing"], "cannot create the folder"),
        (["fine", "--format", "tflite"], "tflite"),
    ]:
        code, _, error = command("export", *arguments)
        assert code == 2 and reason in error and len(error.splitlines()) <= 2, error
    assert not list(tmp_path.glob("*.onnx*")) and not list(tmp_path.glob(".*"))


def test_a_missing_package_is_named_with_its_extra(command, copied_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"")
    for package, arguments in [
        *([("onnx", ["export"])] if torch.__version__ >= ONNX_TORCH else []),
        ("onnxruntime", ["evaluate", "model.onnx"]),
        ("safetensors", ["export", "--format", "safetensors"]),
    ]:
        with monkeypatch.context() as context:
            for name in [name for name in sys.modules if name.split(".")[0] == package]:
                context.delitem(sys.modules, name)
            context.setitem(sys.modules, package, None)
            code, _, error = command(*arguments)
        assert code == 2 and 'pip install "mnist-study-platform[export]"' in error and package in error


def onnx_model(nodes, inputs=(("pixels", ["n", 1, 28, 28]),), outputs=(("logits", ["n", 10]),), **arrays):
    """The bytes of a model with these nodes, ends and weights."""
    from onnx import TensorProto, helper, numpy_helper

    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in end]
        for end in (inputs, outputs)
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "graph", *ends, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def linear_model(**ends):
    from onnx import helper

    nodes = [helper.make_node("Flatten", ["pixels"], ["flat"]), helper.make_node("Gemm", ["flat", "w"], ["logits"])]
    return onnx_model(nodes, **ends, w=np.zeros((784, 10), np.float32))


def with_weights_elsewhere():
    model = linear_model()
    (weights,) = model.graph.initializer
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="secret.bin")
    return model


def that_takes_all_memory():
    from onnx import helper

    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["many"]),
        helper.make_node("ReduceMax", ["many"], ["one"], keepdims=0),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w"], ["values"]),
        helper.make_node("Add", ["values", "one"], ["logits"]),
    ]
    return onnx_model(nodes, size=np.array([2**37]), w=np.zeros((784, 10), np.float32))


def with_a_branch():
    from onnx import TensorProto, helper

    end = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])
    branch = helper.make_graph([helper.make_node("Gemm", ["flat", "w"], ["logits"])], "branch", [], [end])
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("If", ["yes"], ["logits"], then_branch=branch, else_branch=branch),
    ]
    return onnx_model(nodes, yes=np.array(True), w=np.zeros((784, 10), np.float32))


IMAGES_ALONE = [("x", ["n", 1, 28, 28])]
BAD_MODELS = {
    "other names": (
        lambda: onnx_model([], (("x", ["n", 1, 28, 28]),), (("x", ["n", 1, 28, 28]),)),
        "inputs and outputs",
    ),
    "a fixed batch": (lambda: linear_model(inputs=[("pixels", [1, 1, 28, 28])]), "inputs and outputs pixels"),
    "weights elsewhere": (with_weights_elsewhere, "weights in another file"),
    "a branch": (with_a_branch, "loops, branches or functions"),
    "an unknown layer": (lambda: onnx_model([onnx.helper.make_node("Magic", ["pixels"], ["logits"])]), "Magic"),
    "too much memory": (that_takes_all_memory, "takes more than 4 GiB of memory"),
    "other classes": (lambda: linear_model(outputs=[("logits", ["n", 26])]), "model.onnx"),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_an_onnx_file_of_another_form_ends_with_exit_code_2(command, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    model, reason = BAD_MODELS[kind]
    (tmp_path / "model.onnx").write_bytes(model().SerializeToString())
    code, printed, error = command("evaluate", "model.onnx", "--dataset", "digits")
    assert code == 2 and not printed and "model.onnx" in error and reason in error, error
    assert len(error.splitlines()) <= 2


def test_a_file_that_is_no_onnx_model_ends_with_exit_code_2(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = linear_model().SerializeToString()
    (tmp_path / "whole.onnx").write_bytes(whole)
    for name, content in [("empty", b""), ("text", b"no model"), ("cut", whole[:-99]), ("noise", bytes(range(256)))]:
        (tmp_path / f"{name}.onnx").write_bytes(content)
    for arguments, reason in [
        (["empty.onnx"], "empty.onnx"),
        (["text.onnx"], "text.onnx"),
        (["cut.onnx"], "cut.onnx"),
        (["noise.onnx"], "noise.onnx"),
        (["missing.onnx"], "cannot read missing.onnx"),
        (["whole.onnx"], "does not name its data set"),
        (["whole.onnx", "--dataset", "emnist_letters"], "10 outputs, emnist_letters has 26 classes"),
        (["whole.onnx", "--dataset", "imagenet"], "unknown data set 'imagenet'"),
        (["whole.onnx", "whole.onnx"], "alone"),
        (["whole.onnx", "--split", "train"], "alone"),
        (["whole.onnx", "--device", "cuda"], "alone"),
    ]:
        code, printed, error = command("evaluate", *arguments)
        assert code == 2 and not printed and reason in error and len(error.splitlines()) <= 2, error
