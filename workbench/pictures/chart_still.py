"""A chart in print: a Matplotlib figure on white."""

from __future__ import annotations

from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

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
