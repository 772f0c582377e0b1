"""Effect of batch norm, dropout and augmentation: the same small network with and without each, over several seeds.

    python -m benchmarks.technique_effects [--seeds 5]

Trains missing runs as runs/technique-..., prints the table for docs/techniques.md and writes
benchmarks/output/technique_effects.json.
"""

from typing import Any

from benchmarks.results import finished_runs, markdown_table, script_parser, write
from study.comparison.groups import percent
from utils.errors import exit_on_user_error
from utils.recipe import Recipe
from utils.statistics import mean_interval

AUGMENTATION = {"rotation_degrees": 10.0, "translation_pixels": 1.0}
# Technique -> model and augmentation.
TECHNIQUES: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("C(16,3)-P2-C(32,3)-P2-FC128-FC10", {}),
    "batch norm": ("C(16,3)-BN-P2-C(32,3)-BN-P2-FC128-BN-FC10", {}),
    "dropout": ("C(16,3)-P2-C(32,3)-P2-D0.4-FC128-D0.4-FC10", {}),
    "augmentation": ("C(16,3)-P2-C(32,3)-P2-FC128-FC10", AUGMENTATION),
    "all three": ("C(16,3)-BN-P2-C(32,3)-BN-P2-D0.4-FC128-BN-D0.4-FC10", AUGMENTATION),
}
# Training images -> epochs. The small training set gets more epochs, but fewer steps.
SETTINGS = {1_000: 100, 55_000: 5}


def measure(train_size: int, num_epochs: int, seeds: list[int]) -> list[dict[str, Any]]:
    """Test accuracies of each technique, one per seed."""
    size = train_size if train_size < 55_000 else 1.0
    shared = Recipe(train_size=size, num_epochs=num_epochs, batch_size=128, schedule="cosine").to_json()
    results = []
    for technique, (model, augmentation) in TECHNIQUES.items():
        recipe = Recipe.from_json({**shared, "model": model, **augmentation})
        runs = finished_runs(recipe, f"technique-{train_size}-{technique.replace(' ', '-')}", seeds)
        accuracies = [run.summary.test_accuracy for run in runs]
        results.append(
            {"num_digits": train_size, "num_epochs": num_epochs, "technique": technique, "accuracies": accuracies}
        )
    return results


def markdown(values: dict[str, Any]) -> str:
    """The table of docs/techniques.md."""
    plain = {row["num_digits"]: row["accuracies"] for row in values["results"] if row["technique"] == "none"}
    rows = []
    for result in values["results"]:
        accuracies, size = result["accuracies"], result["num_digits"]
        differences = [100 * (a - b) for a, b in zip(accuracies, plain[size], strict=True)]
        gain, margin = mean_interval(differences)
        difference = "" if result["technique"] == "none" else f"{gain:+.2f} ± {margin:.2f}"
        images = f"{size:,}, {result['num_epochs']} epochs"
        accuracy = percent(*mean_interval(accuracies))
        rows.append([images, result["technique"], str(len(accuracies)), accuracy, difference])
    return markdown_table(
        ("training images", "technique", "seeds", "test accuracy", "difference to none, points"), rows
    )


def main() -> None:
    parser = script_parser(__doc__, seeds=5)
    seeds = list(range(parser.parse_args().seeds))
    if len(seeds) < 2:
        parser.error("--seeds: expected at least two, for a confidence interval")
    with exit_on_user_error():
        results = [row for size, num_epochs in SETTINGS.items() for row in measure(size, num_epochs, seeds)]
    write("technique_effects", {"results": results})
    print(f"\n{markdown({'results': results})}")


if __name__ == "__main__":
    main()
