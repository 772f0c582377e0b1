"""TensorBoard: what a run writes, the view of many runs, and the page in a browser."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from study.sweeps.job import Pruned
from study.tensorboard.curves import group_curves
from study.tensorboard.names import group_names
from study.tensorboard.server import filtered_runs, parse_since
from study.tensorboard.view import View
from trainers import Execution, Recipe, resume, train, train_seeds
from trainers.train import DataSplits
from utils.data.datasets import load_dataset
from utils.errors import UserError
from utils.event_files import event_files, log_scorecard
from utils.run import Run
from utils.statistics import mean_interval

LINEAR = Recipe("linear", dataset="digits", num_epochs=2)
FIVE = [
    LINEAR,
    replace(LINEAR, learning_rate=0.01),
    replace(LINEAR, batch_size=100),
    replace(LINEAR, model="standard_fc"),
    replace(LINEAR, model="standard_fc", learning_rate=0.01),
]
FIVE_NAMES = [
    "linear batch=64 lr=0.001",
    "linear batch=64 lr=0.01",
    "linear batch=100 lr=0.001",
    "standard_fc lr=0.001",
    "standard_fc lr=0.01",
]
STATUSES = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING]


@pytest.fixture(scope="module")
def splits():
    few = load_dataset("digits", "train").subset(torch.arange(200), "few digits")
    return DataSplits(few, few, few)


@pytest.fixture(scope="module")
def fifty_home(tmp_path_factory, splits):
    """A home folder with five recipes of ten seeds each."""
    home = tmp_path_factory.mktemp("fifty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_STUDY_HOME", str(home))
        for number, recipe in enumerate(FIVE):
            train_seeds(recipe, range(10), run_name=f"recipe{number}", splits=splits, execution=Execution("cpu"))
    return home


@pytest.fixture
def fifty(fifty_home, monkeypatch):
    """The runs of that home; to be read only."""
    monkeypatch.setenv("MNIST_STUDY_HOME", str(fifty_home))
    return Run.all()


def hparams_page(folder):
    """The columns and the rows of TensorBoard's HParams page for a log folder."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(folder))))
    request = api_pb2.ListSessionGroupsRequest(slice_size=1000, allowed_statuses=STATUSES)
    groups = Handler(RequestContext(), context, "", request).run().session_groups
    metadata = context.hparams_metadata(RequestContext(), "")
    return context.experiment_from_metadata(RequestContext(), "", True, metadata, []), groups


def scalar_values(folder, tag):
    accumulator = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


# What a run writes.


def test_a_run_logs_epochs_classes_texts_curves_and_pictures(finished_run):
    accumulator = EventAccumulator(str(finished_run.path)).Reload()
    tags = accumulator.Tags()
    expected = {"loss/train", "loss/val", "accuracy/train", "accuracy/val", "error_rate/train", "error_rate/val"}
    expected |= {"learning_rate", "grad_norm", "images_per_second", *(f"class_accuracy/{digit}" for digit in range(10))}
    assert set(tags["scalars"]) == expected
    last = finished_run.metrics[-1]
    assert scalar_values(finished_run.path, "error_rate/val")[-1] == (2, pytest.approx(1 - last.val_accuracy))
    predictions = finished_run.predictions("validation")  # of the best epoch
    of_class = predictions.labels == 3
    step = finished_run.summary.best_epoch
    value = dict(scalar_values(finished_run.path, "class_accuracy/3"))[step]
    assert value == pytest.approx(predictions.is_correct[of_class].mean())
    assert set(tags["images"]) == {
        "test/confusion_matrix", "test/reliability", "test/worst_mistakes", "filters/first_layer"
    }  # fmt: skip
    texts = {tag: accumulator.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in ("run", "verdict")}
    assert "| learning rate | 0.01 |" in texts["run"] and "| torch |" in texts["run"] and "command" in texts["run"]
    assert f"{finished_run.summary.test_accuracy:.2%} test accuracy" in texts["verdict"]
    assert "test/precision_recall/7" in tags["tensors"] and accumulator.Graph().node


