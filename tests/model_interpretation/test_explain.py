"""`mnist explain`: one overview page with the pictures of all interpretation commands."""

import re

import pytest

from utils.figures import MAX_PICTURE_BYTES
from utils.navigation import OVERVIEW


def test_the_overview_shows_the_pictures_of_every_command(command, copied_run, tmp_path):
    code, out, _ = command("explain", str(copied_run), "--output", str(tmp_path))
    assert code == 0 and OVERVIEW in out
    folder = tmp_path / copied_run.name
    overview = (folder / OVERVIEW).read_text()
    pages = {page.parent.name.split("-")[0] for page in folder.glob("*/*.html")}
    assert pages == {"activations", "attribution", "features", "embeddings"}
    for picture in folder.glob("*/*.png"):
        assert f'src="{picture.parent.name}/{picture.name}"' in overview
    assert all(picture.stat().st_size <= MAX_PICTURE_BYTES for picture in folder.rglob("*.png"))
    assert all(page.stat().st_size <= 5_000_000 for page in folder.rglob("*.html"))
    names = {path.stem.replace("_", " ") for path in folder.glob("*/*.svg")}
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", "".join(p.read_text() for p in folder.glob("*/*.html")))
    assert captions and not [text for text in captions if text in names or len(text) < 30]  # sentences, not file names
    assert 'href="report.html"' in overview and f'href="{OVERVIEW}"' in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--id", "359"], "expected 0 to 358"),
        (["--id", "1", "--image", "x.png"], "leave one of them out"),
        (["--image", "nothing.png"], "nothing.png"),
        (["--digit", "3"], "--digit"),
        (["another"], "another"),
    ],
)
def test_bad_input_of_the_command(command, copied_run, tmp_path, flags, message):
    code, _, error = command("explain", str(copied_run), "--output", str(tmp_path / "none"), *flags)
    assert code == 2 and message in error and error.count("\n") <= 2
    assert not (tmp_path / "none").exists()
