"""build_model, check_output, load_trained and ensembles."""

import itertools
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from models import build_model, load_ensemble, load_trained, num_parameters
from models.layers import Standardize
from models.registry import MODELS, Ensemble, check_output
from trainers import Recipe, resume, train
from utils.data import load_dataset
from utils.errors import UserError
from utils.evaluation import predict_logits
from utils.run import Run

GOLDEN = {
    "linear": 7_850,
    "standard_fc": 109_386,
    "standard_conv": 1_729_162,
    "two_conv": 34_826,
    "fast_conv": 161_114,
    "deep_conv": 468_138,
    "shift_invariant": 112_362,
    "resnet18": 11_172_810,
    "C(16,3)-P2-FC128-FC10": 16 * 10 + (16 * 13 * 13 + 1) * 128 + 129 * 10,
    "C(8,5)-P2-C(16,3)-P2-FC128-FC10": 8 * 26 + 16 * 73 + (16 * 25 + 1) * 128 + 129 * 10,
    "FC10": 7_850,
}
NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.hidden = nn.Linear(784, width)
        self.last = nn.Linear(width, 10)

    def forward(self, images):
        return self.last(self.hidden(images.flatten(1)).relu())

class AuxiliaryOutput(Net):
    def forward(self, images):
        logits = super().forward(images)
        return (logits, images) if self.training else logits

class NormAndDropout(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 10))

class NeedsWidth(Net):
    def __init__(self, width):
        super().__init__(width)

class FailsInConstructor(Net):
    def __init__(self):
        raise RuntimeError("no weights file")

class FiveClasses(Net):
    def forward(self, images):
        return super().forward(images)[:, :5]

class Classes(Net):
    def forward(self, images):
        return super().forward(images).argmax(1)

class Pair(Net):
    def forward(self, images):
        return super().forward(images), images

