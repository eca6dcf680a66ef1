"""Ink that reads on light and dark pages, and text that is only data, for all pictures."""

from __future__ import annotations

from html import escape
from typing import Any, Final

__all__ = ["GRID", "INK", "plain_layout", "plotly_text", "show_spaces", "visible"]

INK: Final = "#7f7f7f"  # readable on white and on JupyterLab's dark grey
GRID: Final = "rgba(127,127,127,0.2)"

#: White space and control characters as signs; Unicode has a picture of each control character.
_SPACES: Final = {code: chr(0x2400 + code) for code in range(0x20)} | str.maketrans(
    {"\n": "⏎", "\t": "⇥", " ": "␣"}
)


def show_spaces(text: str) -> str:
    """Make white space and control characters visible."""
    return text.translate(_SPACES)


def plotly_text(text: str) -> str:
    """Keep Plotly from obeying tags in a text. It reads `&lt;` and `&amp;`, but not `&quot;`."""
    return escape(text, quote=False)


def visible(text: str) -> str:
    """Make a token a Plotly label: white space visible, and no tag that Plotly would obey."""
    return plotly_text(show_spaces(text))


def plain_layout(title: str, height: int) -> dict[str, Any]:
    """A Plotly layout without a background of its own, and without a button that uploads it."""
    return {
        "modebar": {"remove": ["sendChartToCloud"]},
        "title": {"text": title, "font": {"size": 15}},
        "font": {"color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "height": height,
        "margin": {"t": 60, "r": 20},
    }
