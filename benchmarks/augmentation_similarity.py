"""Which training transformation resembles which test condition: minimal sample distances (Mintun et al. 2021, arXiv
2102.11273).

    python -m benchmarks.augmentation_similarity RUN

A sample of a transformation is a point in the feature space of a fixed clean network: how far it moves the embeddings,
averaged over digits. The distance of a training transformation from a condition is that of its nearest sample from the
mean of the condition's samples. A condition with several modes, such as rotations to the left and to the right, may lie
far from its mean; there the mean distance of its samples from their nearest training samples is smaller and counts. The
distance is divided by that of doing nothing: at 0 training has seen the condition itself, at 1 no sample is nearer than
the clean digit.

Uses training digits of RUN only, without labels, so that no accuracy is looked at. Prints the tables of
benchmarks/ROBUSTNESS_LOG.md and writes benchmarks/output/augmentation_similarity.json.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from benchmarks.results import DEVICE, markdown_table, script_parser, write
from model_interpretation.activations import penultimate_vectors
from model_interpretation.predict import load_run_split
from models import load_trained
from study.scorecard.conditions import CONDITIONS
from utils.data.augmentation import Augmentation
from utils.data.further_corruptions import FURTHER_CORRUPTIONS, corrupt_further
from utils.data.generic_transformations import TRANSFORMATIONS
from utils.data.mnist_c import MNIST_C, corrupt
from utils.data.splits import stratified_sample
from utils.errors import exit_on_user_error
from utils.recipe import Recipe
from utils.run import Run
from utils.track import track

NAME = "augmentation_similarity"
NUM_DIGITS = 50  # that each sample of a transformation is applied to
NUM_SAMPLES = 300  # of each training transformation
NUM_CONDITION_SAMPLES = 40
NUM_NEAREST = 3  # transformations named in the table
NEAR = 0.5  # distance below which a transformation is named
SEED = 0
TEST, VALIDATION = "MNIST-C: ", "further: "  # prefixes of the names of conditions
# The moves of the prototype, and one transformation for each other field of a recipe.
RECIPES: dict[str, dict[str, Any]] = {
    "rotation": {"rotation_degrees": 30.0},
    "shift": {"translation_pixels": 4.0},
    "scale": {"scale_fraction": 0.3},
    "shear": {"shear_degrees": 15.0},
    "elastic": {"elastic_pixels": 2.0},
    "erasing": {"erasing_probability": 1.0},
    **{name: {"generic_probability": 1.0, "generic_transformations": name} for name in TRANSFORMATIONS},
}

Images = UInt8[Tensor, "n 28 28"]
Change = Callable[[Images], Images]
Shifts = Float[Tensor, "samples width"]
Distances = dict[str, dict[str, float]]


def training_change(fields: Mapping[str, Any]) -> Change:
    """The augmentation of a recipe with these fields. Batches of the same size undergo the same random samples."""
    augmentation = Augmentation.of(Recipe(**fields))
    return lambda images: augmentation.example(images, SEED)


def condition_changes() -> dict[str, Change]:
    """All conditions that the log compares with: MNIST-C, the further corruptions, and papers and pens."""

    def corrupted(by: Callable[[Images, str, int], Images], name: str) -> Change:
        return lambda images: by(images, name, SEED)

    return {
        **{f"{TEST}{name}": corrupted(corrupt, name) for name in MNIST_C},
        **{f"{VALIDATION}{name}": corrupted(corrupt_further, name) for name in FURTHER_CORRUPTIONS},
        **{f"condition: {name}": function for name, (_, function) in CONDITIONS.items()},
    }


def sample_shifts(model: nn.Module, digits: Images, change: Change, num_samples: int) -> Shifts:
    """For each sample of a transformation, the mean over the digits of how far it moves the embedding."""
    clean = penultimate_vectors(model, digits)
    total = torch.zeros(num_samples, clean.shape[1])
    for digit, embedding in zip(digits, clean, strict=True):
        total += penultimate_vectors(model, change(digit.repeat(num_samples, 1, 1))) - embedding
    return total / len(digits)


def minimal_distance(training: Shifts, condition: Shifts) -> float:
    """The distance of the nearest training sample from the mean of the condition, or the mean distance of the
    condition's samples from their nearest training samples, whichever is smaller; relative to doing nothing, at most
    1."""
    mean = condition.mean(0, keepdim=True)
    return min(1.0, *(_relative_distance(training, targets) for targets in (mean, condition)))


def _relative_distance(training: Shifts, targets: Shifts) -> float:
    return float(torch.cdist(targets, training).amin(1).mean() / targets.norm(dim=1).mean())


def distances(training: Mapping[str, Shifts], conditions: Mapping[str, Shifts]) -> Distances:
    """Condition -> training transformation -> distance."""
    return {
        condition: {name: minimal_distance(shifts, targets) for name, shifts in training.items()}
        for condition, targets in conditions.items()
    }


def markdown(values: Mapping[str, Any]) -> str:
    """For each condition the training transformations that are near it, the nearest first."""
    return near_table(values["distances"], "training transformations")


def validation_markdown(values: Mapping[str, Any]) -> str:
    """For each corruption of MNIST-C the further corruptions that are near it: what the search sees of the test."""
    return near_table(values["validation_distances"], "further corruptions")


def near_table(distances: Distances, others: str) -> str:
    rows = []
    for condition, by_name in distances.items():
        order = sorted(by_name, key=lambda name: by_name[name])
        named = [f"{name} {by_name[name]:.2f}" for name in order[:NUM_NEAREST] if by_name[name] < NEAR]
        nearest = f"none (nearest: {order[0]} {by_name[order[0]]:.2f})"
        rows.append([text.replace("_", " ") for text in (condition, ", ".join(named) or nearest)])
    return markdown_table(("condition", f"{others} at a distance below {NEAR}"), rows)


def measure(run: Run) -> dict[str, Any]:
    """The distances in the feature space of this run, on a stratified sample of its training digits."""
    model = load_trained(run, DEVICE)
    digits = stratified_sample(load_run_split(run, "train"), NUM_DIGITS).images
    changes = {name: training_change(fields) for name, fields in RECIPES.items()}
    training = {
        name: sample_shifts(model, digits, change, NUM_SAMPLES)
        for name, change in track(changes.items(), desc="training")
    }
    conditions = {
        name: sample_shifts(model, digits, change, NUM_CONDITION_SAMPLES)
        for name, change in track(condition_changes().items(), desc="conditions")
    }
    of_test, of_validation = (
        {name.removeprefix(prefix): shifts for name, shifts in conditions.items() if name.startswith(prefix)}
        for prefix in (TEST, VALIDATION)
    )
    return {
        "run": run.name,
        "num_digits": NUM_DIGITS,
        "num_samples": NUM_SAMPLES,
        "distances": distances(training, conditions),
        "validation_distances": distances(of_validation, of_test),
    }


def main() -> None:
    parser = script_parser(__doc__)
    parser.add_argument("run", metavar="RUN", help="a run without strong augmentation, as folder or name")
    options = parser.parse_args()
    with exit_on_user_error():
        values = measure(Run.find(options.run))
    write(NAME, values)
    print(f"{markdown(values)}\n\n{validation_markdown(values)}")


if __name__ == "__main__":
    main()
