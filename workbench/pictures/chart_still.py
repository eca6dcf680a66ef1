"""A chart in print: a Matplotlib figure on white."""

from __future__ import annotations

from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.pictures.chart import Chart, Curve, Plot
from workbench.pictures.theme import INK

__all__ = ["still_figure"]

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


def still_figure(chart: Chart) -> Figure:
    """Draw a chart."""
    count = len(chart.plots)
    size = (9, 4.4) if count == 1 else (5 * count, 3.6)
    figure = Figure(figsize=size, layout="constrained")
    for axes, plot in zip(figure.subplots(1, count, squeeze=False)[0], chart.plots, strict=True):
        _draw(axes, plot)
    if count > 1:
        figure.suptitle(chart.title, fontsize=11)
    else:
        # Above the axes, which leave the legend's column alone: the title may run over that.
        axes.set_title(chart.title, fontsize=11, loc="left", pad=30)
        axes.text(0, 1.075, chart.subtitle, fontsize=8, color=_GREY, transform=axes.transAxes)
    if any(curve.listed for curve in chart.plots[-1].curves):
        beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "fontsize": 9}
        axes.legend(frameon=False, **(beside if chart.legend == "beside" else {}))
    return figure


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