class TwoFaults(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(28, 10)

    def forward(self, images):
        return self.layer(images.flatten(1))

NOT_A_CLASS = 5

class NotAModule:
    pass
"""
numbers = itertools.count()


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Writes a module of a user into a new working directory; returns its name, which no other test has."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def write(code=NET):
        name = f"own_module_{next(numbers)}"
        (folder / f"{name}.py").write_text(code)
        return name

    return write


@pytest.mark.parametrize(("name", "count"), GOLDEN.items())
def test_golden_parameter_counts(name, count):
    assert num_parameters(build_model(name)) == count


@pytest.mark.parametrize("name", [*MODELS, "C(4,3)-P2-P2-FC10"])
def test_pixels_in_logits_out(name):
    model = build_model(name)
    check_output(model)
    assert model.training
    first = next(module for module in model.modules() if not list(module.children()))
    assert isinstance(first, Standardize)
    names = [type(module).__name__ for module in model.modules()]
    assert not any("Softmax" in name for name in names)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet", r"unknown model 'resnet': did you mean resnet18\?\nExpected linear.*my_package.my_module:Net"),
        ("vgg", r"unknown model 'vgg'\nExpected linear, standard_fc, .*torchvision:NAME"),
        ("C(16,3)-FC1O", r"character 9, 'FC1O': (.|\n)*Expected linear, standard_fc"),
        (
            "torchvision:resnet81",
            r"no network 'resnet81': did you mean resnet\d+\?\nExpected .* such as resnet18",
        ),
        ("torchvision:", r"torchvision has no network ''\nExpected .* such as resnet18"),
        ("torchvision:vit_b_16", r"does not take MNIST's images: .* Wrong image height.*\nChoose .* resnet18"),
    ],
)
def test_unknown_name_is_answered_with_the_known_ones(name, message):
    with pytest.raises(UserError, match=message) as error:
        build_model(name)
    assert len(str(error.value).splitlines()) <= 2


def test_a_module_without_its_class_is_not_taken_for_a_model_string(own_module):
    name = own_module()
    for text in (name, f"{name}.py", f"./{name}.py"):
        with pytest.raises(UserError, match=f"has no class: expected the module and your class, such as {name}:Net"):
            build_model(text)
    with pytest.raises(UserError, match=r"such as my_package\.my_module:Net"):
        build_model("my_package.my_module")


def test_model_string_for_another_number_of_classes():
    assert num_parameters(build_model("FC26", 26)) == 785 * 26
    with pytest.raises(UserError, match=r"'FC10' has 10 outputs, the data set has 26 classes: expected FC26"):
        build_model("FC10", 26)


@pytest.mark.parametrize(("name", "num_classes"), [("resnet18", 10), ("mobilenet_v3_small", 26)])
def test_torchvision_networks_take_one_channel_and_have_an_output_per_class(name, num_classes):
    model = build_model(f"torchvision:{name}", num_classes).eval()
    images = torch.rand(2, 1, 28, 28)
    assert model(images).shape == (2, num_classes)
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    assert first.weight.shape[1] == 1


def test_a_torchvision_network_is_trained_and_loaded_like_any_other():
    recipe = Recipe("torchvision:squeezenet1_1", dataset="digits", num_epochs=1, train_size=100)
    run = train(recipe, run_name="squeeze")
    logits = predict_logits(load_trained(run), load_dataset("digits", "test").images, torch.device("cpu"))
    assert torch.equal(logits, torch.from_numpy(run.predictions("test").logits))


def test_own_module_from_the_working_directory(own_module):
    path, name = list(sys.path), own_module()
    torch.manual_seed(0)
    model = build_model(f"{name}:Net")
    assert sys.path == path
    assert type(model).__name__ == "Net" and model.training and num_parameters(model) == 785 * 16 + 17 * 10
    torch.manual_seed(0)
    again = build_model(f"{name}:Net")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_own_module_in_a_package_imports_its_neighbours(own_module, tmp_path):
    package = tmp_path / "project" / "own_package"
    package.mkdir()
    (package / "nets.py").write_text(f"from {own_module()} import Net\nclass Deep(Net): pass\n")
    assert type(build_model("own_package.nets:Deep")).__name__ == "Deep"


def test_lazy_layers_get_their_shapes(own_module):
    name = own_module(
        "from torch import nn\nclass Net(nn.Sequential):\n"
        "    def __init__(self): super().__init__(nn.Flatten(), nn.LazyLinear(10))\n"
    )
    assert num_parameters(build_model(f"{name}:Net")) == 7_850


@pytest.mark.parametrize(
    "path", ["{}.py:Net", "{}:", ":Net", "{}:Net:Net", "my-module:Net", "folder/{}:Net", "C:\\{}:N"]
)
def test_malformed_import_path(own_module, path):
    with pytest.raises(UserError, match=r"expected package.module:Class, such as my_package.my_module:Net"):
        build_model(path.format(own_module()))


@pytest.mark.parametrize("name", ["no_such_module", "no_such_package.nets", "torch.no_such_module"])
def test_module_not_found(own_module, tmp_path, name):
    with pytest.raises(
        UserError, match=rf"no module '{name.split('.nets')[0]}' in .*project or the installed packages"
    ):
        build_model(f"{name}:Net")


def test_module_of_the_platform_hides_a_package_of_the_user(own_module, tmp_path):
    (tmp_path / "project" / "models").mkdir()
    (tmp_path / "project" / "models" / "own.py").write_text(NET)
    with pytest.raises(UserError, match=r"no module 'models.own' (.|\n)*Already imported: <module 'models' from"):
        build_model("models.own:Net")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Missing", r"Missing does not exist in own_module_.* Expected own_module_\d+:Net or own_module_\d+:"),
        ("NOT_A_CLASS", "NOT_A_CLASS is of type int in own_module_.* Expected own_module_"),
        ("NotAModule", "NotAModule is of type type in own_module_.* Expected own_module_"),
        ("NeedsWidth", "missing a required argument: 'width'.\nGive every argument a default value"),
        (
            "FiveClasses",
            r"has shape \(2, 5\).\nExpected floating-point logits of shape \(2, 10\)",
        ),
        ("Classes", r"has shape \(2,\).\nExpected floating-point logits of shape"),
        ("Pair", "is a tuple.\nExpected floating-point logits"),
    ],
)
def test_unusable_class(own_module, name, message):
    with pytest.raises(UserError, match=message) as error:
        build_model(f"{own_module()}:{name}")
    assert len(str(error.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("name", "cause", "message"),
    [
        ("FailsInConstructor", RuntimeError, r"FailsInConstructor\(\) failed: RuntimeError: no weights file"),
        ("TwoFaults", RuntimeError, r"forward pass of TwoFaults for images of shape \(2, 1, 28, 28\) failed: Runtime"),
    ],
)
def test_bug_in_a_class_has_its_line_and_traceback(own_module, name, cause, message):
    module = own_module()
    with pytest.raises(UserError, match=message) as error:
        build_model(f"{module}:{name}")
    line = "        raise RuntimeError" if name == "FailsInConstructor" else "        return self.layer"
    number = next(n for n, text in enumerate(NET.splitlines(), start=1) if text.startswith(line))
    assert str(error.value).endswith(f"{module}.py, line {number}")
    assert isinstance(error.value.__cause__, cause) and error.value.__cause__.__traceback__


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import no_such_package", ModuleNotFoundError),
        ("x = 1 +", SyntaxError),
        ("\nundefined_name", NameError),
    ],
)
def test_bug_in_a_module_stays_the_cause(own_module, code, cause):
    name = own_module(code)
    with pytest.raises(UserError, match=rf"the import of {name} failed: {cause.__name__}") as error:
        build_model(f"{name}:Net")
    assert isinstance(error.value.__cause__, cause)


def test_a_run_of_an_own_model_names_run_module_and_folder_where_they_are_missing(own_module, tmp_path, monkeypatch):
    name = own_module()
    run = train(Recipe(f"{name}:NormAndDropout", dataset="digits", num_epochs=2, train_size=99), run_name="own")
    assert run.is_finished and load_trained(run)(torch.rand(1, 1, 28, 28)).shape == (1, 10)
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    sys.modules.pop(name)
    message = rf"run own: no module '{name}' in {elsewhere} .*\nIts model is {name}:\w+: start the command in {project}"
    with pytest.raises(UserError, match=message):
        load_trained(run)
    (run.path / "summary.json").unlink()
    config = run.path / "config.json"
    config.write_text(config.read_text().replace('"digits"', '"csv:missing.csv"'))  # read after the model
    with pytest.raises(UserError, match=message):
        resume(Run(run.path))


def test_a_model_that_fails_only_in_training_is_refused_before_a_run_is_made(own_module):
    recipe = Recipe(f"{own_module()}:AuxiliaryOutput", dataset="digits", num_epochs=1)
    with pytest.raises(UserError, match=r"images of shape \(2, 1, 28, 28\) in training mode is a tuple"):
        train(recipe)
    recipe = replace(recipe, model=recipe.model.replace("AuxiliaryOutput", "NormAndDropout"), train_size=101)
    with pytest.raises(UserError, match=r"\(1, 1, 28, 28\) in training mode failed: ValueError: Expected more than 1"):
        train(replace(recipe, batch_size=100))
    assert not Run.all()


def test_check_output_restores_mode_and_statistics():
    model = build_model("C(2,3)-BN-FC10").eval()
    before = model.layers.norm2.running_mean.clone()
    check_output(model, training_batch=2)
    assert torch.equal(model.layers.norm2.running_mean, before)


def test_check_output_restores_the_mode():
    model = build_model("C(2,3)-BN-FC10").eval()
    check_output(model)
    assert not model.training and not model.layers.norm2.num_batches_tracked


def test_load_trained_is_an_evaluated_module_on_the_cpu(finished_run):
    model = load_trained(finished_run)
    assert not model.training and next(model.parameters()).device.type == "cpu"
    logits = predict_logits(model, load_dataset("digits", "test").images, torch.device("cpu"))
    assert torch.equal(logits, torch.from_numpy(finished_run.predictions("test").logits))


def test_checkpoint_is_loadable_with_plain_torch(finished_run):
    model = build_model("linear")
    model.load_state_dict(torch.load(finished_run.best_checkpoint, weights_only=True)["model"])
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(model.eval()(images), load_trained(finished_run)(images))


def test_ensemble_predicts_the_mean_probability():
    members = [build_model("FC10").eval() for _ in range(3)]
    images = torch.rand(5, 1, 28, 28)
    mean = sum(member(images).softmax(1) for member in members) / 3
    torch.testing.assert_close(Ensemble(members)(images).exp(), mean)


def test_ensemble_of_runs(finished_run):
    images = torch.rand(2, 1, 28, 28)
    single, pair = load_ensemble([finished_run]), load_ensemble([finished_run, finished_run])
    assert not isinstance(single, Ensemble) and isinstance(pair, Ensemble) and not pair.training
    torch.testing.assert_close(pair(images).softmax(1), single(images).softmax(1))


def test_ensemble_members_may_be_own_classes(own_module):
    ensemble = Ensemble([build_model(f"{own_module()}:Net"), build_model("linear")]).eval()
    check_output(ensemble)


def test_each_relu_is_used_once():
    calls = []
    model = build_model("standard_conv")
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda module, *_: calls.append(id(module)))
    model(torch.rand(2, 1, 28, 28))
    assert len(calls) == 5 == len(set(calls))
