"""`mnist inspect`: writes statistics.json and figures of a data set, and prints the main results."""

import json
from pathlib import Path
from typing import Any

from data_inspection.display_digit import file_stem
from data_inspection.figures import dataset_figures
from data_inspection.statistics import describe_dataset, statistics_table, summary_text
from utils.data import load_dataset
from utils.figures import is_photograph, save_figure
from utils.files import make_folder, shown, write_whole
from utils.track import track


def inspect_dataset(dataset: str, output: Path) -> None:
    """Measures a data set by name, prints the results, and writes statistics.json and figures to the folder."""
    make_folder(output)
    train, test = load_dataset(dataset, "train"), load_dataset(dataset, "test")
    description = describe_dataset(train, test)
    add_statistics(output / "statistics.json", dataset, description)
    print(f"{statistics_table(description)}\n\n{summary_text(dataset, description)}")
    prefix = file_stem(dataset)
    for name, draw in track(dataset_figures(train, test).items(), desc="figures"):
        figure = draw()
        save_figure(figure, output / f"{prefix}_{name}.{'png' if is_photograph(figure) else 'svg'}")
    print(f"\nstatistics and figures: {shown(output)}/statistics.json, {prefix}_*")


def add_statistics(path: Path, dataset: str, description: dict[str, Any]) -> None:
    """Adds the statistics of a data set to the JSON file, which has one key per data set."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    write_whole(path, f"{json.dumps({**known, dataset: description}, indent=2)}\n".encode())
