"""Networks of runs as files for other programs: ONNX, PyTorch's exported programs (PT2) and safetensors.

Every file takes any number of images with pixels in [0, 1]: the standardisation is a layer of each network. The input
of an ONNX file is `pixels`, float32 (n, 1, 28, 28), its output `logits`, float32 (n, classes). Each file is computed on
test digits and compared with the run's network before it is written. `load_onnx` reads ONNX files, `load_trained` of
models/registry.py safetensors files. PT2 files may hold pickles, so none is ever read from a disk.
"""

import copy
import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.model_string import SIDE
from models.registry import load_trained
from utils import __version__
from utils.checkpoints import MAX_NETWORK_BYTES
from utils.data.batches import to_pixels
from utils.data.datasets import class_names, load_dataset
from utils.errors import UserError, brief, needs_extra
from utils.evaluation import BATCH_SIZE, Score, predict, score
from utils.files import make_folder, replace_file, shown
from utils.outside import read_bounded
from utils.run import Run
from utils.statistics import accuracy_interval

INPUT, OUTPUT = "pixels", "logits"
EXPECTED = "Expected an ONNX file from pixels in [0, 1], float32 (n, 1, 28, 28), to logits, float32 (n, classes)"
BATCH_NAME = "n"
METADATA_FILE = "metadata.json"  # in the folder extra/ of a PT2 file
NUM_CHECKED = 1000  # test digits
MAX_DIFFERENCE = 1e-4  # of a logit
ONNX_TORCH = "2.7"  # the oldest PyTorch that exports these networks: with 2.6 its exporter raises errors
LAYER_NAMES = "pkg.torch.onnx.name_scopes"  # the one kept of the exporter's notes on a node: the layers it belongs to
MAX_MEMORY = 2**32  # bytes of the weights and activations of an ONNX network

Metadata = dict[str, str]
Network = Callable[[Tensor], Tensor]


class Format(NamedTuple):
    """A kind of file."""

    write: Callable[[nn.Module, Metadata], bytes]
    """The content of the file for a network."""
    read: Callable[[bytes, nn.Module], Network]
    """The network in a content that `write` returned for the module."""


def export_run(run: Run, file_format: str = "onnx", folder: Path = Path()) -> Path:
    """Writes the network of a finished run as `NAME.FORMAT` into the folder and prints how exact the file is. An old
    file of this name is replaced. `file_format` is a key of FORMATS.

    The file holds the recipe, the commit and the test accuracy of the run, see `describe`. A network of the NumPy
    backend is exported as the torch network with its weights, as float32. Raises UserError for a network that the
    format cannot express, and if on 1,000 test digits a prediction of the file differs, or a logit by 1e-4 or more.
    """
    make_folder(folder)
    metadata = describe(run)
    model = load_trained(run).to(memory_format=torch.contiguous_format)
    num_bytes = sum(values.nbytes for values in model.state_dict().values())
    if num_bytes > MAX_NETWORK_BYTES:
        raise UserError(
            f"{run.recipe.model} has {num_bytes / 2**20:,.0f} MiB of weights: expected at most "
            f"{MAX_NETWORK_BYTES // 2**20:,} MiB"
        )
    writer = FORMATS[file_format]
    content = writer.write(model, metadata)
    images = load_dataset(run.recipe.dataset, "test").images[:NUM_CHECKED]
    expected, found = (_logits(network, to_pixels(images)) for network in (model, writer.read(content, model)))
    difference = float((found - expected).abs().max())
    num_different = int((found.argmax(1) != expected.argmax(1)).sum())
    if not difference < MAX_DIFFERENCE or num_different:
        raise UserError(
            f"{run.recipe.model} as {file_format} is not exact: on {len(images):,} test digits its logits differ by up "
            f"to {difference:.1g}, and {num_different} predictions.\n"
            f"Expected the same predictions and logits within {MAX_DIFFERENCE:g}. No file was written"
        )
    path = folder / f"{run.name}.{file_format}"
    replace_file(path, content)
    print(
        f"{shown(path)}: {len(content) / 1e6:.2f} MB; on {len(images):,} test digits the same predictions as the run, "
        f"and logits within {difference:.1g}"
    )
    return path


def describe(run: Run) -> Metadata:
    """What an exported file says about its run, as texts. `recipe` and `classes` are JSON; the interval of the test
    accuracy holds for this network and other writers."""
    predictions = run.predictions("test")
    low, high = accuracy_interval(predictions.is_correct, predictions.writers)
    commit = run.environment.get("git_commit") or "unknown"
    is_dirty = run.environment.get("git_tree_is_clean") is False
    return {
        "program": f"mnist-study-platform {__version__}",
        "git_commit": f"{commit}-dirty" if is_dirty else commit,
        "run": run.name,
        "model": run.recipe.model,
        "recipe": json.dumps(run.recipe.to_json()),
        "dataset": run.recipe.dataset,
        "classes": json.dumps(class_names(run.recipe.dataset)),
        "test_accuracy": f"{predictions.accuracy:.6f}",
        "test_accuracy_low": f"{low:.6f}",
        "test_accuracy_high": f"{high:.6f}",
        "num_test_digits": str(len(predictions.labels)),
    }


