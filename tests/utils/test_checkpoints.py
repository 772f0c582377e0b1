"""Checkpoints: whole or not at all, and nothing in them ever runs."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from models.registry import build_model
from models.trained import load_trained
from utils.checkpoints import load_checkpoint, load_weights, save_checkpoint
from utils.errors import UserError

KEYS = {"epoch", "model"}


def good(path):
    save_checkpoint(path, {"epoch": 1, "model": {"weight": torch.arange(6.0)}})
    return path


def test_round_trip(tmp_path):
    values = load_checkpoint(good(tmp_path / "x.pt"), KEYS)
    assert values["epoch"] == 1 and torch.equal(values["model"]["weight"], torch.arange(6.0))
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]  # no temporary file is left


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_malicious_checkpoint_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "code was run"
    torch.save({"epoch": 1, "model": Attack(marker)}, tmp_path / "x.pt")
    with pytest.raises(UserError, match="could run code"):
        load_checkpoint(tmp_path / "x.pt", KEYS)
    assert not marker.exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text", "empty", "pickle", "other zip"])
def test_damaged_and_foreign_files(tmp_path, damage):
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


def test_other_keys(tmp_path):
    save_checkpoint(tmp_path / "x.pt", {"state": 1})
    with pytest.raises(UserError, match="foreign file: expected a checkpoint with epoch, model"):
        load_checkpoint(tmp_path / "x.pt", KEYS)


def test_file_that_claims_more_than_any_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.checkpoints.MAX_BYTES", 100)
    with pytest.raises(UserError, match="no checkpoint of ours"):
        load_checkpoint(good(tmp_path / "x.pt"), KEYS)


def test_weights_of_another_network(tmp_path):
    with pytest.raises(UserError, match="another network"):
        load_weights(build_model("linear"), build_model("standard_fc").state_dict(), tmp_path / "x.pt")
    with pytest.raises(UserError, match="another network"):
        load_weights(build_model("linear"), [1, 2], tmp_path / "x.pt")


def test_old_file_stays_when_the_new_one_cannot_be_written(tmp_path, monkeypatch):
    path = good(tmp_path / "x.pt")
    before = path.read_bytes()

    def full_disk(file, _content):
        file.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, {"epoch": 2, "model": {}})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.pt"]


def test_trained_model_is_in_eval_mode_and_its_files_are_named_when_missing(finished_run, tmp_path):
    assert not load_trained(finished_run).training
    (tmp_path / "config.json").write_text('{"model": "linear"}')
    with pytest.raises(UserError, match=r"best.pt is missing"):
        load_trained(type(finished_run)(tmp_path))
