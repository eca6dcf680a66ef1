"""Numbers in words and guesses at what was meant, as messages and pages have them."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from html import escape

__all__ = ["as_html", "counted", "did_you_mean", "duration", "duration_range", "isolated", "meant"]


def counted(number: int, what: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def isolated(name: str) -> str:
    """A name for the middle of a line: letters written from right to left move nothing around it.

    Signs of Unicode enclose such a name, which are not seen; any other name stays as it is.
    """
    leftward = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in name)
    return f"\u2068{name}\u2069" if leftward else name


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """How a sentence about an unknown name ends: `; did you mean 'tiny'?`, or with a full stop."""
    return f"; {found}" if (found := meant(name, known)) else "."


def meant(name: str, known: Iterable[str]) -> str:
    """`did you mean 'tiny'?`, or nothing if no known name is like it."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {close[0]!r}?" if close else ""


def duration(seconds: float) -> str:
    """`40 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s" if seconds else "0 s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def duration_range(seconds: float) -> str:
    """`4-9 s`, `2-5 min`, `3-8 h`: an estimated time, within a factor of 1.5."""
    low, high = seconds / 1.5, seconds * 1.5
    if high < 3:
        return "1-3 s"
    size, unit = (1, "s") if high < 90 else (60, "min") if high < 90 * 60 else (3600, "h")
    coarse = 5 if high / size > 30 else 1
    first = max(1, coarse * round(low / size / coarse))
    last = max(first + 1, coarse * round(high / size / coarse))
    return f"{first}-{last} {unit}"


def as_html(text: str) -> str:
    """Lines of text as a notebook shows them, in letters of one width."""
    return f'<pre style="font-family: monospace; white-space: pre-wrap">{escape(text)}</pre>'
