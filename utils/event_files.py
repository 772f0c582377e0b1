"""TensorBoard's event files: written without a thread, with pictures as the PNG files they are, and read for their
scalars.

TensorBoard reads all event files of a folder as one run. A file is a sequence of records: length, checksum, an `Event`,
checksum.
"""

import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import ListValue, Value
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar.metadata import CONFIG_SUMMARY_TAG
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData
from tensorboard.summary.writer.record_writer import RecordWriter

from utils.files import make_folder
from utils.recipe import FIELDS, Execution, Recipe
from utils.run import Run

PREFIX = "events.out.tfevents"
SESSION_TAGS = (metadata.SESSION_START_INFO_TAG, metadata.SESSION_END_INFO_TAG, metadata.EXPERIMENT_TAG)
FAILURE, SUCCESS = api_pb2.STATUS_FAILURE, api_pb2.STATUS_SUCCESS
MAX_SCALAR_RECORD = 32_000  # bytes; longer records hold pictures, graphs and embeddings, and are skipped
MAX_CHOICES = 20  # values of a setting that are offered as check boxes; more numbers are an interval


TRAINING, SESSION, FINAL, SCORECARD = "training", "session", "final", "scorecard"
"""The kinds of event files of a run: curves; hyperparameters; results and status; metrics of the scorecard."""
FINAL_LABELS = {
    "final/test_accuracy": "test accuracy",
    "final/val_accuracy": "validation accuracy",
    "final/best_val_accuracy": "best validation accuracy",
    "final/test_error_rate": "test error rate",
    "final/test_loss": "test loss",
    "final/train_seconds": "training, s",
    "final/num_parameters": "parameters",
}
"""The columns of the HParams page."""
EXECUTION_SETTINGS = ("device", "precision")


class EventFile:
    """A new event file, to be closed. `kind` is the end of its name, such as `training` or `scorecard`."""

    def __init__(
        self,
        folder: Path,
        kind: str,
        purge_step: int | None = None,
        written: float | None = None,
        started: float | None = None,
    ) -> None:
        """`purge_step`: TensorBoard forgets what earlier files of the folder have from this step on. `written` is the
        time in the file's name: TensorBoard reads the files of a folder in the order of their names. `started` is the
        time by which TensorBoard sorts runs. Both are in seconds, by default now."""
        make_folder(folder)
        now = time.time()
        written, started = (now if it is None else it for it in (written, started))
        self.path = folder / f"{PREFIX}.{written:.6f}.{socket.gethostname()}.{os.getpid()}.{kind}"
        self.file = self.path.open("wb")
        self.records = RecordWriter(self.file)
        self._write(Event(wall_time=started, file_version="brain.Event:2"))
        if purge_step is not None:
            self.purge(purge_step)

    def write(self, values: Iterable[Summary.Value], step: int) -> None:
        """Appends the values as one record and flushes the file."""
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def write_graph(self, graph: bytes) -> None:
        self._write(Event(wall_time=time.time(), graph_def=graph))

    def purge(self, step: int) -> None:
        """Makes TensorBoard forget this step and all later ones."""
        self._write(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))

    def close(self) -> None:
        self.file.close()

    @property
    def is_closed(self) -> bool:
        return self.file.closed

    def _write(self, event: Event) -> None:
        self.records.write(event.SerializeToString())
        self.records.flush()


def replace_events(folder: Path, kind: str, values: Iterable[Summary.Value], step: int) -> None:
    """Writes the values into the folder's only event file of this kind."""
    old = files_of_kind(folder, kind)
    file = EventFile(folder, kind)
    file.write(values, step)
    file.close()
    for path in old:
        path.unlink()


def log_scorecard(run: Run, results: Mapping[str, float]) -> None:
    """Writes metrics of the scorecard by id into the run's results, in place of earlier ones."""
    values = {f"scorecard/{metric_id}": value for metric_id, value in results.items()}
    if values:
        replace_events(run.path / "results", SCORECARD, scalars(values), run.summary.num_epochs_run)


def event_files(folder: Path) -> list[Path]:
    """The event files of a folder, without those of its subfolders, in the order of their names."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if "tfevents" in entry.name)
    except OSError:
        return []


def files_of_kind(folder: Path, kind: str) -> list[Path]:
    """The event files of a folder that `EventFile` wrote with this kind."""
    return [path for path in event_files(folder) if path.name.endswith(f".{kind}")]


# Values.


def scalars(values: Mapping[str, float]) -> list[Summary.Value]:
    """One value per tag."""
    return [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]


def png_value(tag: str, png: bytes) -> Summary.Value:
    """The content of a PNG file, unchanged."""
    width, height = struct.unpack(">II", png[16:24])
    return Summary.Value(
        tag=tag, image=Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    )


def text(tag: str, markdown: str) -> Summary.Value:
    """Text for the page Text."""
    plugin = SummaryMetadata.PluginData(plugin_name="text", content=TextPluginData(version=0).SerializeToString())
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[markdown.encode()], tensor_shape=shape)
    return Summary.Value(tag=tag, tensor=tensor, metadata=SummaryMetadata(plugin_data=plugin))


def chart_layout(categories: Mapping[str, Mapping[str, Sequence[str]]], has_margins: bool = False) -> Summary.Value:
    """The charts of the page Custom Scalars: category -> title -> tags of the lines; with margins, the tags of the line
    and of the lower and upper end of its band."""
    layout = layout_pb2.Layout()
    for category, charts in categories.items():
        part = layout.category.add(title=category)
        for title, tags in charts.items():
            if has_margins:
                value, lower, upper = tags
                part.chart.add(title=title).margin.series.add(value=value, lower=lower, upper=upper)
            else:
                part.chart.add(title=title).multiline.tag.extend(tags)
    plugin = SummaryMetadata.PluginData(plugin_name="custom_scalars")
    tensor = TensorProto(dtype="DT_STRING", string_val=[layout.SerializeToString()], tensor_shape=TensorShapeProto())
    return Summary.Value(tag=CONFIG_SUMMARY_TAG, tensor=tensor, metadata=SummaryMetadata(plugin_data=plugin))


def hyperparameters(recipe: Recipe, execution: Execution) -> dict[str, Any]:
    """What the HParams page may show: the recipe without the seed, by which it groups, and the resolved execution."""
    settings = {name: getattr(recipe, name) for name in FIELDS if name != "seed"}
    return settings | {name: getattr(execution, name) for name in EXECUTION_SETTINGS}


def session_start(settings: Mapping[str, Any], group: str) -> Summary.Value:
    """The hyperparameters of a run for TensorBoard's HParams page, which averages over the runs of a group."""
    info = plugin_data_pb2.SessionStartInfo(group_name=group, start_time_secs=time.time())
    for name, value in settings.items():
        info.hparams[name].CopyFrom(_as_value(value))
    return _hparams(metadata.SESSION_START_INFO_TAG, session_start_info=info)


