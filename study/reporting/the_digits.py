"""The section on what the digits are like."""

from typing import Any

from study.reporting.blocks import Block, Command, Picture, Section, Text, missing_section
from study.reporting.evidence import INSPECTION
from utils.paths import PROJECT_FOLDER


def input_section(statistics: dict[str, Any] | None) -> Section:
    """What the digits are like."""
    title = "Input inspection: what the digits are like"
    if statistics is None:
        return missing_section(title, "mnist inspect")
    train, twice = statistics["splits"]["train"], statistics["duplicates"]
    right, below, off, side, lean = (
        train[key] for key in ("centre_x", "centre_y", "off_centre", "longer_side", "lean_degrees")
    )
    counts = {name: part["num_digits"] for name, part in train["classes"].items()}
    leans = {name: part["lean_degrees"]["mean"] for name, part in train["classes"].items()}
    most, least, steepest, straightest = (
        choose(values, key=lambda name: values[name])
        for values, choose in ((counts, max), (counts, min), (leans, max), (leans, min))
    )
    texts = [
        f"The {train['num_digits']:,} training digits are centred: their centre of mass lies {_spread(right)} px right "
        f"of the image's middle and {_spread(below)} px below it (mean and standard deviation), for 99 % of them "
        f"within {off['quantile_99']:.2f} px. As they are, a network never sees one elsewhere.",
        f"They are of one size: the longer side is {_spread(side)} px, while the heights are "
        f"{_spread(train['height'])} px and the widths {_spread(train['width'])} px.",
        f"Slant is left as it was written: {_spread(lean)} degrees to the right, from {leans[straightest]:.1f} on "
        f"average for the class {straightest} to {leans[steepest]:.1f} for the class {steepest}.",
        f"The classes are nearly even, from {counts[least]:,} digits ({least}) to {counts[most]:,} ({most}). "
        f"{twice['within_train'] or 'None'} of them occur twice, {twice['within_test'] or 'none'} of the test digits "
        f"do, and {twice['test_digits_also_in_train'] or 'none'} stand in both sets.",
    ]
    people = statistics.get("writers")
    if people:
        texts.append(
            f"{people['train']['num_writers']} people wrote the training digits, {people['test']['num_writers']} the "
            "test digits."
        )
    blocks: list[Block] = [Text(" ".join(texts)), *_inspection_pictures(), Command(["mnist inspect"])]
    return Section(title, blocks, blocks)


def _spread(part: dict[str, float]) -> str:
    return f"{part['mean']:.2f} ± {part['std']:.2f}"


def _inspection_pictures() -> list[Picture]:
    descriptions = {
        "mnist_centring_size_slant": "Where the training digits lie, how large they are, how they lean",
        "mnist_label_distribution": "Digits of each class",
        "mnist_typical_and_strange": "The most typical digits of each class and the strangest, by the distance to "
        "their nearest neighbours",
    }
    files = {INSPECTION / f"{name}.png": description for name, description in descriptions.items()}
    return [
        Picture(file.stem, description, file.read_bytes(), file.relative_to(PROJECT_FOLDER).as_posix())
        for file, description in files.items()
        if file.exists()
    ]
