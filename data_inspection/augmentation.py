"""`mnist inspect --augmentation`: what a recipe does to its training digits, as pictures on a page."""

from pathlib import Path

import torch
from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from data_inspection.display_digit import file_stem
from data_inspection.figures import examples_per_class
from utils.data import load_dataset
from utils.data.augmentation import Augmentation
from utils.data.generic_transformations import TRANSFORMATIONS
from utils.document import Block, Document, Section, Table, Text, picture_of
from utils.errors import UserError
from utils.figures import digit_grid_figure
from utils.files import make_folder, shown
from utils.recipe import Recipe

NUM_DIGITS = 10
NUM_VERSIONS = 9  # augmented versions of a digit
FIELDS = {  # of a recipe: what the augmentation does, in words
    "rotation_degrees": "rotated by up to {:g} degrees",
    "translation_pixels": "shifted by up to {:g} px along each axis",
    "scale_fraction": "scaled by up to {:.0%}",
    "shear_degrees": "sheared by up to {:g} degrees",
    "elastic_pixels": "elastically deformed by up to {:g} px (root mean square along each axis)",
    "generic_probability": "each generic transformation applied with probability {:g}",
    "erasing_probability": "a rectangle erased with probability {:g}",
}
MEANINGS = {
    "affine": "Rotates, shears, scales and shifts.",
    "elastic": "Shifts pixels by smoothed Gaussian noise.",
    "erasing": "Fills a rectangle of 2 to 20 % of the area with black or grey.",
}


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
    chosen = [indices[0] for indices in examples_per_class(image_set, 1) if len(indices)][:NUM_DIGITS]
    images, stem = image_set.images[torch.stack(chosen)], f"augmentation_{file_stem(name)}"
    caption = (
        "Ten training images (left) and augmented versions as training sees them. Drawn dark on white, like all digits "
        "on these pages; the network sees the negative"
    )
    pictures = [
        picture_of(versions_figure(augmentation, images, name), caption, f"{stem}_versions"),
        picture_of(parts_figure(augmentation, images, name), "Each kind of change by itself", f"{stem}_parts"),
    ]
    settings = [text.format(getattr(recipe, field)) for field, text in FIELDS.items() if getattr(recipe, field)]
    meanings = MEANINGS | {kind: _first_sentence(function.__doc__) for kind, function in TRANSFORMATIONS.items()}
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


def versions_figure(augmentation: Augmentation, images: UInt8[Tensor, "n 28 28"], name: str) -> Figure:
    """A row per image: the original, then augmented versions."""
    versions = torch.stack([images, *(augmentation.example(images, seed) for seed in range(NUM_VERSIONS))], dim=1)
    title = f"{name}: training images (left) and augmented versions of each"
    return digit_grid_figure(versions.flatten(0, 1), None, 1 + NUM_VERSIONS, title)


def parts_figure(augmentation: Augmentation, images: UInt8[Tensor, "n 28 28"], name: str) -> Figure:
    """A row per kind of change, below the originals."""
    rows = {"original": images} | {kind: part.example(images, 0) for kind, part in augmentation.parts.items()}
    title = f"{name}: what each kind of change does by itself"
    return digit_grid_figure(torch.cat(list(rows.values())), None, len(images), title, row_names=list(rows))


def _first_sentence(text: str | None) -> str:
    return f"{' '.join((text or '').split()).split('. ')[0].rstrip('.')}."
