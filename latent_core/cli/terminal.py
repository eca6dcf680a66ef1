"""The one way to the terminal: text of others stays text, and no table loses its first column.

Names of methods, paths, answers and error texts may come from strangers. Square brackets in them
are no markup, and control characters are shown as `?` rather than obeyed.
"""

from __future__ import annotations

import contextlib
import copy
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment, SegmentLines
from rich.table import Column, Table
from rich.text import Text

__all__ = [
    "Terminal",
    "fit_numbers",
    "keep_first_column",
    "neutral",
    "neutral_warnings",
    "print_rows",
    "say",
]

#: What moves the cursor, changes colours or the direction of writing, or cannot be encoded.
_CONTROLS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
#: What stands for a cell of each column while Rich lays a row out; from the private use area.
_MARK: Final = 0xF0000
#: Room for the first column's words, where they do not fit as they are.
_LEAST: Final = 12


def neutral(text: str) -> str:
    """The text with `?` in place of each control character; line breaks and tabs stay."""
    return _CONTROLS.sub("?", text)


def say(text: str) -> None:
    """Say something beside the output: a warning, an error."""
    print(neutral(text), file=sys.stderr)


@contextlib.contextmanager
def neutral_warnings() -> Iterator[None]:
    """Inside the block, warnings, which name folders of others, go through `say`."""
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        say(warnings.formatwarning(message, category, filename, lineno, line).rstrip("\n"))

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


class Terminal(Console):
    """A console that takes no text for markup or emoji, and obeys no control character in it."""

    def __init__(self, quiet: bool = False) -> None:
        super().__init__(quiet=quiet, markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See `Console.render`."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else neutral(text), style, control)


def keep_first_column(table: Table, width: int) -> None:
    """Give the first column its room; in a narrow terminal its words break, but stay."""
    first = table.columns[0]
    first.width = min(_needed(first), max(_LEAST, width // 4))


def fit_numbers(table: Table, width: int, keep: int) -> list[str]:
    """Leave out columns at the right until the table fits.

    Args:
        table: of numbers, whose padding is 0.
        width: of the terminal.
        keep: how many columns at the left stay in any case.

    Returns:
        headings of the columns that were left out.
    """
    whole = _needed(table.columns[0])
    gone: list[str] = []
    while len(table.columns) > keep:
        others = sum(_needed(column) + 1 for column in table.columns[1:])
        if min(whole, _LEAST) + others <= width:
            break
        gone.insert(0, " ".join(str(table.columns.pop().header).split()))
    others = sum(_needed(column) + 1 for column in table.columns[1:])
    table.columns[0].width = max(1, min(whole, max(_LEAST, width - others)))
    return gone


def _needed(column: Column) -> int:
    """The width at which no word of a heading and no line of a cell is broken."""
    texts = [*str(column.header).split(), *(t for c in column.cells for t in str(c).split("\n"))]
    return max((cell_len(text) for text in texts), default=1)


def print_rows(console: Console, table: Table, rows: Iterable[Sequence[str]]) -> None:
    """Print a table of many rows: what Rich prints, in a tenth of the time.

    Rich lays out one row, whose cells are as wide as the widest of their columns need. The others
    are filled into it. Only a cell that does not fit as it is, Rich breaks into lines.

    Args:
        console: prints the table.
        table: its columns, without rows.
        rows: the texts of each row, one for each column.
    """
    rows = [tuple(row) for row in rows]
    cells = list(zip(*rows, strict=True)) or [()] * len(table.columns)
    marks = [_Mark(number, set(texts)) for number, texts in enumerate(cells)]
    pattern = copy.deepcopy(table)
    pattern.add_row(*marks)
    lines = console.render_lines(pattern, pad=False)
    texts = ["".join(segment.text for segment in line) for line in lines]
    place = next((number for number, text in enumerate(texts) if marks[0].sign in text), 0)
    gaps = re.split("|".join(f"{mark.sign}+" for mark in marks), texts[place])
    if any(not 0 < mark.width == texts[place].count(mark.sign) for mark in marks):
        # Not every column has room.
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
        return
    found: list[str] = []
    for row in rows:
        columns = zip(row, table.columns, marks, strict=True)
        parts = [_lines(console, text, column, mark.width) for text, column, mark in columns]
        for number in range(max(map(len, parts))):
            shown = (
                part[number] if number < len(part) else " " * mark.width
                for part, mark in zip(parts, marks, strict=True)
            )
            pairs = zip(gaps, (*shown, ""), strict=True)
            found.append("".join(text for pair in pairs for text in pair))
    console.print(SegmentLines(lines[:place], new_lines=True))
    console.out("\n".join(found), highlight=False)
    console.print(SegmentLines(lines[place + 1 :], new_lines=True))


class _Mark:
    """A cell that needs the room of several, and keeps the width that its column got."""

    def __init__(self, number: int, texts: Iterable[str]) -> None:
        self.sign, self._texts, self.width = chr(_MARK + number), texts, 0

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        least, most = 0, 0
        for text in self._texts:
            if _is_plain(text):
                size = (max(map(len, text.split()), default=0), len(text))
            else:
                size = Measurement.get(console, options, Text(text))[:2]
            least, most = max(least, size[0]), max(most, size[1])
        return Measurement(least, most)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        self.width = options.max_width
        yield Segment(self.sign * self.width)


def _is_plain(text: str) -> bool:
    """Whether each character is one place wide, and none is a line break or a tab."""
    return text.isascii() and text.isprintable()


def _lines(console: Console, text: str, column: Column, width: int) -> list[str]:
    """The lines of a cell, each as wide as the column."""
    folded = " " not in text and column.overflow == "fold" and not column.no_wrap
    if _is_plain(text) and (len(text) <= width or folded):
        pieces = [text[start : start + width] for start in range(0, max(1, len(text)), width)]
        if column.justify == "right":
            return [piece.rstrip().rjust(width) for piece in pieces]
        return [piece.ljust(width) for piece in pieces]
    options = console.options.update(
        width=width, justify=column.justify, no_wrap=column.no_wrap, overflow=column.overflow
    )
    lines = console.render_lines(Text(text), options)
    return ["".join(segment.text for segment in line) for line in lines]
