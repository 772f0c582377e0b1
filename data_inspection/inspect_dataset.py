"""`mnist inspect`: writes statistics.json and figures of a data set, and prints the main results."""

import json
import re
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_inspection.figures import dataset_figures
from data_inspection.statistics import describe_dataset, statistics_table, summary_text
from utils.data.datasets import load_dataset, mnist_writers
from utils.figures import save_figure
from utils.files import PROJECT_FOLDER, make_folder, shown, write_whole

OUTPUT = PROJECT_FOLDER / "data_inspection" / "output"


def inspect_dataset(dataset: str, output: Path = OUTPUT) -> None:
    """Measures a data set by name, prints the results, and writes statistics.json and PNG figures to the folder."""
    make_folder(output)
    train, test = load_dataset(dataset, "train"), load_dataset(dataset, "test")
    description = describe_dataset(train, test, mnist_writers() if dataset == "mnist" else None)
    add_statistics(output / "statistics.json", dataset, description)
    print(f"{statistics_table(description)}\n\n{summary_text(dataset, description)}")
    prefix = re.sub(r"[^A-Za-z0-9]+", "_", dataset).strip("_")[-80:]
    for name, draw in tqdm(dataset_figures(train, test).items(), desc="figures", disable=None, leave=False):
        save_figure(draw(), output / f"{prefix}_{name}.png")
    print(f"\nstatistics and figures: {shown(output)}/statistics.json, {prefix}_*.png")


def add_statistics(path: Path, dataset: str, description: dict[str, Any]) -> None:
    """Adds the statistics of a data set to the JSON file, which has one key per data set."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    write_whole(path, f"{json.dumps({**known, dataset: description}, indent=2)}\n".encode())
