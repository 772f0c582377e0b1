"""A network as a picture: its layers from pixels to logits, with their shapes and parameters."""

import math

import torch
from matplotlib.figure import Figure
from torch import nn

from model_interpretation.layer_outputs import layer_outputs
from utils.figures import COLOURS, INK

ROW_INCHES = 0.34
NUM_PIXELS = 28 * 28
WITH_WEIGHTS, POOLING, OTHER = COLOURS[0], COLOURS[1], "#a0aec0"
PARAMETERS_AT = 6.6  # where the column of parameters ends; a bar of a million values is 6 long


def network_figure(model: nn.Module, title: str) -> Figure:
    """A bar a layer, from above down; as long as the logarithm of the number of values that it puts out."""
    rows = [("pixels", "1 of 28 x 28", NUM_PIXELS, OTHER, "")]
    for output in layer_outputs(model, torch.zeros(28, 28, dtype=torch.uint8)):
        count = f"{output.num_parameters:,}" if output.num_parameters else ""
        colour = WITH_WEIGHTS if count else POOLING if "Pool" in output.kind else OTHER
        rows.append((f"{output.name} ({output.kind})", output.shape, output.values.size, colour, count))
    figure = Figure(figsize=(9, 0.9 + ROW_INCHES * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for place, (name, shape, size, colour, count) in enumerate(rows):
        axes.barh(place, math.log10(size + 1), height=0.72, color=colour)
        axes.text(-0.08, place, name, ha="right", va="center", fontsize=9, color=INK)
        axes.text(math.log10(size + 1) + 0.06, place, shape, ha="left", va="center", fontsize=9, color=INK)
        axes.text(PARAMETERS_AT, place, count, ha="right", va="center", fontsize=9, color=INK)
    axes.text(PARAMETERS_AT, -1, "parameters", ha="right", va="center", fontsize=9, color=INK)
    axes.set(xlim=(0, PARAMETERS_AT), ylim=(len(rows) - 0.4, -1.5), title=title)
    axes.axis("off")
    return figure
