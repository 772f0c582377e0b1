"""The documents agree with the code: commands, metrics, data sets, links, and the size of the README."""

import importlib.util
import inspect
import re
import shlex
from itertools import takewhile

import pytest

from mnist import COMMANDS, load_command, split_command
from study.scorecard import METRICS
from utils.cli import parse_command_line
from utils.data.datasets import dataset_names
from utils.files import PROJECT_FOLDER

DOCS = PROJECT_FOLDER / "docs"
OTHERS = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "data/README.md")
PACKAGES = ("data_inspection", "model_interpretation", "models", "study", "trainers", "utils")
DOCUMENTS = [*(PROJECT_FOLDER / name for name in OTHERS), *sorted(DOCS.rglob("*.md"))]


def text_of(name):
    return (PROJECT_FOLDER / name).read_text(encoding="utf-8")


def bash_commands(text):
    """The lines of the bash blocks that start with `mnist`."""
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("mnist ")]


def test_the_readme_has_at_most_ten_kilobytes():
    assert len(text_of("README.md").encode()) <= 10_000


def test_the_page_of_commands_is_that_of_the_code():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.COMMANDS_PAGE.read_text(encoding="utf-8") == generate.commands_page(), (
        "docs/commands.md is out of date: run python docs/generate.py"
    )


def test_every_command_in_a_bash_block_exists_and_accepts_its_options():
    lines = sorted({line for path in DOCUMENTS for line in bash_commands(path.read_text(encoding="utf-8"))})
    assert len(lines) > 50
    for line in lines:
        words = takewhile(lambda word: word != "|", shlex.split(line, comments=True))
        name, arguments = split_command(list(words)[1:])
        parse_command_line(load_command(name)[1], arguments, f"mnist {name}", "")  # raises UserError otherwise


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(PROJECT_FOLDER).as_posix())
def test_commands_in_the_text_exist(path):
    for words in re.findall(r"`mnist ([a-z][a-z -]*)", path.read_text(encoding="utf-8")):
        assert words.split()[0] in {name.split()[0] for name in COMMANDS}, words


def test_functions_in_the_api_document_exist_with_these_parameters():
    spans = re.findall(r"`((?:\w+\.)+\w+)\((.*?)\)`", text_of("docs/api.md"))
    assert len(spans) > 15
    for name, parameters in spans:
        if name.split(".")[0] not in PACKAGES:
            continue
        module, _, attribute = name.rpartition(".")
        given = [word.split("=")[0].strip("* ") for word in re.sub(r"\(.*?\)", "", parameters).split(",")]
        actual = inspect.signature(getattr(importlib.import_module(module), attribute)).parameters
        assert {word for word in given if word.isidentifier()} <= set(actual), name


def test_every_metric_is_documented():
    """By its id, or by that of the metric that it varies and a suffix that the page explains, such as `ID_fpr95`."""
    text = text_of("docs/scorecard.md")
    suffixes = "|".join(re.findall(r"`ID(_\w+)`", text))
    assert [name for name in METRICS if f"`{re.sub(f'({suffixes})$', '', name)}`" not in text] == []


def test_every_data_set_has_a_section_with_source_licence_command_and_citation():
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text_of("docs/datasets.md"), flags=re.DOTALL | re.M))
    assert set(dataset_names()) <= set(sections)
    for name in dataset_names():
        for fact in ("source", "licence", "command", "citation"):
            assert fact in re.sub(r"[^*]*\*\*(.*?)\*\*[^*]*", r"\1 ", sections[name]).lower(), (name, fact)
        assert f"[`{name}`](#{name})" in text_of("docs/datasets.md")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(PROJECT_FOLDER).as_posix())
def test_links_to_files_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s#]+)", text):
        assert "://" in target or (path.parent / target).exists(), target