def test_precision_and_recall_at_a_threshold(finished_run):
    curve = EventAccumulator(str(finished_run.path)).Reload().Tensors("test/precision_recall/4")[0].tensor_proto
    *_, precision, recall = np.array(curve.float_val).reshape(6, -1)
    predictions = finished_run.predictions("test")
    chosen = predictions.probabilities[:, 4] >= 0.5  # the middle of the thresholds
    is_four = predictions.labels == 4
    middle = len(precision) // 2
    assert precision[middle] == pytest.approx(is_four[chosen].mean())
    assert recall[middle] == pytest.approx(chosen[is_four].mean())


def test_pictures_are_stored_as_readable_png(finished_run):
    from io import BytesIO

    from PIL import Image

    accumulator = EventAccumulator(str(finished_run.path)).Reload()
    for tag in accumulator.Tags()["images"]:
        event = accumulator.Images(tag)[0]
        assert Image.open(BytesIO(event.encoded_image_string)).size == (event.width, event.height)
        assert event.width >= 300 and len(event.encoded_image_string) < 300_000


def test_a_run_with_augmentation_begins_with_pictures_of_it(splits, home):
    affine = replace(LINEAR, num_epochs=1, rotation_degrees=10)
    much = replace(affine, elastic_pixels=1, generic_probability=0.2, generic_transformations="tone,blur")
    for recipe, expected in ((affine, {"examples"}), (much, {"examples", "parts"})):
        run = train(recipe, splits=splits, execution=Execution("cpu"))
        accumulator = EventAccumulator(str(run.path)).Reload()
        tags = {tag for tag in accumulator.Tags()["images"] if tag.startswith("augmentation/")}
        assert tags == {f"augmentation/{name}" for name in expected}
        assert all(accumulator.Images(tag)[0].step == 0 for tag in tags)


def test_options_add_steps_histograms_confusion_matrices_and_a_trace(splits, home):
    execution = Execution("cpu", log_every=2, log_confusion_every=1, log_histograms=True, profile=True)
    recipe = replace(LINEAR, batch_size=20)
    run = train(recipe, run_name="logged", splits=splits, execution=execution)
    assert [step for step, _ in scalar_values(run.path, "step/loss")] == list(range(2, 21, 2))
    accumulator = EventAccumulator(str(run.path), size_guidance={"histograms": 0, "images": 0}).Reload()
    assert [event.step for event in accumulator.Images("validation/confusion_matrix")] == [1, 2]
    kinds = {tag.split("/")[0] for tag in accumulator.Tags()["histograms"]}
    assert kinds == {"weights", "gradients", "activations"}
    trace = json.loads((run.path / "trace.json").read_text())
    assert any("addmm" in event.get("name", "") for event in trace["traceEvents"])

    plain = train(recipe, run_name="plain", splits=splits, execution=Execution("cpu"))
    assert [row.val_loss for row in plain.metrics] == [row.val_loss for row in run.metrics]
    assert run.recipe.hash == plain.recipe.hash and not (plain.path / "trace.json").exists()


def test_a_profile_of_networks_that_are_trained_together(splits, home):
    runs, _ = train_seeds(
        replace(LINEAR, batch_size=20),
        range(2),
        run_name="both",
        splits=splits,
        execution=Execution("cpu", profile=True),
    )
    assert runs[0].environment["execution"]["num_together"] == 2 and (runs[0].path / "trace.json").exists()


class Stop:
    def __init__(self, error):
        self.error = error

    def step_done(self):
        pass

    def epoch_done(self, _metrics):
        raise self.error


def test_runs_show_their_status(splits, home):
    train(LINEAR, run_name="finished", splits=splits)
    for name, error in (("stopped", KeyboardInterrupt()), ("pruned", Pruned()), ("failed", UserError("not finite"))):
        with pytest.raises(type(error)):
            train(replace(LINEAR, seed=len(name)), run_name=name, splits=splits, callbacks=[Stop(error)])
    columns, groups = hparams_page(home / "runs")
    status = {session.name.split("/")[0]: session.status for group in groups for session in group.sessions}
    failure = api_pb2.STATUS_FAILURE
    assert status == {
        "finished": api_pb2.STATUS_SUCCESS, "stopped": api_pb2.STATUS_UNKNOWN, "pruned": failure, "failed": failure
    }  # fmt: skip
    text = EventAccumulator(str(home / "runs" / "failed")).Reload().Tensors("verdict")[0].tensor_proto.string_val[0]
    assert text == b"stopped after epoch 1: not finite"
    assert {column.name for column in columns.hparam_infos} >= {"device", "precision", "model"}
    assert "auto" not in {group.hparams["device"].string_value for group in groups}

    resume(Run.find("stopped"), splits=splits)
    _, groups = hparams_page(home / "runs")
    assert [session.status for group in groups for session in group.sessions].count(api_pb2.STATUS_SUCCESS) == 2
    steps = [step for step, _ in scalar_values(home / "runs" / "stopped", "loss/val")]
    assert steps == [1, 2]  # no epoch twice, none missing


