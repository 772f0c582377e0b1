"""The folder that `mnist tensorboard` shows: links to the runs' event files under readable names, mean curves of runs
that differ only in seed, and the columns of the HParams page.

    fc lr=0.01 s0/        links to the event files of the run, and its hyperparameters under the name of its group
    fc lr=0.01 (mean)/    curves over the seeds: the mean, and mean/, low/, high/ of every scalar
    (all groups)/         a table of the groups, margin charts, and which settings and results are columns

The folder is a cache: deleting it loses nothing.
"""

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from study.tensorboard.curves import Point, Scalars, group_curves
from study.tensorboard.names import differing, group_names
from utils.errors import UserError
from utils.event_files import (
    FINAL_LABELS,
    SCORECARD,
    SESSION,
    EventContent,
    EventFile,
    chart_layout,
    event_files,
    experiment,
    hyperparameters,
    read_event_file,
    scalars,
    session_start,
    text,
    without_hyperparameters,
)
from utils.files import make_folder, shown
from utils.recipe import FIELDS
from utils.run import Run, RunSummary
from utils.statistics import mean_intervals

MARGIN_CHARTS = {  # TensorBoard shows the last one first
    "gradient norm": "grad_norm",
    "training loss": "loss/train",
    "training accuracy": "accuracy/train",
    "validation loss": "loss/val",
    "validation error rate": "error_rate/val",
    "validation accuracy": "accuracy/val",
}
PROJECTOR = ("projector_config.pbtxt", "00000")  # the embeddings of a run, for the page Projector
HEADER = ["group", "seeds", "test accuracy", "validation accuracy", "training, s"]
TABLE_FIELDS = ("test_accuracy", "val_accuracy", "train_seconds")  # of the run summary


@dataclass
class ShownRun:
    """A run in the view."""

    run: Run
    settings: dict[str, Any]
    """What the HParams page may show as columns: recipe and execution, without the seed."""
    group: str = ""
    name: str = ""
    contents: dict[Path, tuple[int, EventContent]] = field(default_factory=dict)
    """Event file -> its size when it was read, and its content."""
    links: dict[Path, Path] = field(default_factory=dict)
    """Event file -> its link in the view."""

    def show_files(self, folder: Path) -> None:
        """Makes the event files appear in the folder, and removes links to files that are gone."""
        files = self.files
        for gone in self.links.keys() - set(files):
            self.links.pop(gone).unlink(missing_ok=True)
        is_old = not (self.run.path / "results").exists()
        for file in files:
            if file not in self.links or not self.links[file].is_symlink():
                self.links[file] = folder / file.name
                _show(file, self.links[file], is_old and self.read(file.name)[0].has_experiment)
        for path in (self.run.path / name for name in PROJECTOR):
            target = folder / path.name
            if path.exists() and not target.exists():
                try:
                    target.symlink_to(path.resolve())
                except OSError:
                    (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target)

    @property
    def files(self) -> list[Path]:
        """The event files of training and results, without the hyperparameters, which the view writes itself."""
        files = [*event_files(self.run.path), *event_files(self.run.path / "results")]
        return [file for file in files if not file.name.endswith(f".{SESSION}")]

    def read(self, kind: str = "") -> list[EventContent]:
        """The contents of the event files of this kind, by default of all. Only files that have grown are read."""
        files = [file for file in self.files if file.name.endswith(kind)]
        for file in files:
            size = file.stat().st_size
            if self.contents.get(file, (-1,))[0] != size:
                self.contents[file] = size, read_event_file(file)
        return [self.contents[file][1] for file in files]

    @property
    def scalars(self) -> Scalars:
        """The values of all event files together."""
        merged: dict[str, dict[int, float]] = {}
        for content in self.read():
            for tag, values in content.scalars.items():
                merged.setdefault(tag, {}).update(values)
        return merged


@dataclass
class Group:
    """The curves of a group, and the file that TensorBoard reads them from."""

    file: EventFile
    sizes: list[int]
    """Sizes of the members' event files when the curves were computed."""
    curves: dict[int, dict[str, Point]]


