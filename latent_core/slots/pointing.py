"""A part of a typed text that knows where it stands, so that an error can point at it.

unknown place 'Comm' at column 9; did you mean 'Comma'?
    Start_1+Comm_2
            ^^^^
"""

from __future__ import annotations

from typing import Final, TypeVar

from latent_core.errors import LatentError

__all__ = ["Part", "clipped", "pointed", "sentence_and_lines"]

Kind = TypeVar("Kind", bound=LatentError)

#: Characters of a long text that an error shows on either side of the mistake.
_AROUND: Final = 60


class Part(str):
    """Some characters of a text.

    Attributes:
        source: the whole text.
        start: index of the first character in it.
        length: characters that it takes there, quotes included.
    """

    __slots__ = ("length", "source", "start")
    source: str
    start: int
    length: int

    def __new__(
        cls, text: str, source: str | None = None, start: int = 0, length: int | None = None
    ) -> Part:
        """A part of `source`; without one, a text by itself."""
        part = super().__new__(cls, text)
        part.source = str(text) if source is None else source
        part.start = start
        part.length = len(text) if length is None else length
        return part

    def __repr__(self) -> str:
        """The text in quotes, cut where it is long: as errors show it."""
        return clipped(self)

    def within(self, first: int, last: int) -> Part:
        """The characters from index `first` to before index `last`."""
        return Part(self[first:last], self.source, self.start + first)

    def fault(self, error: type[Kind], wrong: str, fix: str) -> Kind:
        """The error that points here: what is wrong, the column, and what to write instead."""
        said = f"{wrong} at column {self.start + 1}; {fix}"
        return error(said + pointed(self.source, self.start, self.length))


def pointed(source: str, at: int, length: int = 1, note: str = "") -> str:
    """Two lines: the text around an index, and carets under `length` characters from there on.

    An empty text has none.
    """
    if not source:
        return ""
    first = max(0, at - _AROUND)
    last = min(len(source), at + _AROUND)
    before, after = "…" * (first > 0), "…" * (last < len(source))
    shown = before + "".join(map(_visible, source[first:last])) + after
    carets = "^" * max(1, min(length, last - at))
    margin = " " * (len(before) + at - first)
    return f"\n    {shown}\n    {margin}{carets} {note}".rstrip()


def sentence_and_lines(error: BaseException) -> tuple[str, str]:
    """What an error says, and the two lines by which it points into a text, if it does."""
    sentence, found, lines = str(error).partition("\n    ")
    return sentence, f"    {lines}" if found else ""


def clipped(text: str, most: int = 40) -> str:
    """A text in quotes for a sentence, cut where it is long."""
    return repr(str(text) if len(text) <= most else f"{text[:most]}…")


def _visible(char: str) -> str:
    """The character, or another one where it would move the line or the cursor."""
    return char if char.isprintable() else " " if char.isspace() else "?"
