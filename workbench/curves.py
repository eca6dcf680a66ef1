"""Accuracy against length: one curve per method, the in-distribution region shaded."""

from __future__ import annotations

from html import escape

import pandas as pd
import plotly.graph_objects as go

from latent_core.statistics import summarise
from latent_core.tasks import Task
from workbench.palette import colours_of
from workbench.theme import GRID, INK, plain_layout

__all__ = ["accuracy_curve"]

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")


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
        fillcolor=INK,
        opacity=0.12,
        line_width=0,
        annotation_text="in distribution",
        annotation_position="bottom left",
    )
    seeds = table["seeds"].min()
    plural = "s" if seeds != 1 else ""
    title = f"{task.name}: {metric} accuracy, 95 % intervals, {seeds} seed{plural} per method"
    meaning = task.exact_metric if metric == "exact" else task.graded_metric
    figure.update_xaxes(title=task.level_name, gridcolor=GRID, zeroline=False)
    figure.update_yaxes(
        title=f"{metric} accuracy", range=[-0.02, 1.05], gridcolor=GRID, zeroline=False
    )
    figure.update_layout(plain_layout(f"{title}<br><sup>{escape(meaning)}</sup>", height=440))
    return figure.update_layout(legend={"orientation": "h", "y": 1.08, "x": 0}, margin_t=90)
