"""Plain, aligned output for people; colour only on a terminal and without ``NO_COLOR``.

Text that came from elsewhere (answers, claims, log lines) goes through :func:`printable` first, so that it
cannot move the cursor or hide anything. Reads the environment when a :class:`Terminal` is made, never at
import.
"""

import os
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where output goes and whether it may be coloured."""

    stream: TextIO
    colour: bool

    @classmethod
    def standard(cls) -> "Terminal":
        """Standard output; see https://no-color.org for ``NO_COLOR``."""
        return cls(stream=sys.stdout, colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))

    def style(self, text: str, name: str) -> str:
        """``text`` in a style, where styles are shown."""
        return f"\x1b[{_STYLES[name]}m{text}\x1b[0m" if self.colour else text

    def line(self, text: str = "") -> None:
        """One line, at once."""
        print(text, file=self.stream, flush=True)

    def heading(self, text: str) -> None:
        """A line that opens a part."""
        self.line(self.style(text, "bold"))

    def step(self, passed: bool, text: str, note: str = "") -> None:
        """A step of a tour and how it came out."""
        mark = self.style("ok  ", "green") if passed else self.style("FAIL", "red")
        self.line(f"  {mark} {text}" + (f"  {self.style(note, 'dim')}" if note else ""))

    def table(self, rows: Sequence[Sequence[str]], *, indent: int = 2) -> None:
        """Left-aligned columns; the last one is not padded."""
        if not rows:
            return
        widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = [text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True)]
            self.line(" " * indent + "  ".join(cells).rstrip())


def printable(text: str, *, most: int = 2000) -> str:
    """``text`` without control characters and bounded in length."""
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text[:most])
    return shown + ("…" if len(text) > most else "")


def _width(text: str) -> int:
    """Columns on a terminal: East Asian wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
