"""Commands that look inside a network. Each parses its options and calls one library function."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from utils.errors import UserError
from utils.files import PROJECT_FOLDER
from utils.run import Run


@dataclass(frozen=True)
class ActivationsOptions:
    """Show the activations of every layer for one digit.

    Writes a PNG per layer and a page with all of them. Feature maps are images; vectors are bars or rectangles.

    Examples:
      mnist activations RUN --id 947
      mnist activations RUN --image photo.jpg
    """

    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """Run by folder or name; by default the newest finished run."""
    id: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Index of the digit in its split, from 0; by default a random digit."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Picture of a digit (photographed, scanned or drawn) instead of a digit of the split."""
    split: Literal["test", "train", "validation"] = "test"
    """Split of the digit."""
    output: Path = PROJECT_FOLDER / "model_interpretation" / "output"
    """Folder in which the run gets a folder of its name."""


def activations(options: ActivationsOptions) -> None:
    run = Run.find_or_newest(options.run)

    from model_interpretation.activations import show_activations
    from model_interpretation.predict import chosen_digit
    from models.registry import load_trained

    digit = chosen_digit(run, options.split, options.id, options.image)
    show_activations(run, load_trained(run), digit, options.output)


@dataclass(frozen=True)
class FeaturesOptions:
    """Draws images that maximize the activation of a layer's channels (feature visualization).

    Each caption shows the mean activation that the image reaches and the highest of any training digit. Writes PNG
    files and a page.

    Examples:
      mnist features
      mnist features runs/NAME --layer conv2
      mnist features runs/NAME --layer conv2 --channel 5
      mnist features runs/NAME --id 7
    """

    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """Run whose model is used; by default the newest finished one."""
    layer: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Layer, such as conv2; by default the last convolution, or the last layer of a model without convolutions."""
    channel: Annotated[int | None, tyro.conf.arg(metavar="K", aliases=["--unit"])] = None
    """One channel or unit, from 0, in several images; by default one image for each channel of the layer."""
    id: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Test digit, from 0: shows the images of the channels that this digit activates most."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Picture of a digit, used like --id."""
    seed: int = 0
    """Seed of the noise from which the images start."""
    output: Path = PROJECT_FOLDER / "model_interpretation" / "output"
    """Folder for the results, in a folder named like the run."""


def features(options: FeaturesOptions) -> None:
    if sum(value is not None for value in (options.channel, options.id, options.image)) > 1:
        raise UserError("--channel, --id and --image exclude each other: choose one")
    if not 0 <= options.seed < 2**63:
        raise UserError(f"--seed {options.seed}: expected 0 or more, below 2**63")
    run = Run.find_or_newest(options.run)

    from model_interpretation.feature_visualization import visualize_features
    from model_interpretation.predict import chosen_digit
    from models.registry import load_trained

    has_digit = options.id is not None or options.image is not None
    digit = chosen_digit(run, "test", options.id, options.image) if has_digit else None
    visualize_features(run, load_trained(run), options.output, digit, options.layer, options.channel, options.seed)


@dataclass(frozen=True)
class AttributionOptions:
    """Draws which pixels decide the prediction for a digit, by several attribution methods.

    Maps for the predicted class and for all ten classes, with sanity checks: deletion and insertion curves, infidelity,
    sensitivity, and the rank correlation with random weights and with other seeds of the same recipe. Writes PNG files
    and a page.

    Examples:
      mnist attribution
      mnist attribution runs/NAME --id 7 --means
      mnist attribution runs/NAME --image photo.jpg --method integrated_gradients
    """

    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """Run whose model is used; by default the newest finished one."""
    id: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Test digit, from 0; by default a random one."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Picture of a digit in place of a test digit: a photo, scan or drawing."""
    method: Annotated[str, tyro.conf.arg(metavar="METHOD")] = "all"
    """saliency, integrated_gradients, guided_backprop, grad_cam or occlusion; all for those that apply to the model."""
    means: bool = False
    """Also draw the mean maps over test digits of each class."""
    output: Path = PROJECT_FOLDER / "model_interpretation" / "output"
    """Folder for the results, in a folder named like the run."""


def attribution(options: AttributionOptions) -> None:
    run = Run.find_or_newest(options.run)

    from model_interpretation.attribution import attribute
    from model_interpretation.predict import chosen_digit
    from models.registry import load_trained

    digit = chosen_digit(run, "test", options.id, options.image)
    attribute(run, load_trained(run), digit, options.output, options.means, options.method)


@dataclass(frozen=True)
class EmbeddingsOptions:
    """Draws the embeddings of the test digits, which are the inputs of the model's last layer.

    A PCA and t-SNE map with the mistakes marked, the training digits nearest to the worst mistakes, the filters of the
    first layer, and the curvature of the loss per class (largest eigenvalues of the Fisher information). Writes PNG
    files and a page, and the embeddings for TensorBoard's projector.

    Examples:
      mnist embeddings
      mnist embeddings runs/NAME
    """

    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """Run whose model is used; by default the newest finished one."""
    output: Path = PROJECT_FOLDER / "model_interpretation" / "output"
    """Folder for the results, in a folder named like the run."""


def embeddings(options: EmbeddingsOptions) -> None:
    run = Run.find_or_newest(options.run)

    from model_interpretation.embeddings import show_embeddings
    from models.registry import load_trained

    show_embeddings(run, load_trained(run), options.output)


@dataclass(frozen=True)
class ExplainOptions:
    """Show everything about one network on one page.

    Runs what `mnist interpret`, `features`, `activations`, `attribution` and `embeddings` do, and writes an overview
    page with all pictures. Activations and attributions are for one digit.

    Examples:
      mnist explain
      mnist explain RUN --id 947
    """

    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """Run by folder or name; by default the newest finished run."""
    id: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Index of the test digit, from 0; by default the most confident mistake."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Picture of a digit (photographed, scanned or drawn) instead of a test digit."""
    output: Path = PROJECT_FOLDER / "model_interpretation" / "output"
    """Folder in which the run gets a folder of its name."""


def explain(options: ExplainOptions) -> None:
    run = Run.find_or_newest(options.run)

    from model_interpretation.explain import explain as explain_run

    explain_run(run, options.output, options.id, options.image)