def test_plain_tensorboard_groups_seeds_and_has_columns_of_results_only(fifty):
    columns, groups = hparams_page(fifty[0].path.parent)
    assert {info.name for info in columns.hparam_infos if info.differs} == {"model", "learning_rate", "batch_size"}
    assert {info.name.tag for info in columns.metric_infos} == {
        f"final/{name}"
        for name in ("test_accuracy", "val_accuracy", "best_val_accuracy", "test_loss", "test_error_rate",
                     "train_seconds", "num_parameters")
    }  # fmt: skip
    assert {group.name: len(group.sessions) for group in groups} == {recipe.hash: 10 for recipe in FIVE}


def test_scorecard_metrics_become_columns_and_are_replaced(copied_run, home):
    log_scorecard(Run(copied_run), {"rotation_40": 0.5})
    log_scorecard(Run(copied_run), {"rotation_40": 0.6, "usps_accuracy": 0.7})
    assert scalar_values(copied_run / "results", "scorecard/rotation_40") == [(2, pytest.approx(0.6))]
    view = View(home / "view", Run.all)
    view.update()
    columns, _ = hparams_page(home / "view")
    assert [info.display_name for info in columns.metric_infos][-2:] == ["rotation 40", "usps accuracy"]


# Names and mean curves.


def names_of(*recipes):
    return group_names([recipe.to_json() for recipe in recipes])


def test_names_say_what_differs():
    fast = Recipe("fast_conv", learning_rate=0.01)
    turned = replace(fast, rotation_degrees=10, translation_pixels=2)
    assert names_of(*FIVE) == FIVE_NAMES
    assert names_of(fast, turned) == ["fast_conv aug=none", "fast_conv aug=10°+2px"]
    assert names_of(fast, replace(fast, seed=1)) == ["fast_conv", "fast_conv"]
    assert names_of(fast, replace(fast, dataset="usps")) == ["fast_conv mnist", "fast_conv usps"]
    assert names_of(fast, replace(fast, optimizer="sgd", learning_rate=1.0)) == [
        "fast_conv optimizer=adam lr=0.01", "fast_conv optimizer=sgd lr=1"
    ]  # fmt: skip
    odd = names_of(Recipe("my.module:Net"), replace(fast, dataset="csv:/a/b.csv"))
    assert not any(character in name for name in odd for character in '/\\:*?"<>|')


def test_group_curves_are_means_with_students_interval():
    values = [0.91, 0.95, 0.93]
    seeds = [{"accuracy/val": {1: value, 2: 0.9}, "final/test_loss": {n: value}} for n, value in enumerate(values)]
    seeds[0]["accuracy/val"][3] = 0.8  # only one seed trained for three epochs
    curves = group_curves(seeds)
    mean, half_width = mean_interval(values)
    assert curves[1]["accuracy/val"] == pytest.approx((mean, mean - half_width, mean + half_width))
    assert curves[2]["accuracy/val"] == pytest.approx((0.9, 0.9, 0.9))
    assert 3 not in curves and curves[2]["final/test_loss"].mean == pytest.approx(mean)  # results have one value each
    assert group_curves([{"accuracy/val": {1: 0.9}}, {"accuracy/val": {1: 1.0}}])[1]["accuracy/val"].high == 1.0


# The view.


