"""Text beside a view: a line with a verdict, a note or an error; an error with its place as HTML.

Text is only text.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final, Literal

import anywidget
import traitlets

from latent_core.slots.pointing import sentence_and_lines

__all__ = ["TextLine", "error_html"]

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


def error_html(error: BaseException) -> str:
    """The error's text, escaped."""
    sentence, lines = sentence_and_lines(error)
    style = "margin: 2px 0; overflow-x: auto; line-height: 1.3"
    return escape(sentence) + (f'<pre style="{style}">{escape(lines)}</pre>' if lines else "")
