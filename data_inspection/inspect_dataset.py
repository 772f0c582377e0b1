"""`mnist inspect`: writes statistics.json, figures and the page of a data set, and prints the main results."""

import json
from pathlib import Path
from typing import Any

from data_inspection.display_digit import file_stem
from data_inspection.figures import dataset_figures
from data_inspection.page import CAPTIONS, MAX_CELL_DIGITS, dataset_document
from data_inspection.statistics import describe_dataset, statistics_table, summary_text, typical_and_unusual
from utils.data import load_dataset
from utils.document import picture_of
from utils.files import make_folder, shown, write_whole
from utils.outside import read_json
from utils.track import track


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