def session_end(status: int) -> Summary.Value:
    """The end of a run: SUCCESS or FAILURE. Without it, TensorBoard shows the status as unknown."""
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    return _hparams(metadata.SESSION_END_INFO_TAG, session_end_info=info)


def experiment(settings: Mapping[str, Sequence[Any]], metrics: Mapping[str, str]) -> Summary.Value:
    """The columns of the HParams page for all runs of a log folder: settings with their values, and tags of scalars
    with their labels. A log folder holds at most one; without it, TensorBoard shows every setting and every scalar."""
    columns = []
    for name, values in settings.items():
        column = api_pb2.HParamInfo(name=name, display_name=name.replace("_", " "), differs=len(values) > 1)
        is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        is_bool = all(isinstance(value, bool) for value in values)
        column.type = (
            api_pb2.DATA_TYPE_BOOL if is_bool else api_pb2.DATA_TYPE_FLOAT64 if is_number else api_pb2.DATA_TYPE_STRING
        )
        if is_number and len(values) > MAX_CHOICES:
            column.domain_interval.min_value, column.domain_interval.max_value = min(values), max(values)
        else:
            column.domain_discrete.CopyFrom(ListValue(values=map(_as_value, values)))
        columns.append(column)
    names = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=label) for tag, label in metrics.items()]
    return _hparams(metadata.EXPERIMENT_TAG, experiment=api_pb2.Experiment(hparam_infos=columns, metric_infos=names))


def _as_value(value: Any) -> Value:
    if isinstance(value, bool):
        return Value(bool_value=value)
    return Value(number_value=value) if isinstance(value, int | float) else Value(string_value=str(value))


def _hparams(tag: str, **content: Any) -> Summary.Value:
    data = plugin_data_pb2.HParamsPluginData(**content)
    return Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)


# Reading.


@dataclass
class EventContent:
    """The scalars of an event file, and how its run ended."""

    scalars: dict[str, dict[int, float]] = field(default_factory=dict)
    """Tag -> step -> value; a step that was written twice has the later value."""
    status: int | None = None
    """SUCCESS, FAILURE or None."""
    has_experiment: bool = False
    """Whether the file describes an experiment, as runs of earlier versions do, each its own."""
    problem: str = ""
    """What is wrong with the file. The record at its end may be incomplete while a run is training."""


def read_event_file(path: Path) -> EventContent:
    """The content of an event file up to its end or to the first damaged record."""
    content = EventContent()
    try:
        for record in records(path):
            if len(record) <= MAX_SCALAR_RECORD:
                _add(content, Event.FromString(record))
    except (OSError, ValueError, DecodeError) as error:
        content.problem = str(error)
    return content


def records(path: Path) -> Iterator[bytes]:
    """The records of an event file. Raises ValueError for a damaged length.

    TensorBoard's reader computes the checksum of each picture byte by byte in Python, which takes 100 times as long.
    """
    data = path.read_bytes()
    start = 0
    while len(data) - start >= 12:
        header, checksum = data[start : start + 8], data[start + 8 : start + 12]
        if masked_crc32c(header) != struct.unpack("<I", checksum)[0]:
            raise ValueError(f"damaged after {start:,} bytes")
        end = start + 12 + struct.unpack("<Q", header)[0]
        if end + 4 > len(data):
            return
        yield data[start + 12 : end]
        start = end + 4


def _add(content: EventContent, event: Event) -> None:
    for value in event.summary.value:
        if value.HasField("simple_value"):
            content.scalars.setdefault(value.tag, {})[event.step] = value.simple_value
        elif value.tag == metadata.SESSION_END_INFO_TAG:
            plugin_content = value.metadata.plugin_data.content
            content.status = metadata.parse_session_end_info_plugin_data(plugin_content).status
        elif value.tag == metadata.EXPERIMENT_TAG:
            content.has_experiment = True


def without_hyperparameters(path: Path) -> bytes:
    """The content of an event file without the values for the HParams page."""
    kept = bytearray()
    for record in records(path):
        if len(record) <= MAX_SCALAR_RECORD:
            event = Event.FromString(record)
            if any(value.tag in SESSION_TAGS for value in event.summary.value):
                continue
        header = struct.pack("<Q", len(record))
        kept += header + struct.pack("<I", masked_crc32c(header)) + record + struct.pack("<I", masked_crc32c(record))
    return bytes(kept)