@torch.no_grad()
def _logits(network: Network, pixels: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, "n classes"]:
    return torch.cat([network(batch) for batch in pixels.split(BATCH_SIZE)])


# The three formats.


def exported_program(model: nn.Module) -> torch.export.ExportedProgram:
    """The network in eval mode as a graph for any number of images, without the paths of its source files.

    Raises UserError for a network whose Python code depends on the values or the number of the images.
    """
    pixels = torch.zeros(2, 1, SIDE, SIDE)  # torch takes sizes of 0 and 1 for constants
    shapes = ({0: torch.export.Dim(BATCH_NAME)},)
    export = partial(torch.export.export, model.eval(), (pixels,), dynamic_shapes=shapes)
    with _errors_of_exporter(f"{type(model).__name__} has no graph for any number of images"):
        try:
            program = export(strict=False)
        except Exception:  # of any type; a second way to trace understands len(images)
            program = export(strict=True)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def write_onnx(model: nn.Module, metadata: Metadata) -> bytes:
    """The network as an ONNX model with its weights. Raises UserError as `exported_program`, for a layer that ONNX
    lacks, and with a PyTorch that is too old."""
    if torch.__version__ < ONNX_TORCH:
        raise UserError(
            f"ONNX files need PyTorch {ONNX_TORCH} or later, this is {torch.__version__}: upgrade it, or choose "
            "--format safetensors or pt2"
        )
    with needs_extra("export"):
        import onnx
        import onnxscript  # noqa: F401 - torch.onnx needs it
    graph = exported_program(model)
    with _errors_of_exporter(f"{type(model).__name__} has no ONNX form"):
        program = torch.onnx.export(graph, input_names=[INPUT], output_names=[OUTPUT], dynamo=True, verbose=False)
    proto = program.model_proto  # type: ignore[union-attr]  # None for dynamo=False only
    symbol = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.value_info]:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param == symbol:
                dimension.dim_param = BATCH_NAME
    for node in proto.graph.node:
        notes = [note for note in node.metadata_props if note.key == LAYER_NAMES]
        node.ClearField("metadata_props")
        node.metadata_props.extend(notes)
    proto.graph.ClearField("metadata_props")
    onnx.helper.set_model_props(proto, metadata)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def write_pt2(model: nn.Module, metadata: Metadata) -> bytes:
    """The network as `torch.export.load` reads it, with extra/metadata.json. Raises UserError as `exported_program`."""
    content = io.BytesIO()
    torch.export.save(exported_program(model), content, extra_files={METADATA_FILE: json.dumps(metadata)})
    return content.getvalue()


def _read_pt2(content: bytes, _model: nn.Module) -> Network:
    return torch.export.load(io.BytesIO(content)).module()


def write_safetensors(model: nn.Module, metadata: Metadata) -> bytes:
    """The state dict under its own names."""
    with needs_extra("export"):
        import safetensors.torch
    weights = {name: values.clone(memory_format=torch.contiguous_format) for name, values in model.state_dict().items()}
    return safetensors.torch.save(weights, metadata)


def _read_safetensors(content: bytes, model: nn.Module) -> Network:
    with needs_extra("export"):
        import safetensors.torch
    network = copy.deepcopy(model)
    network.load_state_dict(safetensors.torch.load(content))
    return network


@contextmanager
def _errors_of_exporter(problem: str) -> Iterator[None]:
    """Turns exceptions of torch's exporters into UserErrors with their innermost cause, and hides what they print."""
    disabled = logging.root.manager.disable
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            logging.disable(logging.ERROR)
            yield
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__:
            cause = cause.__cause__
        reason = brief(str(cause).partition("\n")[0])
        raise UserError(
            f"{problem}: {type(cause).__name__}: {reason}\n"
            "Try --format safetensors, or change the forward pass: no branches on values, no loops over images"
        ) from error
    finally:
        logging.disable(disabled)


FORMATS = {
    "onnx": Format(write_onnx, lambda content, model: OnnxNetwork(content, f"{type(model).__name__} as ONNX")),
    "pt2": Format(write_pt2, _read_pt2),
    "safetensors": Format(write_safetensors, _read_safetensors),
}


# ONNX files as networks.


