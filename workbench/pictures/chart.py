"""A chart: plots side by side, each with curves, error bars and shaded bands.

It is a value, which two back ends draw: Plotly where a reader can point and click, and Matplotlib
for PNG, SVG and print, since Plotly needs a browser to make a picture. All of what is said and
shown, from labels to colours, is in the value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from plotly.subplots import make_subplots

from workbench.pictures.theme import GRID, INK, plain_layout, plotly_text

__all__ = ["DASHES", "SYMBOLS", "Band", "Chart", "Curve", "Plot", "live_figure", "still_figure"]

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


# --- live, with Plotly ----------------------------------------------------------------------------

#: A value in a curve's tip.
_FIELD: Final = re.compile(r"\{(x|y|name|customdata\[\d+\])(:[^}]*)?\}")


def live_figure(chart: Chart) -> go.Figure:
    """Draw a chart. Names are text: no tag in them reaches Plotly."""
    figure = make_subplots(cols=len(chart.plots), horizontal_spacing=0.11)
    for number, plot in enumerate(chart.plots, 1):
        _add_plot(figure, plot, number)
    alone = len(chart.plots) == 1
    title = plotly_text(chart.title) + (f"<br><sup>{plotly_text(chart.subtitle)}</sup>" * alone)
    figure.update_layout(plain_layout(title if alone else "", chart.height), showlegend=True)
    figure.update_layout(uirevision=chart.key or chart.title)
    # What is shown is chosen beside the chart: a legend that hides curves would contradict that.
    figure.update_layout(legend={"itemclick": False, "itemdoubleclick": False})
    if not alone:
        figure.update_layout(title=None)
    if chart.legend == "beside":
        return figure.update_layout(
            legend={"y": 1, "x": 1.01, "xanchor": "left"}, margin={"t": 80, "b": 50, "l": 60}
        )
    return figure.update_layout(
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.09, "yanchor": "bottom"},
        margin={"t": 72, "r": 16, "b": 48, "l": 56},
    )


def _add_plot(figure: go.Figure, plot: Plot, number: int) -> None:
    here: dict[str, Any] = {"row": 1, "col": number}
    axis = "x" if number == 1 else f"x{number}"
    for curve in plot.curves:
        figure.add_scatter(**_scatter(curve), **here)
    for band in plot.bands:
        style = {"fillcolor": INK, "opacity": 0.12, "line_width": 0}
        figure.add_vrect(x0=band.low, x1=band.high, **style, **here)
        text = {"text": plotly_text(band.name), "x": band.low, "xref": axis, "font": {"size": 11}}
        figure.add_annotation(_above(1.0) | text)
    if plot.title:
        text = {"text": f"<b>{plotly_text(plot.title)}</b>", "x": 0, "xref": f"{axis} domain"}
        figure.add_annotation(_above(1.02) | text)
    figure.update_xaxes(
        title={"text": plotly_text(plot.x_title), "standoff": 8},
        range=plot.x_range,
        gridcolor=GRID,
        zeroline=False,
        **here,
    )
    figure.update_yaxes(
        title=plotly_text(plot.y_title), range=plot.y_range, gridcolor=GRID, zeroline=False, **here
    )


def _scatter(curve: Curve) -> dict[str, Any]:
    made: dict[str, Any] = {
        "x": curve.x,
        "y": curve.y,
        "name": plotly_text(curve.name),
        "meta": curve.name,
        "mode": "lines+markers" if curve.symbol else "lines",
        "line": {"color": curve.colour, "dash": curve.dash, "width": curve.width},
        "opacity": curve.opacity,
        "showlegend": curve.listed,
        "customdata": curve.customdata,
    }
    if curve.symbol:
        made["marker"] = {"size": 8, "symbol": curve.symbol + "-open" * curve.hollow}
    if curve.tip:
        made["hovertemplate"] = _FIELD.sub(_field, plotly_text(curve.tip)) + "<extra></extra>"
    else:
        made["hoverinfo"] = "skip"
    if curve.low is not None:
        made["error_y"] = {
            "type": "data",
            "array": curve.high - curve.y,
            "arrayminus": curve.y - curve.low,
            "thickness": 1.2,
            "width": 3,
        }
    return made


def _field(found: re.Match[str]) -> str:
    name = "fullData.name" if found[1] == "name" else found[1]
    return f"%{{{name}{found[2] or ''}}}"


def _above(y: float) -> dict[str, Any]:
    """A text whose lower left corner lies at this height of the axes."""
    place = {"yref": "paper", "y": y, "xanchor": "left", "yanchor": "bottom"}
    return {"showarrow": False} | place


# --- in print, with Matplotlib --------------------------------------------------------------------

#: Matplotlib's names of our line styles and markers.
_DASHES: Final[dict[str, Any]] = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
    "longdashdot": (0, (8, 3, 2, 3)),
}
_SYMBOLS: Final = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "x": "X",
    "star": "*",
    "": "none",
}
_GREY: Final = "#444444"


def still_figure(chart: Chart, *below: Chart) -> Figure:
    """Draw a chart, and others below it."""
    charts = (chart, *below)
    sizes = [_size(one) for one in charts]
    across, down = max(size[0] for size in sizes), sum(size[1] for size in sizes)
    figure = Figure(figsize=(across, down), layout="constrained")
    if not below:
        _fill(figure, chart)
        return figure
    heights = [size[1] for size in sizes]
    parts = figure.subfigures(len(charts), 1, squeeze=False, height_ratios=heights)
    for part, one in zip(parts[:, 0], charts, strict=True):
        _fill(part, one)
    return figure


def _size(chart: Chart) -> tuple[float, float]:
    """Inches across and down."""
    return (9, 4.4) if len(chart.plots) == 1 else (5 * len(chart.plots), 3.6)


def _fill(figure: FigureBase, chart: Chart) -> None:
    count = len(chart.plots)
    for axes, plot in zip(figure.subplots(1, count, squeeze=False)[0], chart.plots, strict=True):
        _draw(axes, plot)
        if count > 1 and chart.legend == "above" and any(curve.listed for curve in plot.curves):
            axes.legend(frameon=False, fontsize=8)
    if count > 1:
        figure.suptitle(chart.title, fontsize=11)
    else:
        # Above the axes, which leave the legend's column alone: the title may run over that.
        axes.set_title(chart.title, fontsize=11, loc="left", pad=30)
        axes.text(0, 1.075, chart.subtitle, fontsize=8, color=_GREY, transform=axes.transAxes)
    if chart.legend == "beside" and any(curve.listed for curve in chart.plots[-1].curves):
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=9)


def _draw(axes: Axes, plot: Plot) -> None:
    for band in plot.bands:
        axes.axvspan(band.low, band.high, color=INK, alpha=0.12, linewidth=0)
        where = axes.get_xaxis_transform()
        axes.text(band.low, 1.005, band.name, fontsize=8, color=_GREY, va="bottom", transform=where)
    for curve in plot.curves:
        _draw_curve(axes, curve)
    if plot.title:
        axes.set_title(plot.title)
    axes.set(xlabel=plot.x_title, ylabel=plot.y_title)
    if plot.x_range is not None:
        axes.set_xlim(plot.x_range)
    if plot.y_range is not None:
        axes.set_ylim(*plot.y_range)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_curve(axes: Axes, curve: Curve) -> None:
    style: dict[str, Any] = {
        "color": curve.colour,
        "linestyle": _DASHES[curve.dash],
        "linewidth": curve.width,
        "alpha": curve.opacity,
        "marker": _SYMBOLS[curve.symbol],
        "markersize": 6,
        "fillstyle": "none" if curve.hollow else "full",
        "label": curve.name if curve.listed else f"_{curve.name}",
    }
    if curve.low is None:
        axes.plot(curve.x, curve.y, **style)
        return
    ends = [curve.y - curve.low, curve.high - curve.y]
    axes.errorbar(curve.x, curve.y, yerr=ends, elinewidth=1, capsize=2, **style)
