"""A line of text beside a view: a verdict, a note, or an error in place. Text is only text."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import anywidget
import traitlets

__all__ = ["TextLine"]

STATIC: Final = Path(__file__).parent

LineKind = Literal["", "good", "bad", "note", "error"]


class TextLine(anywidget.AnyWidget):
    """One or more lines of text, with a sign of their kind in front.

    Attributes:
        text: its text; empty for none.
        kind: `good` and `bad` (verdicts), `note`, `error`, or empty for plain text.
        quiet: whether an empty line takes no room. Otherwise nothing below it jumps.
    """

    _esm = STATIC / "text_line.js"
    _css = STATIC / "text_line.css"

    text = traitlets.Unicode("").tag(sync=True)
    kind = traitlets.Unicode("").tag(sync=True)
    quiet = traitlets.Bool(False).tag(sync=True)

    def say(self, text: str, kind: LineKind = "") -> None:
        """Show this instead."""
        with self.hold_sync():
            self.text, self.kind = text, kind
