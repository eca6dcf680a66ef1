"""Accuracy against length: one curve per method, the in-distribution region shaded.

The same curves as a live figure and as a static picture. Methods differ by colour, dash and symbol,
not by colour alone; where there are more methods than colours, those of the second round have
hollow symbols. Knows records; nothing of where they come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, NamedTuple, Protocol

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure

from latent_core.statistics.means import summarise
from workbench.pictures.palette import colours_of
from workbench.pictures.theme import GRID, INK, plain_layout

__all__ = ["HasLevels", "RecordedTask", "accuracy_curve", "accuracy_picture", "accuracy_points"]

#: Plotly's name of a dash, and Matplotlib's.
_DASHES: Final = (
    ("solid", "-"),
    ("dash", "--"),
    ("dot", ":"),
    ("dashdot", "-."),
    ("longdash", (0, (8, 3))),
    ("longdashdot", (0, (8, 3, 2, 3))),
)
_SYMBOLS: Final = (
    ("circle", "o"),
    ("square", "s"),
    ("diamond", "D"),
    ("triangle-up", "^"),
    ("x", "X"),
    ("star", "*"),
)


class HasLevels(Protocol):
    """What a curve has to know of a task; every `Task` says it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def exact_metric(self) -> str: ...  # noqa: D102
    @property
    def graded_metric(self) -> str: ...  # noqa: D102
    @property
    def level_name(self) -> str: ...  # noqa: D102
    @property
    def id_levels(self) -> tuple[int, ...]: ...  # noqa: D102


@dataclass(frozen=True)
class RecordedTask:
    """A task that is known by its records alone."""

    name: str
    id_levels: tuple[int, ...]
    exact_metric: str = "exact match, as recorded"
    graded_metric: str = "graded score, as recorded"
    level_name: str = "level"

    @classmethod
    def of(cls, name: str, frame: pd.DataFrame) -> RecordedTask:
        """The task of some records; whatever split is not OOD is in distribution."""
        familiar = frame.loc[~frame["split"].str.startswith("ood-"), "level"]
        return cls(name, tuple(sorted({int(level) for level in familiar})))


class _Curve(NamedTuple):
    """One method's points, from short to long, and how they are drawn."""

    method: str
    points: pd.DataFrame
    colour: str
    dash: tuple[str, object]
    symbol: tuple[str, str]
    hollow: bool


def accuracy_points(frame: pd.DataFrame, metric: str = "graded") -> pd.DataFrame:
    """One row per method and level: mean, low, high, seeds, records; 95 % intervals.

    Args:
        frame: records of `latent_core.evaluate` with columns `method` and `seed` added.
        metric: `graded` or `exact`.
    """
    return summarise(frame, ("method", "level"), metric)


def accuracy_curve(
    frame: pd.DataFrame, task: HasLevels, metric: str = "graded", methods: Sequence[str] = ()
) -> go.Figure:
    """Mean accuracy at every level with 95 % intervals over seeds and examples.

    Args:
        frame: records, as `accuracy_points` takes them, or what it made of them.
        task: says which levels are in distribution, and what they count.
        metric: `graded` or `exact`.
        methods: all methods there are, if `frame` holds some of them: a method keeps its colour,
            dash and symbol when others are left out.

    Returns:
        a Plotly figure. A point's `customdata` holds low, high, seeds and records, and its curve's
        `meta` the method's name.
    """
    points = _as_points(frame, metric)
    figure = go.Figure()
    for curve in _curves(points, methods):
        rows = curve.points
        figure.add_scatter(
            x=rows["level"],
            y=rows["mean"],
            error_y={
                "type": "data",
                "array": rows["high"] - rows["mean"],
                "arrayminus": rows["mean"] - rows["low"],
                "thickness": 1.2,
                "width": 3,
            },
            name=escape(curve.method),
            meta=curve.method,
            mode="lines+markers",
            line={"color": curve.colour, "dash": curve.dash[0]},
            marker={"size": 8, "symbol": curve.symbol[0] + "-open" * curve.hollow},
            customdata=rows[["low", "high", "seeds", "records"]],
            hovertemplate=(
                "%{fullData.name}, %{x} " + escape(task.level_name) + ": %{y:.2f} "
                "[%{customdata[0]:.2f}, %{customdata[1]:.2f}]<br>"
                "seeds: %{customdata[2]}, records: %{customdata[3]}<extra></extra>"
            ),
        )
    for low, high in _region(task):
        figure.add_vrect(
            x0=low,
            x1=high,
            fillcolor=INK,
            opacity=0.12,
            line_width=0,
        )
        figure.add_annotation(
            text="in distribution",
            showarrow=False,
            x=low,
            xanchor="left",
            yref="paper",
            y=1,
            yanchor="bottom",
            font={"size": 11},
        )
    title, meaning = _heading(points, task, metric)
    figure.update_xaxes(
        title={"text": escape(task.level_name), "standoff": 8}, gridcolor=GRID, zeroline=False
    )
    figure.update_yaxes(
        title=f"{metric} accuracy", range=[-0.02, 1.05], gridcolor=GRID, zeroline=False
    )
    figure.update_layout(
        plain_layout(f"{escape(title)}<br><sup>{escape(meaning)}</sup>", height=440)
    )
    return figure.update_layout(
        legend={"y": 1, "x": 1.01, "xanchor": "left"},
        showlegend=True,
        margin={"t": 80, "b": 50, "l": 60},
        uirevision=f"{task.name} {metric}",
    )


