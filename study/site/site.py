"""Writes the site: static files that work from any file server, under any path, without a request to another host."""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

import model_interpretation.draw_app
from model_interpretation.activations import penultimate_vectors
from model_interpretation.ood_check import MAX_FALSE_ALARMS
from model_interpretation.predict import load_run_split
from models.export import describe, export_run
from models.registry import load_trained
from study.report.evidence import Evidence
from study.report.recorded import read_recorded
from study.report.report import report_document
from study.site.article import article_values
from study.site.runtime import runtime_files
from trainers.recipes import recipe_label
from utils import __version__
from utils.data import load_dataset
from utils.data.splits import ImageSet, stratified_sample
from utils.errors import UserError, needs_extra
from utils.files import make_folder, shown, study_folder, write_whole
from utils.navigation import HEADER, TEMPLATE_FOLDER, TEMPLATES, PageLink
from utils.ood_scores import NearestNeighbourScore
from utils.run import Run

PAGE = Path(__file__).parent / "page"
DRAWING = Path(model_interpretation.draw_app.__file__).parent / "page" / "drawing.js"  # of `mnist draw`
COMMON = ("early.js", "style.css", "page.js", "table.js")  # of all pages of the platform
MARK = "site.json"  # what the folder is, written first
REPORT = "report.json"
RECIPES = ("fast_conv",)  # the networks that visitors see by default
DATASET = "mnist"  # of the digits on the pages
NUM_TRAINING_DIGITS = 1000  # among which the page looks for the nearest
TITLES = {"index.html": "Is MNIST solved?", "draw.html": "Draw", "report.html": "Report", "docs/index.html": "Docs"}


def write_site(runs: Sequence[Run], folder: Path, report: Path | None = None) -> None:
    """Writes the pages, the networks of the runs as ONNX files and the program that computes them into the folder.

    `report` is a report.json of `mnist report`; by default that of this home, else docs/report.json of the working
    folder. Without a report the site has no article, and begins with the drawing page. Raises UserError for a folder
    of other files, an unfinished run, a network without an ONNX form, and without a network connection if ONNX Runtime
    Web has not been downloaded yet.
    """
    _check_folder(folder)
    with needs_extra("export"):  # before the downloads
        import onnx  # noqa: F401
    report = report or _default_report()
    with TemporaryDirectory() as restored_runs:
        evidence = read_recorded(report, Path(restored_runs)) if report else None
        runtime = runtime_files()
        write_whole(folder / MARK, json.dumps({"program": f"mnist-study-platform {__version__}"}).encode())
        digits = _write_training_digits(runs[0], folder)
        networks = _write_networks(runs, folder / "networks", digits)
        for name, content in runtime.items():
            write_whole(folder / "runtime" / name, content)
        for file in PAGE.iterdir():
            if file.suffix in (".js", ".css"):
                write_whole(folder / file.name, file.read_bytes())
        write_whole(folder / DRAWING.name, DRAWING.read_bytes())
        for name in COMMON:
            write_whole(folder / "common" / name, (TEMPLATE_FOLDER / name).read_bytes())
        _write_pages(folder, networks, digits, evidence)
    size = sum(file.stat().st_size for file in folder.rglob("*") if "docs" not in file.relative_to(folder).parts)
    without = " without docs/" if (folder / "docs").exists() else ""
    count = "1 network" if len(networks) == 1 else f"{len(networks)} networks"
    print(f"{shown(folder)}: {count}, {size / 1e6:.1f} MB{without}")
    if report is None:
        print("no article: 'mnist report' writes the report.json that it needs, from runs with scorecards")
    print(f"to read it: python -m http.server --bind 127.0.0.1 --directory {shown(folder)}, then http://127.0.0.1:8000")


def default_runs() -> list[Run]:
    """The newest finished run of each recipe in RECIPES, else the newest finished run. Raises UserError if there is no
    finished run."""
    finished = Run.finished()
    newest = {recipe_label(run.recipe): run for run in finished}
    return [newest[name] for name in RECIPES if name in newest] or finished[-1:]


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output {folder} is a file: expected a folder for the site")
    is_new = not folder.is_dir() or (folder / MARK).exists()
    others = [] if is_new else sorted(path.name for path in folder.iterdir() if path.name != "docs")
    if others:
        raise UserError(
            f"{shown(folder)} holds other files, such as {others[0]}: expected a new folder, or one that 'mnist site' "
            "wrote.\nChoose another with --output, or delete it"
        )