class OnnxNetwork(nn.Module):
    """The network of an ONNX file, computed by ONNX Runtime on the CPU. It has no parameters and no gradients."""

    metadata: Metadata
    """The texts that the file holds; `describe` lists those of `mnist export`."""
    num_outputs: int

    def __init__(self, content: bytes, name: str) -> None:
        """`name` is the content's name in messages. Raises UserError for content that is no ONNX model from `pixels`,
        float32 (n, 1, 28, 28), to `logits`, float32 (n, classes), that refers to other files or that has loops."""
        with needs_extra("export"):
            import onnx
            import onnxruntime
        super().__init__()
        self.name = name
        try:
            proto = onnx.load_model_from_string(content)
        except Exception:  # the implementations of protobuf raise different types
            raise UserError(f"{name} is damaged, or not an ONNX file.\n{EXPECTED}") from None
        _check_graph(proto, name)
        del proto
        _limit_memory()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # none: errors are raised
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.use_env_allocators", "1")
        with _errors_of_onnxruntime(name):
            self.session = onnxruntime.InferenceSession(
                content,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=["ConstantFolding"],  # it ignores the limit of memory
            )
        ends = [(end.name, end.type, *end.shape) for end in (*self.session.get_inputs(), *self.session.get_outputs())]
        match ends:
            case [
                ("pixels", "tensor(float)", str() | None, 1, 28, 28),
                ("logits", "tensor(float)", str() | None, int(num_outputs)),
            ]:
                self.num_outputs = num_outputs
            case _:
                found = "; ".join(" ".join(map(str, end)) for end in ends)
                raise UserError(f"{name} has the inputs and outputs {brief(found)}.\n{EXPECTED}")
        self.metadata = dict(self.session.get_modelmeta().custom_metadata_map)

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch classes"]:
        with _errors_of_onnxruntime(self.name):
            (logits,) = self.session.run([OUTPUT], {INPUT: images.cpu().numpy()})
        return torch.from_numpy(logits)


def load_onnx(path: Path) -> OnnxNetwork:
    """The network of an ONNX file, as `export_run` or others wrote it. No other file is read.

    Raises UserError for a file that is missing, too large, damaged or in another form.
    """
    try:
        content = read_bounded(path, MAX_NETWORK_BYTES)
    except OSError as error:
        raise UserError(f"cannot read {shown(path)}: {error.strerror}.\n{EXPECTED}") from None
    return OnnxNetwork(content, shown(path))


def evaluate_onnx(path: Path, dataset: str | None = None) -> Score:
    """Prints and returns accuracy and loss of an ONNX file on the test digits of a data set, by default that of the
    file's run. Raises UserError as `load_onnx`, and for a data set with another number of classes."""
    network = load_onnx(path)
    dataset = dataset or network.metadata.get("dataset")
    if dataset is None:
        raise UserError(f"{network.name} does not name its data set: choose one, such as --dataset mnist")
    num_classes = len(class_names(dataset))
    if network.num_outputs != num_classes:
        raise UserError(f"{network.name} has {network.num_outputs} outputs, {brief(dataset)} has {num_classes} classes")
    test_set = load_dataset(dataset, "test")
    predictions = predict(network, test_set, torch.device("cpu"), progress=test_set.name)
    if not np.isfinite(predictions.logits).all():
        raise UserError(f"{network.name} computes NaN or infinite logits for {test_set.name}")
    result = score(torch.from_numpy(predictions.logits), test_set.labels)
    low, high = accuracy_interval(predictions.is_correct, predictions.writers)
    print(f"{test_set.name}: {network.name} by ONNX Runtime, {result}")
    print(f"95 % confidence interval of the accuracy {low:.2%} to {high:.2%}")
    return result


def _check_graph(proto: Any, name: str) -> None:
    """Raises UserError for a model that could read other files or never end."""
    attributes = [attribute for node in proto.graph.node for attribute in node.attribute]
    if proto.functions or any(attribute.HasField("g") or attribute.graphs for attribute in attributes):
        raise UserError(f"{name} has loops, branches or functions.\nExpected a plain graph of layers")
    tensors = [*proto.graph.initializer, *(tensor for it in attributes for tensor in (it.t, *it.tensors))]
    if any(tensor.data_location == tensor.EXTERNAL for tensor in tensors) or proto.graph.sparse_initializer:
        raise UserError(f"{name} has sparse weights, or weights in another file.\nExpected all weights in one file")


@cache
def _limit_memory() -> None:
    """Limits the memory of all networks of ONNX Runtime in this process: a small file could ask for any amount."""
    with needs_extra("export"):
        import onnxruntime
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    limit = onnxruntime.OrtArenaCfg({"max_mem": MAX_MEMORY, "arena_extend_strategy": 1})  # 1: as much as requested
    onnxruntime.create_and_register_allocator(place, limit)


@contextmanager
def _errors_of_onnxruntime(name: str) -> Iterator[None]:
    """Turns errors of ONNX Runtime, which have no common type, into UserErrors."""
    try:
        yield
    except Exception as error:
        reason = brief(re.split(r" : |Status Message: |, Error ", str(error))[-1])
        if "Available memory of" in str(error):
            reason = f"it takes more than {MAX_MEMORY // 2**30} GiB of memory"
        raise UserError(f"ONNX Runtime cannot compute {name}: {' '.join(reason.split())}") from error
