"""`mnist predict --image`: files and folders, what is written, and what cannot be read."""

import csv

import pytest
from PIL import Image


@pytest.fixture
def pictures(tmp_path, digits):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, name in enumerate(["one.png", "two.jpg", "a$b_$^{.png", "four.gif"]):
        Image.fromarray(digits.images[number].numpy()).resize((280, 280)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folder_gets_lines_a_table_and_a_sheet(command, copied_run, pictures, tmp_path):
    code, out, error = command("predict", "--image", str(pictures), "--output", str(tmp_path / "out"), "--display")
    assert code == 0, error
    folder = tmp_path / "out" / copied_run.name / "pictures"
    rows = list(csv.DictReader((folder / "predictions.csv").open()))
    assert [row["file"].rpartition("/")[2] for row in rows] == ["a$b_$^{.png", "four.gif", "one.png", "two.jpg"]
    assert all(row["predicted"] in "0123456789" and 0 < float(row["confidence"]) <= 1 for row in rows)
    assert out.count(" with ") == 4 and "4 read" in out
    assert Image.open(folder / "sheet.png").width > 100


def test_what_cannot_be_read_is_said_after_the_others_are_judged(command, copied_run, pictures, tmp_path):
    (pictures / "five.png").write_bytes(b"five")
    Image.new("L", (100, 100), 255).save(pictures / "six.png")
    code, out, error = command("predict", "--image", str(pictures), "nothing.png", "--output", str(tmp_path / "out"))
    assert code == 2 and out.count(" with ") == 4
    assert "five.png" in error and "six.png" in error and "nothing.png" in error and "3 of 7 pictures" in error


def test_a_name_that_is_no_text(command, copied_run, pictures, tmp_path):
    name = b"seven-\xff.png".decode(errors="surrogateescape")
    (pictures / "one.png").rename(pictures / name)
    code, out, error = command("predict", "--image", str(pictures / name), "--output", str(tmp_path / "out"))
    assert code == 0 and "seven-?.png" in out, error
    code, _, error = command("layers", "--image", str(pictures / name), "--output", str(tmp_path / "out"))
    assert code == 0, error
    code, _, error = command("layers", "--image", str(pictures / "a$b_$^{.png"), "--output", str(tmp_path / "out"))
    assert code == 0, error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image"], "say which"),
        (["--image", "nothing.png"], "cannot read nothing.png"),
        (["--image", "one.png", "--train"], "leave ID"),
        (["3", "--image", "one.png"], "leave ID"),
        (["--image", "one.png", "--dataset", "digits"], "leave ID"),
    ],
)
def test_bad_input(command, copied_run, tmp_path, flags, message):
    code, _, error = command("predict", *flags, "--output", str(tmp_path / "none"))
    assert code == 2 and message in error and len(error.splitlines()) <= 2
    assert not (tmp_path / "none").exists()


def test_a_folder_without_pictures(command, copied_run, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, error = command("predict", "--image", str(tmp_path / "empty"))
    assert code == 2 and "has no pictures" in error