class View:
    """The folder of one TensorBoard, and what is in it."""

    def __init__(self, folder: Path, choose: Callable[[], Sequence[Run]]) -> None:
        """Empties the folder. `choose` gives the runs to show, each time the view is updated."""
        self.folder, self.choose = folder, choose
        self.runs: dict[str, ShownRun] = {}
        """By name in the view."""
        self.groups: dict[str, Group] = {}
        """By folder in the view."""
        self.overview: tuple[Any, Path] | None = None
        self.num_overviews = 0
        self.notes: dict[str, None] = {}
        """What could not be shown, one line each, in the order in which it was found."""
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)

    def update(self) -> None:
        """Shows new runs, new event files and new epochs."""
        with contextlib.suppress(FileNotFoundError):  # a file that was just removed; the next update repairs it
            self.update_links()
            self.update_groups()

    def update_links(self) -> None:
        """Makes the folders of the runs, with links to their event files, and the overview."""
        runs = {shown_run.name: shown_run for shown_run in self._named(self.choose())}
        for name, old in self.runs.items():
            if runs.get(name) is not old:
                shutil.rmtree(self.folder / name, ignore_errors=True)
        for name, shown_run in runs.items():
            folder = self.folder / name
            if self.runs.get(name) is not shown_run:
                # The first file of the folder: TensorBoard keeps the first hyperparameters.
                file = EventFile(folder, "view", written=0)
                file.write([session_start(shown_run.settings, shown_run.group)], 0)
                file.close()
            shown_run.show_files(folder)
        self.runs = runs
        self._update_overview()

    def update_groups(self) -> None:
        """Writes the mean curves of groups with new values, and notes damaged files."""
        names = set()
        for group, members in self._members().items():
            name = f"{group} (mean)"
            seeds = {member.run.recipe.seed: member for member in members}  # of a seed trained twice, the newer run
            values = [member.scalars for member in seeds.values()]
            sizes = [size for member in seeds.values() for size, _ in member.contents.values()]
            if len(seeds) < 2:
                continue
            names.add(name)
            if name not in self.groups or self.groups[name].sizes != sizes:
                self._write_curves(name, group_curves(values), sizes)
        for name in self.groups.keys() - names:
            self.groups.pop(name).file.close()
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for shown_run in self.runs.values():
            for file, (_, content) in shown_run.contents.items():
                if content.problem:
                    self._note(f"{shown(file)} is {content.problem}; only what comes before is shown")

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows: a row per group with the means of its finished runs and their 95 % intervals over the seeds,
        the best group of each data set first."""
        rows = []
        for group, members in self._members().items():
            by_seed = {m.run.recipe.seed: summary for m in members if (summary := _summary(m.run))}
            summaries = list(by_seed.values())
            seeds = f"{len(summaries)}" + (f" of {len(members)}" if len(summaries) < len(members) else "")
            cells, accuracy = ["", "", ""], 0.0
            if summaries:
                values = np.array([[getattr(summary, name) for name in TABLE_FIELDS] for summary in summaries], float)
                means, margins = mean_intervals(values)
                cells = [_interval_text(*cell) for cell in zip(TABLE_FIELDS, means, margins, strict=True)]
                accuracy = float(means[1])
            rows.append((members[0].run.recipe.dataset, -accuracy, [group, seeds, *cells]))
        return HEADER, [row for *_, row in sorted(rows)]

    def _named(self, runs: Sequence[Run]) -> list[ShownRun]:
        """The readable runs with their names; runs that are shown under the same name already are the same objects.
        Notes the others."""
        known = {shown_run.run.path: shown_run for shown_run in self.runs.values()}
        readable = []
        for run in runs:
            try:
                readable.append(known.get(run.path) or ShownRun(run, hyperparameters(run.recipe, run.execution)))
            except UserError as error:
                self._note(f"left out: {str(error).splitlines()[0]}")
                continue
            if not event_files(run.path):
                self._note(f"{shown(run.path)} has no event files: its curves are missing")
        recipes = [{name: shown_run.settings[name] for name in FIELDS if name != "seed"} for shown_run in readable]
        taken: Counter[str] = Counter()
        named = []
        for shown_run, group in zip(readable, group_names(recipes), strict=True):
            name = f"{group} s{shown_run.run.recipe.seed}"
            taken[name] += 1
            name += f" ({taken[name]})" if taken[name] > 1 else ""
            is_new = (shown_run.group, shown_run.name) != (group, name)
            named.append(replace(shown_run, group=group, name=name, links={}) if is_new else shown_run)
        return named

    def _members(self) -> dict[str, list[ShownRun]]:
        groups: dict[str, list[ShownRun]] = {}
        for shown_run in self.runs.values():
            groups.setdefault(shown_run.group, []).append(shown_run)
        return groups

    def _write_curves(self, name: str, curves: dict[int, dict[str, Point]], sizes: list[int]) -> None:
        """Appends the curves from the first step that has changed. TensorBoard forgets the old ones from there on."""
        old = self.groups.get(name)
        file = old.file if old else EventFile(self.folder / name, "group", started=2)
        changed = [step for step in sorted(curves) if old is None or old.curves.get(step) != curves[step]]
        if old and changed and changed[0] <= max(old.curves, default=0):
            file.purge(changed[0])
        for step in sorted(step for step in curves if changed and step >= changed[0]):
            values: dict[str, float] = {}
            for tag, point in curves[step].items():
                values |= {tag: point.mean, **{f"{end}/{tag}": value for end, value in point._asdict().items()}}
            file.write(scalars(values), step)
        self.groups[name] = Group(file, sizes, curves)

    def _update_overview(self) -> None:
        """Writes the columns of the HParams page, the margin charts and the table of groups, if they have changed, into
        a folder with a new name: TensorBoard keeps what it has read of a folder."""
        header, rows = self.table()
        settings = differing([member.settings for member in self.runs.values()])
        metrics = dict(FINAL_LABELS)
        for member in self.runs.values():
            for content in member.read(SCORECARD):
                metrics |= {tag: tag.removeprefix("scorecard/").replace("_", " ") for tag in content.scalars}
        key = (rows, settings, sorted(metrics))
        if not self.runs or (self.overview and self.overview[0] == key):
            return
        if self.overview:
            shutil.rmtree(self.overview[1], ignore_errors=True)
        self.num_overviews += 1
        number = f" {self.num_overviews}" if self.num_overviews > 1 else ""
        folder = self.folder / f"(all groups{number})"
        charts = {title: [f"{end}/{tag}" for end in Point._fields] for title, tag in MARGIN_CHARTS.items()}
        layout = chart_layout({"mean and 95 % confidence interval over the seeds": charts}, has_margins=True)
        file = EventFile(folder, "overview", started=1)  # above all runs, as are the groups
        lines = [header, ["---"] * len(header), *rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        columns = settings or {"model": sorted({member.settings["model"] for member in self.runs.values()})}
        file.write([layout, text("groups", table), experiment(columns, metrics)], 0)
        file.close()
        self.overview = key, folder

    def _note(self, line: str) -> None:
        self.notes.setdefault(line)


def _summary(run: Run) -> RunSummary | None:
    """None for an unfinished or damaged run."""
    try:
        return run.summary if run.is_finished else None
    except UserError:
        return None


def _interval_text(field: str, mean: float, margin: float) -> str:
    """The mean and the ends of its interval; an accuracy as 97.59% (95.48% to 99.70%), at most 100 %."""
    is_fraction = field.endswith("accuracy")
    form, highest = ("{:.2%}", 1.0) if is_fraction else ("{:.1f}", np.inf)
    ends = (form.format(end) for end in np.clip([mean - margin, mean + margin], 0, highest))
    return form.format(mean) + ("" if np.isnan(margin) else " ({} to {})".format(*ends))


def _show(source: Path, target: Path, describes_experiment: bool) -> None:
    """Makes an event file appear in the view: as a link, or as a copy that grows with it where links are not allowed.

    Runs of earlier versions describe an experiment each, of which TensorBoard shows the first for all runs: of these
    files a copy without it.
    """
    if describes_experiment:
        if not target.exists():
            target.write_bytes(without_hyperparameters(source))
        return
    try:
        target.symlink_to(source.resolve())
    except OSError:  # Windows without the right to make links
        with source.open("rb") as original, target.open("ab") as copy:
            original.seek(copy.tell())
            shutil.copyfileobj(original, copy)
