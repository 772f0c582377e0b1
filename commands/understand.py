"""Commands that look inside a network. Each parses its options and calls one library function."""

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from commands.options import DigitOptions, OneRunOptions, Picture, chosen_run, named
from utils.errors import UserError
from utils.run import Run

if TYPE_CHECKING:
    from torch import nn


def _trained(run: Run, device: str) -> "nn.Module":
    """The network of the run on the device."""
    from models.registry import load_trained
    from utils.runtime import choose_device

    return load_trained(run, choose_device(device))


@dataclass(frozen=True)
class ActivationsOptions(DigitOptions):
    """Show the activations of every layer for one digit.

    Writes a PNG per layer and a page with all of them. Feature maps are images; vectors are bars or rectangles.

    Examples:
      mnist activations RUN --id 947
      mnist activations RUN --image photo.jpg
    """


def activations(options: ActivationsOptions) -> str:
    run = chosen_run(options.run)

    from model_interpretation.activations import show_activations
    from model_interpretation.predict import chosen_digit

    digit = chosen_digit(run, options.split, options.id, options.image)
    show_activations(run, _trained(run, options.device), digit, options.output)
    return f"attribution {named(run)}"


@dataclass(frozen=True)
class FeaturesOptions(DigitOptions):
    """Draw images that maximise the activation of a layer's channels (feature visualisation).

    Each caption shows the mean activation that the image reaches and the highest of any training digit. With --id or
    --image, the channels are those that the digit activates most. A control shows the same for a network with random
    weights. Writes the pictures and a page.

    Examples:
      mnist features
      mnist features RUN --layer conv2
      mnist features RUN --layer conv2 --channel 5
      mnist features RUN --id 7
    """

    layer: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Layer, such as conv2; by default the last convolution, or the last layer of a model without convolutions."""
    channel: Annotated[int | None, tyro.conf.arg(metavar="K", aliases=["--unit"])] = None
    """One channel or unit, from 0, in several images; by default one image for each channel of the layer."""
    seed: int = 0
    """Seed of the noise from which the images start."""


def features(options: FeaturesOptions) -> str:
    if sum(value is not None for value in (options.channel, options.id, options.image)) > 1:
        raise UserError("--channel, --id and --image exclude each other: choose one")
    if not 0 <= options.seed < 2**63:
        raise UserError(f"--seed {options.seed}: expected 0 or more, below 2**63")
    run = chosen_run(options.run)

    from model_interpretation.feature_visualization import visualize_features
    from model_interpretation.predict import chosen_digit

    has_digit = options.id is not None or options.image is not None
    digit = chosen_digit(run, options.split, options.id, options.image) if has_digit else None
    model = _trained(run, options.device)
    visualize_features(run, model, options.output, digit, options.layer, options.channel, options.seed)
    return f"embeddings {named(run)}"


@dataclass(frozen=True)
class AttributionOptions(DigitOptions):
    """Draw attribution maps of a digit by several methods, and check the maps.

    Maps for the predicted class and for all ten classes, beside two baselines: the digit itself and noise. The checks
    are deletion and insertion curves, infidelity, sensitivity, the rank correlation with networks with random weights
    against that between random networks, cascading randomisation, and the rank correlation with other seeds of the same
    recipe. Writes the pictures and a page.

    Examples:
      mnist attribution
      mnist attribution RUN --id 7 --means
      mnist attribution RUN --image photo.jpg --method integrated_gradients
    """

    method: Annotated[str, tyro.conf.arg(metavar="METHOD")] = "all"
    """One method by its id, an unknown one lists them; all: those that apply to the model."""
    means: bool = False
    """Also draw the mean maps over test digits of each class."""


def attribution_defaults(arguments: list[str]) -> tuple[None, str]:
    """The description of --help with the registered methods."""
    description = inspect.cleandoc(AttributionOptions.__doc__ or "")
    if not {"-h", "--help"} & set(arguments):
        return None, description
    from model_interpretation.attribution_methods import METHODS

    return None, description.replace("\nExamples:", f"\nMethods: {', '.join(METHODS)}.\n\nExamples:")


def attribution(options: AttributionOptions) -> str:
    run = chosen_run(options.run)

    from model_interpretation.attribution import attribute
    from model_interpretation.predict import chosen_digit

    digit = chosen_digit(run, options.split, options.id, options.image)
    attribute(run, _trained(run, options.device), digit, options.output, options.means, options.method)
    return f"features {named(run)}"


@dataclass(frozen=True)
class EmbeddingsOptions(OneRunOptions):
    """Draw the embeddings of the test digits, which are the inputs of the model's last layer.

    A PCA and t-SNE map with the mistakes marked, the training digits nearest to the worst mistakes, the filters of the
    first layer, and the curvature of the loss per class (largest eigenvalues of the Fisher information). Writes PNG
    files and a page, and the embeddings for TensorBoard's projector.

    Examples:
      mnist embeddings
      mnist embeddings RUN --device cpu
    """


def embeddings(options: EmbeddingsOptions) -> str:
    run = chosen_run(options.run)

    from model_interpretation.embeddings import show_embeddings

    show_embeddings(run, _trained(run, options.device), options.output)
    return f"explain {named(run)}"


@dataclass(frozen=True)
class ExplainOptions(OneRunOptions):
    """Show everything about one network on one page.

    Runs what `mnist interpret`, `features`, `activations`, `attribution` and `embeddings` do, and writes an overview
    page with all pictures. Activations and attributions are for one digit.

    Examples:
      mnist explain
      mnist explain RUN --id 947
    """

    id: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Number of the test digit, from 0; by default the most confident mistake."""
    image: Picture = None


def explain(options: ExplainOptions) -> str:
    run = chosen_run(options.run)

    from model_interpretation.explain import explain as explain_run

    explain_run(run, options.output, options.id, options.image, options.device)
    return f"scorecard {named(run)}"
