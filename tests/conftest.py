"""What many tests share: a home of their own, small data, one trained run."""

import hashlib
import importlib.util
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock

import mnist
from utils.data.datasets import DATASETS, ImageSet, load_dataset
from utils.data.downloads import DataFile
from utils.files import PROJECT_FOLDER
from utils.run import Run

FILES = [
    f"{part}-ubyte.gz" for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
]


def mnist_mirror() -> str | None:
    """Where this machine has the real MNIST: the mirror that is set, or the project's own data/, laid out like one."""
    if os.environ.get("MNIST_STUDY_MIRROR"):
        return os.environ["MNIST_STUDY_MIRROR"]
    data = PROJECT_FOLDER / "data"
    return str(data) if all((data / "mnist" / name).exists() for name in FILES) else None


MIRROR = mnist_mirror()
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = {
        "real_mnist": MIRROR is None and "no MNIST in data/ and no MNIST_STUDY_MIRROR",
        "browser": CHROMIUM is None and "no Chromium on this machine",
        "ray": importlib.util.find_spec("ray") is None and "no Ray: pip install 'mnist-study-platform[ray]'",
        "cuda": not torch.cuda.is_available() and "no NVIDIA GPU on this machine",
    }
    for item in items:
        for marker, reason in lacking.items():
            if reason and marker in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has data/ and runs/ of its own, and no mirror unless it is marked real_mnist."""
    monkeypatch.setenv("MNIST_STUDY_HOME", str(tmp_path))
    monkeypatch.delenv("MNIST_STUDY_MIRROR", raising=False)
    return tmp_path


@pytest.fixture
def real_mirror(monkeypatch: pytest.MonkeyPatch) -> str:
    """The real MNIST as the mirror; for tests that are marked real_mnist."""
    assert MIRROR is not None
    monkeypatch.setenv("MNIST_STUDY_MIRROR", MIRROR)
    return MIRROR


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Replaces the public URLs of all files by one without files. The checksums remain."""
    nowhere = (tmp_path / "nowhere").as_uri()

    def unreachable(file: DataFile) -> DataFile:
        urls, md5 = file.published()
        return replace(file, torchvision="", urls=(f"{nowhere}/{file.name}",) if urls else (), md5=md5)

    for name, dataset in DATASETS.items():
        files = {split: [tuple(map(unreachable, group)) for group in groups] for split, groups in dataset.files.items()}
        monkeypatch.setitem(DATASETS, name, replace(dataset, files=files))


@pytest.fixture
def trust_files(monkeypatch: pytest.MonkeyPatch):
    """Makes the files of a split in a mirror the published ones, by their checksums."""

    def trust(mirror: Path, dataset: str, split: str) -> None:
        def trusted(file: DataFile) -> DataFile:
            path = mirror / file.folder / file.name
            if not path.exists():
                return file
            content = path.read_bytes()
            return replace(file, md5=hashlib.md5(content).hexdigest(), sha256=hashlib.sha256(content).hexdigest())

        files = DATASETS[dataset].files
        monkeypatch.setitem(files, split, [tuple(map(trusted, group)) for group in files[split]])

    return trust


@pytest.fixture(scope="session")
def digits() -> ImageSet:
    """The bundled training digits."""
    return load_dataset("digits", "train")


@pytest.fixture(scope="session")
def few_digits(digits: ImageSet) -> ImageSet:
    """200 of them."""
    return digits.subset(torch.arange(200), "few digits")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the linear network on the bundled digits, trained once; to be read only."""
    from trainers import Recipe, train

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_STUDY_HOME", str(tmp_path_factory.mktemp("session")))
        recipe = Recipe("linear", dataset="digits", num_epochs=2, learning_rate=0.01)
        return train(recipe, run_name="finished")


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """fast_conv after an epoch of 40,000 real digits, about 99.2 % accuracy; for tests that are marked real_mnist. The
    processes of pytest-xdist share it; to be read only."""
    from trainers import train

    assert MIRROR is not None
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "quick"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, FileLock(f"{folder}.lock"):
        patch.setenv("MNIST_STUDY_HOME", str(folder))
        patch.setenv("MNIST_STUDY_MIRROR", MIRROR)
        run = Run(folder / "runs" / "quick")
        if not run.is_finished:
            run = train("fast_conv", run_name="quick", num_epochs=1, train_size=40_000)
        return run


@pytest.fixture(scope="session")
def quick_network(quick_run: Run) -> torch.nn.Module:
    """Its network."""
    from models.registry import load_trained

    return load_trained(quick_run)


@pytest.fixture(scope="module")  # while it is open, no other test may run an event loop
def browser():
    """Chromium without a window; for tests that are marked browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def copied_run(finished_run: Run, home: Path) -> Path:
    """A copy of the finished run in the test's own runs/."""
    shutil.copytree(finished_run.path, home / "runs" / "mine")
    return home / "runs" / "mine"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs `mnist ...` in this process; gives exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mnist", *arguments])
        code = 0
        try:
            mnist.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
