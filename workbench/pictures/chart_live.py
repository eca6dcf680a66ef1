"""A chart as a Plotly figure, for a reader who can point and click."""

from __future__ import annotations

import re
from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.pictures.chart import Chart, Curve, Plot
from workbench.pictures.theme import GRID, INK, plain_layout, plotly_text

__all__ = ["live_figure"]

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
