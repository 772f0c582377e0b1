"""`mnist weights`: weights of a NumPy project as a run, and a run's weights for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from trainers.recipe import Recipe, TrainConfig
from trainers.run_recipe import report
from utils.command_line import parse_command_line, run_action
from utils.errors import UserError
from utils.paths import shown
from utils.run_folder import RunFolder

EXAMPLE = "C(8,5)-P2-C(16,3)-P2-FC128-FC10"
DATASET = "mnist"  # on which imported weights are judged
USAGE = "expected mnist weights import FILE or mnist weights export RUN [FOLDER]"


@dataclass(frozen=True)
class ImportCommand:
    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """weight_detailsMODEL.npz, such as weight_detailsC(8,5)-P2-FC10.npz: its name says the model string."""
    run_name: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Name of the run's folder in runs/; by default model and time."""


@dataclass(frozen=True)
class ExportCommand:
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run of a model string of valid convolutions, max pooling and fully connected layers."""
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="[FOLDER]")] = Path()
    """Where the file is written, which is called weight_detailsMODEL.npz; by default here."""


def main(argv: list[str]) -> None:
    """Raises UserError for what is neither import nor export."""
    run_action({"import": import_weights, "export": export_weights}, argv, "mnist weights", __doc__, USAGE)


def import_weights(argv: list[str]) -> None:
    """Makes a run of weights in the layout of the NumPy project CNN-MNIST and judges it on MNIST's test set. Its
    networks take pixels in [0, 1] that are not standardised, and so does the run."""
    options = parse_command_line(ImportCommand, argv, "mnist weights import", import_weights.__doc__)

    import torch  # only once the command line is right

    from models.numpy_models.weights_file import read_weights
    from trainers.generic_trainers.imported_run import import_run

    model_string, arrays = read_weights(options.file)
    weights = {f"layers.{name}": torch.from_numpy(array) for name, array in arrays.items()}
    weights |= {"layers.standardize.mean": torch.tensor(0.0), "layers.standardize.std": torch.tensor(1.0)}
    recipe = Recipe(str(model_string), TrainConfig(dataset=DATASET))
    report(*import_run(recipe, weights, options.file.name, options.run_name))


def export_weights(argv: list[str]) -> None:
    """Writes a run's weights in the layout of the NumPy project CNN-MNIST, float64. The standardisation of the pixels
    goes into the first weights, so that the same pixels in [0, 1] get the same answers."""
    options = parse_command_line(ExportCommand, argv, "mnist weights export", export_weights.__doc__)
    run = RunFolder.find(options.run)

    from models.model_string import parse
    from models.numpy_models.weights_file import weights_file_name, write_weights
    from models.trained import BEST_KEYS
    from utils.checkpoints import load_checkpoint

    model = run.config()["model"]
    try:
        model_string = parse(model)
    except UserError:
        raise UserError(
            f"{shown(run.path)} is a run of {model}: expected one of a model string, as {EXAMPLE}"
        ) from None
    state = load_checkpoint(run.best_checkpoint, BEST_KEYS)["model"]
    arrays = {name.removeprefix("layers."): tensor.double().numpy() for name, tensor in state.items()}
    file = options.folder / weights_file_name(model_string)
    if file.exists():
        raise UserError(f"{file} exists and is not overwritten: move it away, or name another folder")
    write_weights(file, model_string, arrays)
    print(f"weights of {run.path.name}: {shown(file)}")
