"""The one way to the terminal: text of others stays text, and no table loses its first column.

Names of methods, paths, answers and error texts may come from strangers. Square brackets in them
are no markup, and control characters are shown as `?` rather than obeyed.
"""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Final, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column, Table

__all__ = ["Terminal", "fit_numbers", "keep_first_column", "neutral", "neutral_warnings", "say"]

#: What moves the cursor, changes colours or the direction of writing, or cannot be encoded.
_CONTROLS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
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
