"""An error as HTML: its sentence and, in type of one width, the text that it points into."""

from __future__ import annotations

from html import escape

from latent_core.slots.pointing import sentence_and_lines

__all__ = ["error_html"]


def error_html(error: BaseException) -> str:
    """The error's text, escaped."""
    sentence, lines = sentence_and_lines(error)
    style = "margin: 2px 0; overflow-x: auto; line-height: 1.3"
    return escape(sentence) + (f'<pre style="{style}">{escape(lines)}</pre>' if lines else "")
