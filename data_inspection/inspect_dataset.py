"""`mnist inspect`: writes statistics.json, figures and the page of a data set, and prints the main results; or writes
the page of an augmentation."""

import json
from pathlib import Path
from typing import Any

import torch

from data_inspection.display_digit import file_stem
from data_inspection.figures import (
    augmentation_parts_figure,
    augmented_versions_figure,
    dataset_figures,
    examples_per_class,
)
from data_inspection.page import CAPTIONS, MAX_CELL_DIGITS, dataset_document
from data_inspection.statistics import describe_dataset, statistics_table, summary_text, typical_and_unusual
from utils.data import load_dataset
from utils.data.augmentation import Augmentation
from utils.data.generic_transformations import TRANSFORMATIONS
from utils.document import Block, Document, Section, Table, Text, picture_of
from utils.errors import UserError
from utils.files import make_folder, shown, write_whole
from utils.outside import read_json
from utils.recipe import Recipe
from utils.track import track

NUM_AUGMENTED = 10  # digits whose augmented versions are drawn
AUGMENTATION_FIELDS = {  # of a recipe: what the augmentation does, in words
    "rotation_degrees": "rotated by up to {:g} degrees",
    "translation_pixels": "shifted by up to {:g} px along each axis",
    "scale_fraction": "scaled by up to {:.0%}",
    "shear_degrees": "sheared by up to {:g} degrees",
    "elastic_pixels": "elastically deformed by up to {:g} px (root mean square along each axis)",
    "generic_probability": "each generic transformation applied with probability {:g}",
    "erasing_probability": "a rectangle erased with probability {:g}",
}
AUGMENTATION_PARTS = {
    "affine": "Rotates, shears, scales and shifts.",
    "elastic": "Shifts pixels by smoothed Gaussian noise.",
    "erasing": "Fills a rectangle of 2 to 20 % of the area with black or grey.",
}


def inspect_dataset(dataset: str, output: Path) -> None:
    """Measures a data set by name, prints the results, and writes statistics.json, figures and a page to the folder."""
    make_folder(output)
    train, test = load_dataset(dataset, "train"), load_dataset(dataset, "test")
    description = describe_dataset(train, test)
    add_statistics(output / "statistics.json", dataset, description)
    print(f"{statistics_table(description)}\n\n{summary_text(dataset, description)}")
    prefix, extremes = file_stem(dataset), typical_and_unusual(train, MAX_CELL_DIGITS)
    pictures = {
        name: picture_of(draw(), CAPTIONS[name], f"{prefix}_{name}")
        for name, draw in track(dataset_figures(train, test, *extremes).items(), desc="figures")
    }
    for picture in pictures.values():
        write_whole(output / picture.file_name, picture.content)
    page = output / f"{prefix}.html"
    dataset_document(dataset, train, test, description, extremes, pictures, output).write_html(page)
    print(f"\nstatistics and figures: {shown(output)}/statistics.json, {prefix}_*\npage: {shown(page)}")


def add_statistics(path: Path, dataset: str, description: dict[str, Any]) -> None:
    """Adds the statistics of a data set to the JSON file, which has one key per data set."""
    try:
        known = read_json(path)
    except (OSError, ValueError):
        known = {}
    write_whole(path, f"{json.dumps({**known, dataset: description}, indent=2)}\n".encode())


def inspect_augmentation(recipe: Recipe, name: str, output: Path) -> None:
    """Writes a page with augmented training digits of the recipe, and its pictures, to the folder; prints the path.

    Raises UserError if the recipe changes no images.
    """
    augmentation = Augmentation.of(recipe)
    if augmentation.is_identity:
        raise UserError(
            f"{name} trains without augmentation: expected a recipe with one, such as fast_conv.\n"
            "Fields of an augmentation: --rotation-degrees, --generic-probability and others, see 'mnist train --help'"
        )
    make_folder(output)
    image_set = load_dataset(recipe.dataset, "train")
    chosen = [indices[0] for indices in examples_per_class(image_set, 1) if len(indices)][:NUM_AUGMENTED]
    images, stem = image_set.images[torch.stack(chosen)], f"augmentation_{file_stem(name)}"
    caption = (
        "Training images (left) and augmented versions as training sees them. Drawn dark on white, like all digits "
        "on these pages; the network sees the negative"
    )
    pictures = [
        picture_of(augmented_versions_figure(augmentation, images, name), caption, f"{stem}_versions"),
        picture_of(
            augmentation_parts_figure(augmentation, images, name), "Each kind of change by itself", f"{stem}_parts"
        ),
    ]
    settings = [
        text.format(getattr(recipe, field)) for field, text in AUGMENTATION_FIELDS.items() if getattr(recipe, field)
    ]
    meanings = AUGMENTATION_PARTS | {
        kind: _first_sentence(function.__doc__) for kind, function in TRANSFORMATIONS.items()
    }
    rows = [[kind, meanings[kind]] for kind in augmentation.parts]
    summary: list[Block] = [Text(f"{name} changes each training image anew in every epoch: {'; '.join(settings)}.")]
    blocks: list[Block] = [
        Section("Augmented digits", [pictures[0]]),
        Section("Each kind of change", [pictures[1], Table(["change", "what it does"], rows)]),
    ]
    document = Document(f"Augmentation of {name}", blocks, summary)
    document.write_pictures(output)
    page = output / f"{stem}.html"
    document.write_html(page)
    print(f"{'; '.join(settings)}\n\npictures: {shown(output)}/{stem}_*.png\npage: {shown(page)}")


def _first_sentence(text: str | None) -> str:
    return f"{' '.join((text or '').split()).split('. ')[0].rstrip('.')}."