def test_fifty_runs_are_five_groups_with_their_curves(fifty, tmp_path):
    view = View(tmp_path / "view", Run.all)
    view.update()
    columns, groups = hparams_page(view.folder)
    assert [info.name for info in columns.hparam_infos] == ["batch_size", "learning_rate", "model"]
    assert all(info.differs for info in columns.hparam_infos)
    assert [info.display_name for info in columns.metric_infos][:2] == ["test accuracy", "validation accuracy"]
    assert {group.name: len(group.sessions) for group in groups} == dict.fromkeys(FIVE_NAMES, 10)
    for name, recipe in zip(FIVE_NAMES, FIVE, strict=True):
        runs = [run for run in fifty if run.recipe.without_seed == recipe]
        mean, half_width = mean_interval([run.metrics[-1].val_loss for run in runs])
        ends = {"mean": mean, "low": mean - half_width, "high": mean + half_width}
        for end, value in ends.items():
            assert scalar_values(view.folder / f"{name} (mean)", f"{end}/loss/val")[-1] == (2, pytest.approx(value))
        assert scalar_values(view.folder / f"{name} s3", "loss/val")[-1][1] == pytest.approx(
            runs[3].metrics[-1].val_loss
        )
    layout = EventAccumulator(str(view.folder / "(all groups)")).Reload().Tensors("custom_scalars__config__")
    assert b"low/accuracy/val" in layout[0].tensor_proto.string_val[0]
    header, rows = view.table()
    assert len(rows) == 5 and rows[0][1] == "10" and " to " in rows[0][header.index("test accuracy")]
    by_group = {group.name: group for group in groups}
    assert [row[0] for row in rows] == sorted(
        by_group, key=lambda name: -next(it.value for it in by_group[name].metric_values if "val" in it.name.tag)
    )


def test_the_view_follows_runs_that_are_trained(splits, home):
    train(LINEAR, run_name="zero", splits=splits)
    view = View(home / "view", Run.all)
    view.update()
    assert sorted(path.name for path in view.folder.iterdir()) == ["(all groups)", "linear s0"]

    means = []

    class Look:
        def step_done(self):
            pass

        def epoch_done(self, _metrics):
            view.update()
            curve = scalar_values(view.folder / "linear (mean)", "accuracy/val")
            means.append([step for step, _ in curve])

    train(replace(LINEAR, seed=1), run_name="one", splits=splits, callbacks=[Look()])
    assert means == [[1], [1, 2]]
    train(replace(LINEAR, seed=2), run_name="two", splits=splits)
    view.update()
    losses = [run.metrics[0].val_loss for run in Run.all()]
    first, second = scalar_values(view.folder / "linear (mean)", "loss/val")[-2:]
    assert first == (1, pytest.approx(np.mean(losses))) and second[0] == 2

    train(replace(LINEAR, learning_rate=0.5), run_name="other", splits=splits)
    view.update()
    names = sorted(path.name for path in view.folder.iterdir())
    assert names[0].startswith("(all groups") and len(names) == 6
    assert names[1:] == [
        "linear lr=0.001 (mean)",
        *(f"linear lr=0.001 s{seed}" for seed in range(3)),
        "linear lr=0.5 s0",
    ]


def test_a_damaged_event_file_and_a_run_without_events_get_a_line_each(splits, home):
    for name, seed in (("good", 0), ("damaged", 1), ("bare", 2), ("unreadable", 3)):
        train(replace(LINEAR, seed=seed), run_name=name, splits=splits)
    (file,) = event_files(home / "runs" / "damaged")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + bytes(range(256)) * 400)
    event_files(home / "runs" / "bare")[0].unlink()
    (home / "runs" / "unreadable" / "config.json").write_text("{")
    view = View(home / "view", Run.all)
    view.update()
    view.update()
    notes = list(view.notes)
    assert len(notes) == 3 and all("\n" not in note for note in notes)
    assert any("damaged" in note and "only what comes before is shown" in note for note in notes)
    assert any("bare has no event files" in note for note in notes)
    assert any("left out" in note and "unreadable" in note for note in notes)
    assert (view.folder / "linear s0").exists() and file.exists()


def test_a_run_of_an_earlier_version_does_not_hide_the_columns(splits, home):
    runs = [train(recipe, splits=splits, run_name=f"run{n}") for n, recipe in enumerate(FIVE[:2])]
    shutil.rmtree(runs[0].path / "results")
    with SummaryWriter(str(runs[0].path)) as writer:
        for event in hparams({"model": "linear"}, {"final/test_accuracy": 0.5}):
            writer._get_file_writer().add_summary(event)
        writer.add_scalar("final/test_accuracy", 0.5, 2)
    view = View(home / "view", Run.all)
    view.update()
    columns, groups = hparams_page(view.folder)
    assert [info.name for info in columns.hparam_infos] == ["learning_rate"] and len(groups) == 2


