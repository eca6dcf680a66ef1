"""The look of all pictures: colours that stay apart, ink for light and dark pages, plain text.

Colours stay apart for colour-blind readers. Four are those of Okabe & Ito (2008). The others are
far from these and from each other, in CIELAB, for eyes with and without red or green cones. Each
has a contrast of at least 3:1 with white and with JupyterLab's dark page, so its luminance lies
between 0.12 and 0.30.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any, Final

__all__ = [
    "DIVERGING",
    "GRID",
    "INK",
    "SEQUENTIAL",
    "ColourScale",
    "colours_of",
    "ink_on",
    "plain_layout",
    "plotly_text",
    "show_spaces",
    "visible",
]


@dataclass(frozen=True)
class ColourScale:
    """Colours from the lowest value to the highest, evenly spaced, `#rrggbb`.

    Attributes:
        light, dark: on a light and on a dark page; of the same length.
    """

    light: tuple[str, ...]
    dark: tuple[str, ...]


_VIRIDIS: Final = (
    *("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30"),
    "#fde725",
)
#: For values from zero up.
SEQUENTIAL: Final = ColourScale(_VIRIDIS, _VIRIDIS)
#: For values on both sides of zero. Zero has the colour of the page, so that differences stand out.
DIVERGING: Final = ColourScale(
    ("#0b4f96", "#5b9bd0", "#f4f4f4", "#e88b5a", "#a63603"),
    ("#9ad1ff", "#3b82c4", "#2a2a2a", "#c4602d", "#ffb98f"),
)

_COLOURS: Final = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#4B87FF", "#008490"),
    *("#5A4BFF", "#D2003C", "#D824C0", "#8C6BB1"),
)
#: Relative luminance at which black and white text have the same contrast (WCAG 2).
_BALANCE: Final = 0.179


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """Give each distinct name a colour, in the order of first appearance."""
    distinct = list(dict.fromkeys(names))
    return {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(distinct)}


def ink_on(colour: str) -> str:
    """Choose black or white, whichever reads better on a colour `#rrggbb`."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if light > _BALANCE else "#ffffff"


# --- ink and text ---------------------------------------------------------------------------------

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