def _default_report() -> Path | None:
    files = (study_folder() / "report" / REPORT, Path("docs") / REPORT)
    return next((file for file in files if file.exists()), None)


def _write_networks(runs: Sequence[Run], folder: Path, digits: ImageSet) -> list[dict[str, Any]]:
    """Exports the networks and deletes those of earlier sites. Returns what the pages say about each."""
    make_folder(folder)
    for old in folder.glob("*.onnx"):
        old.unlink()
    networks = []
    for run in runs:
        file = export_run(run, "onnx", folder)
        texts = describe(run)
        networks.append(
            {
                "label": recipe_label(run.recipe),
                "run": run.name,
                "url": f"networks/{file.name}",
                "parameters": run.summary.num_parameters,
                "testAccuracy": float(texts["test_accuracy"]),
                "testAccuracyLow": float(texts["test_accuracy_low"]),
                "testAccuracyHigh": float(texts["test_accuracy_high"]),
                "similarityThreshold": _similarity_threshold(run, digits),
            }
        )
    return networks


def _similarity_threshold(run: Run, digits: ImageSet) -> float | None:
    """The similarity to these training digits below which a picture is not like a digit: 95 % of the run's validation
    digits are above. None for a network of other data, or without embeddings."""
    if run.recipe.dataset != DATASET:
        return None
    model = load_trained(run)
    try:
        score = NearestNeighbourScore(penultimate_vectors(model, digits.images, progress=None))
    except UserError:  # a single layer
        return None
    scores = score(penultimate_vectors(model, load_run_split(run, "validation").images, progress=None))
    return round(float(np.quantile(scores.numpy(), MAX_FALSE_ALARMS, method="lower")), 4)


def _write_pages(folder: Path, networks: list[dict[str, Any]], digits: ImageSet, evidence: Evidence | None) -> None:
    values = article_values(evidence, [network["label"] for network in networks]) if evidence else {}
    data = {
        "networks": networks,
        "digits": _digits(values.get("hardest", [])),
        "curves": values.get("curves", {}),
        "trainingLabels": digits.labels.tolist(),
    }
    pages = [page for page in TITLES if _is_there(page, folder, evidence)]
    for page, template in {"index.html": "index.html" if evidence else "draw.html", "draw.html": "draw.html"}.items():
        header = _header(page, pages)
        text = TEMPLATES.from_string((PAGE / template).read_text(encoding="utf-8"))
        write_whole(folder / page, text.render(header=header, data=data, article=values, networks=networks).encode())
    if evidence:
        report = folder / "report.html"
        report_document(evidence).write_html(report)
        text_of_report = report.read_text(encoding="utf-8")
        write_whole(report, HEADER.sub(lambda _: _header("report.html", pages), text_of_report, count=1).encode())


def _is_there(page: str, folder: Path, evidence: Evidence | None) -> bool:
    if page == "docs/index.html":
        return (folder / page).exists()
    return page == "draw.html" or evidence is not None


def _header(page: str, pages: Sequence[str]) -> str:
    links = [PageLink(TITLES[name], "" if name == page else name, name == page) for name in pages]
    return TEMPLATES.get_template("header.html").render(run_name="", run_folder="", run_links=[], study_links=links)


def _digits(hardest: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Test digits for the pages: two of each class, and the hardest."""
    test_set = load_dataset(DATASET, "test")
    places = [int(place) for label in range(10) for place in (test_set.labels == label).nonzero().flatten()[:2]]
    return [
        {"index": index, "label": int(test_set.labels[index]), "pixels": _text(test_set.images[index].numpy())}
        for index in dict.fromkeys([*places, *(digit["index"] for digit in hardest)])
    ]


def _write_training_digits(run: Run, folder: Path) -> ImageSet:
    """Digits that the run was trained on, or MNIST's if it was trained on others, evenly from the classes. Writes them
    one below the other into a picture."""
    is_mnist = run.recipe.dataset == DATASET
    digits = load_run_split(run, "train") if is_mnist else load_dataset(DATASET, "train")
    sample = stratified_sample(digits, NUM_TRAINING_DIGITS)
    picture = io.BytesIO()
    Image.fromarray(sample.images.numpy().reshape(-1, sample.images.shape[-1])).save(picture, "PNG", optimize=True)
    write_whole(folder / "neighbours.png", picture.getvalue())
    return sample


def _text(pixels: UInt8[np.ndarray, "..."]) -> str:
    return base64.b64encode(pixels.tobytes()).decode()