def test_the_view_works_without_links(splits, home, monkeypatch):
    """Windows does not allow links by default."""

    def refuse(*_arguments, **_options):
        raise OSError("a required privilege is not held by the client")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    view = View(home / "view", Run.all)

    class Look:
        def step_done(self):
            pass

        def epoch_done(self, _metrics):
            view.update()

    run = train(LINEAR, splits=splits, callbacks=[Look()])
    view.update()
    (file,) = event_files(run.path)
    copy = view.folder / "linear s0" / file.name
    assert not copy.is_symlink() and copy.read_bytes() == file.read_bytes()


def test_embeddings_of_a_run_are_in_the_view(copied_run, home):
    (copied_run / "projector_config.pbtxt").write_text("embeddings {}")
    (copied_run / "00000").mkdir()
    (copied_run / "00000" / "tensors.tsv").write_text("1.0")
    view = View(home / "view", Run.all)
    view.update()
    view.update()
    assert (view.folder / "linear s0" / "projector_config.pbtxt").read_text() == "embeddings {}"
    assert (view.folder / "linear s0" / "00000" / "tensors.tsv").read_text() == "1.0"


def test_filters(splits, home):
    for name, recipe in (("a", LINEAR), ("b", replace(LINEAR, model="FC10")), ("c", replace(LINEAR, seed=1))):
        train(recipe, run_name=name, splits=splits)
    chosen = {
        "all": filtered_runs(),
        "named": filtered_runs(["b"]),
        "model": filtered_runs(model="linear"),
        "dataset": filtered_runs(dataset="mnist"),
        "last": filtered_runs(model="linear", last=1),
        "since": filtered_runs(since=parse_since("2h")),
        "later": filtered_runs(since=parse_since("2999-01-01")),
    }
    names = {key: [run.name for run in runs] for key, runs in chosen.items()}
    assert names == {
        "all": ["a", "b", "c"], "named": ["b"], "model": ["a", "c"], "dataset": [], "last": ["c"],
        "since": ["a", "b", "c"], "later": [],
    }  # fmt: skip
    with pytest.raises(UserError, match="--since yesterday: expected a date"):
        parse_since("yesterday")


# The command.


def test_no_runs_and_a_port_in_use_get_one_line(command, splits, home):
    code, _, error = command("tensorboard", "--port", "0")
    assert code == 2 and len(error.splitlines()) == 1 and "no run to show" in error
    train(LINEAR, splits=splits)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        code, _, error = command("tensorboard", "--port", port)
    assert code == 2 and len(error.splitlines()) == 1 and port in error and "choose another --port" in error
    assert command("tensorboard", "--last", "0")[0] == 2


@pytest.mark.browser
def test_the_pages_in_a_browser(fifty_home, browser):
    """The command on 50 runs: groups on the page HParams, mean curves, bands; stopping it removes the view."""
    environment = {**os.environ, "MNIST_STUDY_HOME": str(fifty_home)}
    arguments = [sys.executable, "-m", "mnist", "tensorboard", "--port", "0"]
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        while not (lines and "custom_scalars" in lines[-1]) and process.poll() is None:
            lines.append(process.stdout.readline())
        address = re.search(r"http://127.0.0.1:\d+", "".join(lines)).group()
        views = fifty_home / "study" / "output" / "tensorboard"
        assert len([path for path in views.iterdir() if path.is_dir()]) == 1
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(f"{address}/#hparams")
        for name in ("batch size", "learning rate", "model", "test accuracy"):
            page.get_by_text(name, exact=True).first.wait_for()
        page.get_by_text(re.compile("^standard_fc lr=0.01$")).first.wait_for()
        assert page.get_by_text("weight decay").count() == 0
        page.goto(f"{address}/?runFilter=mean&smoothing=0#timeseries")
        page.get_by_text("linear batch=64 lr=0.01 (mean)").first.wait_for()
        page.get_by_text("accuracy/val", exact=True).first.wait_for()
        page.close()
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(f"{address}/#custom_scalars&regexInput=mean&_smoothingWeight=0")
        page.get_by_text("validation accuracy", exact=True).first.wait_for()
        page.get_by_text("Matches (5)").first.wait_for()
        page.close()
        process.terminate()
        assert process.wait(timeout=30) == 0
        assert not list(views.iterdir())
    finally:
        process.kill()
