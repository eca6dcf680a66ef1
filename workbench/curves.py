"""Accuracy against length: one curve per method, the in-distribution region shaded."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from latent_core.statistics import summarise
from latent_core.tasks import Task
from workbench.palette import colours_of

__all__ = ["accuracy_curve"]

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
_INK = "#7f7f7f"  # readable on white and on JupyterLab's dark grey


def accuracy_curve(frame: pd.DataFrame, task: Task, metric: str = "graded") -> go.Figure:
    """Mean accuracy at every level with 95 % intervals over seeds and examples.

    Args:
        frame: records of `latent_core.evaluate` with columns `method` and `seed` added.
        task: says which levels are in distribution, and what they count.
        metric: `graded` or `exact`.

    Returns:
        a Plotly figure; methods differ by colour, dash and symbol, not by colour alone.
    """
    table = summarise(frame, ("method", "level"), metric)
    figure = go.Figure()
    colours = colours_of(table["method"])
    for number, (method, rows) in enumerate(table.groupby("method", sort=False)):
        rows = rows.sort_values("level")
        figure.add_scatter(
            x=rows["level"],
            y=rows["mean"],
            error_y={
                "type": "data",
                "array": rows["high"] - rows["mean"],
                "arrayminus": rows["mean"] - rows["low"],
                "thickness": 1.2,
            },
            name=str(method),
            mode="lines+markers",
            line={"color": colours[method], "dash": _DASHES[number % len(_DASHES)]},
            marker={"size": 8, "symbol": _SYMBOLS[number % len(_SYMBOLS)]},
            customdata=rows[["low", "high", "seeds", "records"]],
            hovertemplate=(
                "%{fullData.name}, %{x} " + task.level_name + ": %{y:.2f} "
                "[%{customdata[0]:.2f}, %{customdata[1]:.2f}]<br>"
                "%{customdata[2]} seeds, %{customdata[3]} records<extra></extra>"
            ),
        )
    low, high = task.id_levels[0], task.id_levels[-1]
    figure.add_vrect(
        x0=low - 0.5,
        x1=high + 0.5,
        fillcolor=_INK,
        opacity=0.12,
        line_width=0,
        annotation_text="in distribution",
        annotation_position="bottom left",
    )
    seeds = table["seeds"].min()
    figure.update_layout(
        title=f"{task.name}: {metric} accuracy, 95 % intervals, {seeds} "
        f"seed{'s' if seeds != 1 else ''} per method",
        xaxis={"title": task.level_name, "gridcolor": "rgba(127,127,127,0.2)", "zeroline": False},
        yaxis={
            "title": task.exact_metric if metric == "exact" else task.graded_metric,
            "range": [-0.02, 1.05],
            "gridcolor": "rgba(127,127,127,0.2)",
            "zeroline": False,
        },
        font={"color": _INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.08, "x": 0},
        height=440,
        margin={"t": 90},
    )
    return figure
