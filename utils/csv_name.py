"""The name of a data set in CSV files: `csv:FILE[,FILE...]`, with `,test=FILE` or `,test=SHARE` where wanted."""

import re
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError

TEST_SHARE = 0.2  # of the digits where no test set is named
FORM = "csv:FILE[,FILE...][,test=FILE or share]"


@dataclass(frozen=True)
class CsvName:
    """Which files hold the training digits, and which the test digits or what share of the former these are."""

    train_files: tuple[str, ...]
    test_files: tuple[str, ...] = ()
    test_share: float = TEST_SHARE

    @staticmethod
    def parse(name: str) -> "CsvName":
        """Raises UserError where no training file is named."""
        entries = [entry for entry in name.removeprefix("csv:").split(",") if entry]
        train_files = tuple(entry for entry in entries if not entry.startswith("test="))
        test = tuple(entry.removeprefix("test=") for entry in entries if entry.startswith("test="))
        if not train_files:
            raise UserError(f"'{name}' names no training file: expected {FORM}")
        if len(test) == 1 and re.fullmatch(r"0?\.\d+", test[0]):
            return CsvName(train_files, test_share=float(test[0]))
        return CsvName(train_files, test)

    def __str__(self) -> str:
        """The name, its files from the root: a run is judged later from other folders."""
        entries = [str(Path(file).absolute()) for file in self.train_files]
        entries += [f"test={Path(file).absolute()}" for file in self.test_files]
        if not self.test_files and self.test_share != TEST_SHARE:
            entries.append(f"test={self.test_share}")
        return f"csv:{','.join(entries)}"