def accuracy_picture(
    frame: pd.DataFrame, task: HasLevels, metric: str = "graded", methods: Sequence[str] = ()
) -> Figure:
    """The same on white; arguments as those of `accuracy_curve`."""
    points = _as_points(frame, metric)
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    axes = figure.subplots()
    for low, high in _region(task):
        axes.axvspan(low, high, color=INK, alpha=0.12, linewidth=0)
        axes.text(low, 1.055, "in distribution", fontsize=8, color="#444444", va="bottom")
    for curve in _curves(points, methods):
        rows = curve.points
        axes.errorbar(
            rows["level"],
            rows["mean"],
            yerr=[rows["mean"] - rows["low"], rows["high"] - rows["mean"]],
            label=curve.method,
            color=curve.colour,
            linestyle=curve.dash[1],
            marker=curve.symbol[1],
            markersize=6,
            fillstyle="none" if curve.hollow else "full",
            elinewidth=1,
            capsize=2,
        )
    title, meaning = _heading(points, task, metric)
    # Above the axes, which leave the legend's column alone: the title may run over that.
    axes.set_title(title, fontsize=11, loc="left", pad=30)
    axes.text(0, 1.075, meaning, fontsize=8, color="#444444", transform=axes.transAxes)
    axes.set(xlabel=task.level_name, ylabel=f"{metric} accuracy", ylim=(-0.02, 1.05))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)
    return figure


def _as_points(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    return (
        frame if {"mean", "low", "high"} <= set(frame.columns) else accuracy_points(frame, metric)
    )


def _curves(points: pd.DataFrame, methods: Sequence[str]) -> Iterator[_Curve]:
    names = list(dict.fromkeys([*methods, *points["method"]]))
    colours = colours_of(names)
    rounds = list(colours.values())
    for method, rows in points.groupby("method", sort=False):
        number = names.index(str(method))
        yield _Curve(
            str(method),
            rows.sort_values("level"),
            colours[str(method)],
            _DASHES[number % len(_DASHES)],
            _SYMBOLS[number % len(_SYMBOLS)],
            hollow=rounds.index(rounds[number]) < number,
        )


def _region(task: HasLevels) -> list[tuple[float, float]]:
    """From and to of the shaded region; none for a task without ID levels."""
    return [(task.id_levels[0] - 0.5, task.id_levels[-1] + 0.5)] if task.id_levels else []


def _heading(points: pd.DataFrame, task: HasLevels, metric: str) -> tuple[str, str]:
    fewest, most = points["seeds"].min(), points["seeds"].max()
    count = f"{fewest}" if fewest == most else f"{fewest}-{most}"
    plural = "s" if most != 1 else ""
    over = " over examples alone" if most == 1 else ""
    title = f"{task.name}: {metric} accuracy, 95 % intervals{over}, {count} seed{plural} per method"
    return title, task.exact_metric if metric == "exact" else task.graded_metric
