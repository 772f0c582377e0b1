"""Puts the tables that the benchmarks printed last into README.md and docs/, each between its two marks.

python benchmarks/readme_tables.py
"""

import re

from benchmarks.results import read
from utils.errors import exit_on_user_error
from utils.paths import PROJECT_FOLDER

DOCUMENTS = (
    PROJECT_FOLDER / "README.md",
    PROJECT_FOLDER / "docs" / "techniques.md",
    PROJECT_FOLDER / "docs" / "cluster.md",
    PROJECT_FOLDER / "docs" / "generalisation.md",
)


def with_tables(text: str) -> str:
    """The text with the table of benchmarks/output/NAME.json between each `<!-- table NAME -->` and `<!-- end -->`."""
    return re.sub(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", _table, text, flags=re.DOTALL)


def _table(found: re.Match[str]) -> str:
    result = read(found[2])
    made_on = f"{result['machine']}, torch {result['torch']}, {result['date']}."
    return f"{found[1]}{result['table']}\n\n{made_on}\n{found[3]}"


if __name__ == "__main__":
    with exit_on_user_error():
        for document in DOCUMENTS:
            document.write_text(with_tables(document.read_text()))
