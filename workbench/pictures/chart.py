"""A chart as a value: plots side by side, each with curves, error bars and shaded bands.

Two back ends draw it: Plotly where a reader can point and click (`chart_live`), and Matplotlib for
PNG, SVG and print (`chart_still`), since Plotly needs a browser to make a picture. All of what is
said and shown, from labels to colours, is in this description.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = ["DASHES", "SYMBOLS", "Band", "Chart", "Curve", "Plot"]

#: Line styles and markers by name; the back ends draw each of them.
DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "x", "star")

#: Numbers of one column: a list, an array or a pandas series.
Numbers = Any


@dataclass(frozen=True, eq=False)
class Curve:
    """Points joined by a line.

    Attributes:
        name: of the curve; plain text.
        x, y: its points.
        colour: `#rrggbb`.
        low, high: ends of each point's interval, or None.
        dash, symbol: one of `DASHES`, and one of `SYMBOLS` or empty for no markers.
        hollow: whether markers are outlines.
        width, opacity: of the line, in points, and from 0 to 1.
        listed: whether the legend names it.
        tip: text of a point, where `{name}`, `{x}`, `{y:.2f}` and `{customdata[0]:.2f}` stand for
            its values; empty for none.
        customdata: further columns of numbers, for `tip`.
    """

    name: str
    x: Numbers
    y: Numbers
    colour: str
    low: Numbers = None
    high: Numbers = None
    dash: str = "solid"
    symbol: str = ""
    hollow: bool = False
    width: float = 2.0
    opacity: float = 1.0
    listed: bool = True
    tip: str = ""
    customdata: Numbers = None


@dataclass(frozen=True)
class Band:
    """A shaded stretch of the x axis, with its name above."""

    low: float
    high: float
    name: str


@dataclass(frozen=True, eq=False)
class Plot:
    """One pair of axes.

    Attributes:
        curves: what is drawn.
        x_title, y_title: names of the axes, with units.
        title: above it; empty for none.
        x_range, y_range: ends of the axes; None for one that the data decides.
        bands: shaded stretches.
    """

    curves: Sequence[Curve]
    x_title: str
    y_title: str
    title: str = ""
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float | None] | None = None
    bands: Sequence[Band] = ()


@dataclass(frozen=True, eq=False)
class Chart:
    """Plots side by side.

    Attributes:
        plots: at least one.
        title, subtitle: above all; plain text. With several plots, only the picture has them.
        key: a zoom in the page stays while this is the same.
        height: in pixels of a page.
        legend: beside the last plot, or above it.
    """

    plots: Sequence[Plot]
    title: str
    subtitle: str = ""
    key: str = ""
    height: int = 440
    legend: Literal["beside", "above"] = "beside"
