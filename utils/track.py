"""Progress of long loops: a bar in a terminal, otherwise lines."""

import io
import sys
from typing import Any

from tqdm import tqdm

FIRST_LINE_SECONDS, LINE_SECONDS = 2.0, 10.0


class track(tqdm):
    """tqdm that leaves no bar behind. Without a terminal it writes a line after two seconds, then every ten."""

    def __init__(self, iterable: Any = None, **options: Any) -> None:
        self.is_terminal = sys.stderr.isatty()
        self.next_line_seconds = FIRST_LINE_SECONDS
        if not self.is_terminal:
            options |= {"mininterval": FIRST_LINE_SECONDS, "maxinterval": LINE_SECONDS, "file": io.StringIO()}
        super().__init__(iterable, leave=False, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Called by tqdm whenever there is something new to show."""
        seconds = self.format_dict["elapsed"]
        if self.is_terminal:
            super().display(msg, pos)
        elif msg is None and seconds >= self.next_line_seconds:
            self.next_line_seconds = seconds + LINE_SECONDS
            number = tqdm.format_sizeof if self.unit_scale else "{:,}".format
            total = f" of {number(self.total)}" if self.total else ""
            print(f"{self.desc or 'done'}: {number(self.n)}{total}, {seconds:.0f} s", file=sys.stderr, flush=True)
