"""A drawing as a value: boxes, lines, marks and labels at their places, in pixels.

A figure is laid out once (`figures`). As SVG it stands in the report and in the workbench's panel,
where its colours follow the page's theme. The workbench paints the same drawing for PNG and print.
Shapes tell things apart, not colours alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from markupsafe import Markup

from latent_core.templates import renderer

__all__ = ["PALETTES", "STYLE", "Box", "Drawing", "Label", "Line", "Mark", "Style", "Symbol", "svg"]

_render: Final = renderer(Path(__file__).parent)

Style = Literal[
    "ink", "soft", "grid", "main", "edge", "dashed", "supported", "refuted", "inconclusive"
]
Symbol = Literal["circle", "cross", "diamond", "tick"]

#: Colours by theme. `edge` and `dashed` are styles of a line, in the colours of `main` and `soft`.
PALETTES: Final = {
    "light": {
        "paper": "#ffffff",
        "ink": "#1b1b1f",
        "soft": "#5c5f66",
        "grid": "#d5d7db",
        "main": "#1f4e9c",
        "reach": "#e7eef8",
        "supported": "#1a6b35",
        "refuted": "#a3261d",
        "inconclusive": "#7a5a00",
    },
    "dark": {
        "paper": "#17181b",
        "ink": "#e8e8ea",
        "soft": "#a9acb3",
        "grid": "#44474d",
        "main": "#8fb6ff",
        "reach": "#20304a",
        "supported": "#6fd08c",
        "refuted": "#ff9389",
        "inconclusive": "#e6c35c",
    },
    "print": {
        "paper": "#ffffff",
        "ink": "#000000",
        "soft": "#333333",
        "grid": "#999999",
        "main": "#000000",
        "reach": "#eeeeee",
        "supported": "#000000",
        "refuted": "#000000",
        "inconclusive": "#000000",
    },
}


#: CSS of drawings; the page sets a variable for each colour of a palette.
STYLE: Final = Markup(Path(__file__).with_name("drawing.css").read_text(encoding="utf-8"))


class Box(NamedTuple):
    """A shaded region."""

    x: float
    y: float
    width: float
    height: float


class Line(NamedTuple):
    """A straight line between two points."""

    x1: float
    y1: float
    x2: float
    y2: float
    style: Style


class Mark(NamedTuple):
    """A symbol at a point; a hollow one is an outline."""

    x: float
    y: float
    radius: float
    style: Style
    symbol: Symbol = "circle"
    hollow: bool = False


class Label(NamedTuple):
    """A line of text at a point of its base line; `full` is the text before it was cut."""

    x: float
    y: float
    text: str
    style: Style = "ink"
    anchor: Literal["start", "middle", "end"] = "start"
    full: str = ""


class Tip(NamedTuple):
    """A region whose text is shown where the pointer rests on it."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """A figure, laid out.

    Attributes:
        width, height: in pixels, at a letter size of 12.
        caption: what is drawn, for readers who cannot see it.
        boxes, lines, marks, labels: shapes, painted in this order; y grows downward.
        tips: texts for the pointer. They are read out, too.
    """

    width: float
    height: float
    caption: str
    boxes: Sequence[Box] = ()
    lines: Sequence[Line] = ()
    marks: Sequence[Mark] = ()
    labels: Sequence[Label] = ()
    tips: Sequence[Tip] = ()


def svg(drawing: Drawing) -> Markup:
    """Return a drawing as an SVG element, coloured by the CSS of `drawing.css`."""
    return Markup(_render("drawing.svg", drawing=drawing))
