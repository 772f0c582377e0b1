"""What every layer of a run's network makes of one digit: a sheet of pictures a layer, and one page with all."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor, nn

from model_interpretation.basic_interpret import OUTPUT
from model_interpretation.model_layers import leaf_layers, watching
from model_interpretation.picture_page import write_picture_page
from model_interpretation.run_data import chosen_digit
from models.registry import num_parameters
from models.trained import load_trained
from utils.command_line import parse_command_line
from utils.errors import exit_on_user_error
from utils.figures import INK, draw_pixel_values, plain_axes, tiled_figure
from utils.preloading import to_pixels
from utils.run_folder import RunFolder

COLUMNS = 8  # maps a row


@dataclass(frozen=True)
class LayerOutput:
    """What a layer gave for one digit: maps (channel, row, column) or values (unit,)."""

    name: str
    kind: str
    values: Float[np.ndarray, "..."]
    num_parameters: int

    @property
    def shape(self) -> str:
        """As people say it: `32 of 26 x 26` or `1600`."""
        if self.values.ndim == 1:
            return str(len(self.values))
        return f"{self.values.shape[0]} of {self.values.shape[1]} x {self.values.shape[2]}"


@dataclass(frozen=True)
class LayerOutputsCommand:
    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """The run whose network is looked into; by default the newest that is finished."""
    id: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Which digit of the split, from 0; a random one where neither this nor a picture is given."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A picture of a digit, photographed, scanned or drawn, in place of one of the split."""
    split: Literal["test", "train", "validation"] = "test"
    """Where the digit comes from."""
    output: Path = OUTPUT
    """Folder in which the run gets a folder of its name."""


@torch.no_grad()
def layer_outputs(model: nn.Module, image: UInt8[Tensor, "28 28"]) -> list[LayerOutput]:
    """The output of each layer, in the order in which they run; of a network in eval mode."""
    layers = leaf_layers(model)
    with watching(layers) as outputs:
        model.eval()(to_pixels(image.unsqueeze(0)))
    return [
        LayerOutput(name, type(layers[name]).__name__, output[0].float().cpu().numpy(), num_parameters(layers[name]))
        for name, output in outputs.items()
    ]


def layer_figure(output: LayerOutput) -> Figure:
    """Maps side by side on one colour scale; many values as a rectangle, few as bars."""
    title = f"{output.name} ({output.kind}): {output.shape}"
    if output.values.ndim == 1 and len(output.values) <= 16:
        return _bars(output.values, title)
    maps = output.values if output.values.ndim == 3 else as_rectangle(output.values)[None]
    limits = (float(maps.min()), float(maps.max()) or 1.0)
    tile_inches = 0.95 if len(maps) > 1 else 3.6
    return tiled_figure(maps, None, COLUMNS, title, cmap="viridis", limits=limits, tile_inches=tile_inches)


def _bars(values: Float[np.ndarray, " units"], title: str) -> Figure:
    figure = Figure(figsize=(5, 2.6), layout="constrained")
    axes = plain_axes(figure, 1, 1, 1)
    axes.bar(range(len(values)), values, color="#2b6cb0")
    axes.set_xticks(range(len(values)))
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_title(title, fontsize=10)
    return figure


def as_rectangle(values: Float[np.ndarray, " units"]) -> Float[np.ndarray, "rows columns"]:
    """The values row by row, as square as their number allows: 1,600 as 40 x 40, 128 as 8 x 16."""
    rows = next(rows for rows in range(math.isqrt(len(values)), 0, -1) if len(values) % rows == 0)
    return values.reshape(rows, -1)


def pixel_values_figure(image: UInt8[Tensor, "28 28"], title: str) -> Figure:
    """The digit beside its 784 pixel values, 0 to 255."""
    figure = Figure(figsize=(13, 6.8), layout="constrained")
    digit, values = figure.subplots(1, 2)
    digit.imshow(image.numpy(), cmap="gray", vmin=0, vmax=255)
    digit.set(xticks=[], yticks=[])
    digit.set_title(title, parse_math=False)
    draw_pixel_values(values, image)
    values.set(xticks=[], yticks=[], title="its pixel values")
    return figure


def main(argv: list[str]) -> None:
    """Draws what every layer of a run's network makes of one digit: a PNG a layer, and layers.html with all."""
    options = parse_command_line(LayerOutputsCommand, argv, "mnist layers", main.__doc__)
    run = RunFolder.find_or_newest(options.run)
    model = load_trained(run)
    image, title, short_title = chosen_digit(run, options.split, options.id, options.image)
    folder = options.output / run.path.name / f"layers-{short_title}"
    figures = {"00-pixels": pixel_values_figure(image, title)}
    for place, output in enumerate(layer_outputs(model, image), start=1):
        figures[f"{place:02d}-{output.name}"] = layer_figure(output)
    write_picture_page(folder / "layers.html", f"{run.path.name}: {title}", figures)


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
