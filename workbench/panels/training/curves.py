"""Loss and accuracy of a training run against its steps, live and as a static picture.

Knows the table of `WatchedRun`; neither widgets nor models.
"""

from __future__ import annotations

from html import escape

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from latent_core.wording import counted
from workbench.pictures.palette import colours_of
from workbench.pictures.theme import plain_layout

__all__ = ["training_figure", "training_picture"]

#: The share of the steps so far over which the bold loss line averages.
_SMOOTHED = 0.1
_STYLES = {"graded": ("solid", "circle"), "exact": ("dash", "square")}
_COLOURS = colours_of(("loss", "graded", "exact"))


def training_figure(table: pd.DataFrame, steps: int, title: str, examples: int) -> go.Figure:
    """Two plots side by side: the loss, and the accuracy on a few examples.

    Args:
        table: of `WatchedRun.table`.
        steps: how many there will be; the axes are that long from the start.
        title: plain text.
        examples: how many the accuracy rests on.
    """
    figure = make_subplots(cols=2, horizontal_spacing=0.11)
    loss = table.dropna(subset="loss")
    figure.add_scatter(
        x=loss["step"],
        y=loss["loss"],
        name="loss of one step",
        mode="lines+markers" if len(loss) < 3 else "lines",
        line={"color": _COLOURS["loss"], "width": 1},
        opacity=0.4,
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=loss["step"],
        y=_smooth(loss["loss"]),
        name="loss",
        mode="lines",
        line={"color": _COLOURS["loss"], "width": 2.5},
        customdata=loss["loss"],
        hovertemplate="step %{x}: loss %{customdata:.3f}, smoothed %{y:.3f}<extra></extra>",
        showlegend=False,
    )
    checks = table.dropna(subset="graded")
    for metric, (dash, symbol) in _STYLES.items():
        figure.add_scatter(
            x=checks["step"],
            y=checks[metric],
            name=metric,
            mode="lines+markers",
            line={"color": _COLOURS[metric], "dash": dash},
            marker={"size": 8, "symbol": symbol},
            hovertemplate=f"step %{{x}}: {metric} %{{y:.2f}}<extra></extra>",
            row=1,
            col=2,
        )
    figure.update_xaxes(
        title={"text": "step", "standoff": 6}, range=[0, steps * 1.02], zeroline=False
    )
    figure.update_yaxes(title="nats per response token", rangemode="tozero", col=1)
    figure.update_yaxes(title="accuracy", range=[-0.03, 1.05], zeroline=False, col=2)
    figure.update_layout(plain_layout("", height=354), uirevision=title)
    figure.update_layout(
        margin={"t": 72, "r": 16, "b": 48, "l": 56},
        title=None,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.09, "yanchor": "bottom"},
    )
    for column, text in ((0, "Training loss"), (1, _heading(examples))):
        figure.add_annotation(
            text=f"<b>{escape(text)}</b>",
            showarrow=False,
            xref=f"x{'' if column == 0 else '2'} domain",
            yref="paper",
            x=0,
            y=1.02,
            xanchor="left",
            yanchor="bottom",
        )
    return figure


def training_picture(table: pd.DataFrame, steps: int, title: str, examples: int) -> Figure:
    """The same on white; arguments as those of `training_figure`."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    left, right = figure.subplots(1, 2)
    loss = table.dropna(subset="loss")
    left.plot(loss["step"], loss["loss"], color=_COLOURS["loss"], linewidth=1, alpha=0.4)
    left.plot(loss["step"], _smooth(loss["loss"]), color=_COLOURS["loss"], linewidth=2.5)
    left.set(title="Training loss", ylabel="nats per response token")
    checks = table.dropna(subset="graded")
    styles = {"graded": "-o", "exact": "--s"}
    for metric, style in styles.items():
        right.plot(checks["step"], checks[metric], style, color=_COLOURS[metric], label=metric)
    right.set(title=_heading(examples), ylabel="accuracy", ylim=(-0.03, 1.05))
    right.legend(frameon=False)
    for axes in (left, right):
        axes.set_xlim(0, steps * 1.02)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _heading(examples: int) -> str:
    return f"Accuracy on {counted(examples, 'validation example')}"


def _smooth(losses: pd.Series) -> pd.Series:
    """A running mean over the last tenth of the steps so far."""
    return losses.rolling(max(1, int(len(losses) * _SMOOTHED)), min_periods=1).mean()
