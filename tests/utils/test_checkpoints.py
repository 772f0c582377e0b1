"""Checkpoints are written whole or not at all, and no code in them is ever run."""

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from models.registry import build_model, load_trained
from utils.checkpoints import load_checkpoint, load_weights, save_checkpoint
from utils.errors import UserError

KEYS = {"epoch", "model"}


def good(path):
    save_checkpoint(path, {"epoch": 1, "model": {"weight": torch.arange(6.0)}})
    return path


def test_round_trip(tmp_path):
    values = load_checkpoint(good(tmp_path / "x.pt"), KEYS)
    assert values["epoch"] == 1 and torch.equal(values["model"]["weight"], torch.arange(6.0))
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]  # no temporary file remains


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_a_malicious_checkpoint_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "code was run"
    torch.save({"epoch": 1, "model": Attack(marker)}, tmp_path / "x.pt")
    with pytest.raises(UserError, match="could run code"):
        load_checkpoint(tmp_path / "x.pt", KEYS)
    assert not marker.exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text", "empty", "pickle", "other zip"])
def test_damaged_and_foreign_files_are_refused(tmp_path, damage):
    path = good(tmp_path / "x.pt")
    content = path.read_bytes()
    if damage == "other zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("hello.txt", "hello")
    else:
        middle = content.index(b"epoch")
        path.write_bytes(
            {
                "truncated": content[:-100],
                "flipped": content[:middle] + b"\xff\xff" + content[middle + 2 :],
                "text": b"not a checkpoint",
                "empty": b"",
                "pickle": pickle.dumps({"epoch": 1, "model": {}}),
            }[damage]
        )
    with pytest.raises(UserError) as error:
        load_checkpoint(path, KEYS)
    assert "x.pt" in str(error.value) and len(str(error.value).splitlines()) <= 2


def test_other_keys_are_refused(tmp_path):
    save_checkpoint(tmp_path / "x.pt", {"state": 1})
    with pytest.raises(UserError, match="foreign file: expected a checkpoint with epoch, model"):
        load_checkpoint(tmp_path / "x.pt", KEYS)


def test_weights_of_another_network_are_refused(tmp_path):
    with pytest.raises(UserError, match="another network"):
        load_weights(build_model("linear"), build_model("standard_fc").state_dict(), tmp_path / "x.pt")
    with pytest.raises(UserError, match="another network"):
        load_weights(build_model("linear"), [1, 2], tmp_path / "x.pt")


def test_the_old_file_remains_if_the_disk_is_full(tmp_path, monkeypatch):
    path = good(tmp_path / "x.pt")
    before = path.read_bytes()

    def full_disk(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, {"epoch": 2, "model": {}}, previous=tmp_path / "y.pt")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.pt"]


def test_a_flipped_bit_in_the_weights_is_noticed(tmp_path):
    path = good(tmp_path / "x.pt")
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(6.0).numpy().tobytes()) + 10] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x.pt is damaged.*checksum"):
        load_checkpoint(path, KEYS)


def test_a_trained_model_is_in_eval_mode_and_a_missing_checkpoint_is_named(finished_run, tmp_path):
    assert not load_trained(finished_run).training
    (tmp_path / "config.json").write_text('{"model": "linear"}')
    with pytest.raises(UserError, match=r"best.pt is missing"):
        load_trained(type(finished_run)(tmp_path))


def test_a_view_is_saved_without_the_tensor_behind_it(tmp_path):
    save_checkpoint(tmp_path / "x.pt", {"epoch": 1, "model": {"weight": torch.zeros(1_000_000)[:10]}})
    assert (tmp_path / "x.pt").stat().st_size < 10_000


def test_a_checkpoint_loads_with_plain_torch(finished_run):
    model = build_model("linear")
    model.load_state_dict(torch.load(finished_run.best_checkpoint, weights_only=True)["model"])
