"""Accuracy against length: one curve per method, the in-distribution region shaded.

Methods differ by colour, dash and symbol, not by colour alone. Where there are more methods than
colours, those of the second round have hollow symbols. Six curves can be told apart; where there
are more, the others are grey.

A level may occur both in and out of distribution, if a task's levels are not what makes an example
OOD. Then a method has two curves, and no region is shaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure

from latent_core.statistics.means import summarise
from latent_core.wording import counted
from workbench.pictures.chart import (
    DASHES,
    SYMBOLS,
    Band,
    Chart,
    Curve,
    Plot,
    live_figure,
    still_figure,
)
from workbench.pictures.theme import INK, colours_of

__all__ = [
    "MOST_COLOURED",
    "CurvePart",
    "HasLevels",
    "RecordedTask",
    "accuracy_chart",
    "accuracy_curve",
    "accuracy_picture",
    "accuracy_points",
    "curve_parts",
    "leading_methods",
]

#: Curves that a reader can tell apart.
MOST_COLOURED: Final = 6
_SIDES: Final = {"id": "in distribution", "ood": "OOD"}
#: Lines of a method's OOD levels, and of OOD names.
_DASHES: Final = {"ood": "dot", "ood-": "dashdot"}


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
        """The task of some records; a split that is not OOD is in distribution."""
        familiar = frame.loc[~frame["split"].str.startswith("ood-"), "level"]
        return cls(name, tuple(sorted({int(level) for level in familiar})))


def accuracy_points(frame: pd.DataFrame, metric: str = "graded") -> pd.DataFrame:
    """Average records: one row per method, split and level, with 95 % intervals.

    Args:
        frame: records of `latent_core.evaluate` with columns `method` and `seed` added.
        metric: `graded` or `exact`.

    Returns:
        columns method, split (if the records have it), level, mean, low, high, seeds, records.
    """
    by = ("method", "split", "level") if "split" in frame.columns else ("method", "level")
    return summarise(frame, by, metric)


class CurvePart(NamedTuple):
    """The points of one curve.

    Attributes:
        method: whose accuracy it is.
        side: `id`, `ood` (all OOD levels), `ood-NAME` or another split, if the method has a curve
            for each; else empty.
        points: rows of `accuracy_points`, by level.
    """

    method: str
    side: str
    points: pd.DataFrame

    @property
    def name(self) -> str:
        """The curve's name in the legend."""
        if not self.side:
            return self.method
        return f"{self.method}, {_SIDES.get(self.side) or self.side.replace('ood-', 'OOD ')}"


def curve_parts(points: pd.DataFrame) -> list[CurvePart]:
    """Divide points into curves, in the order in which they are drawn."""
    sides = _sides(points)
    keys = ["method"] if sides is None else ["method", sides]
    parts = []
    for key, rows in points.groupby(keys, sort=False):
        method, side = (*key, "")[:2]
        parts.append(CurvePart(str(method), str(side), rows.sort_values("level", kind="stable")))
    return parts


def _sides(points: pd.DataFrame) -> pd.Series | None:
    """The side of each point; None if levels alone tell in distribution from out of it."""
    if "split" not in points.columns:
        return None
    by_level = points["split"].str.fullmatch(r"ood-\d+")  # others are far in another way
    sides = points["split"].where(~by_level, "ood").rename("side")
    if set(sides) <= {"id", "ood"}:
        inside, outside = (points.loc[sides == side, "level"] for side in ("id", "ood"))
        if inside.empty or not outside.between(inside.min(), inside.max()).any():
            return None
    return sides if sides.nunique() > 1 else None


def leading_methods(points: pd.DataFrame, first: Sequence[str] = ()) -> tuple[str, ...]:
    """Choose at most `MOST_COLOURED` methods: `first`, then those of the highest mean.

    Args:
        points: what `accuracy_points` returns.
        first: methods that are wanted before all others.
    """
    means = points.groupby("method", sort=False)["mean"].mean().sort_values(ascending=False)
    names = dict.fromkeys([*(name for name in first if name in means.index), *means.index])
    return tuple(map(str, names))[:MOST_COLOURED]


def accuracy_chart(
    frame: pd.DataFrame,
    task: HasLevels,
    metric: str = "graded",
    methods: Sequence[str] = (),
    coloured: Sequence[str] | None = None,
) -> Chart:
    """Describe mean accuracy at every level, with 95 % intervals over seeds and examples.

    Args:
        frame: records, as `accuracy_points` takes them, or the points that it returns.
        task: says which levels are in distribution, and what they count.
        metric: `graded` or `exact`.
        methods: all methods there are, if `frame` holds some of them: a method keeps its colour,
            dash and symbol when others are left out.
        coloured: the methods that are not grey; by default the `leading_methods`.
    """
    given = {"mean", "low", "high"} <= set(frame.columns)
    points = frame if given else accuracy_points(frame, metric)
    levels = task.id_levels
    told = leading_methods(points) if coloured is None else coloured
    shaded = levels and not _ood_within(points, levels)
    plot = Plot(
        list(_curves(points, task.level_name, methods, told)),
        x_title=task.level_name,
        y_title=f"{metric} accuracy",
        y_range=(-0.02, 1.05),
        bands=[Band(levels[0] - 0.5, levels[-1] + 0.5, "in distribution")] if shaded else [],
    )
    return Chart(
        [plot],
        title=_title(points, task, metric),
        subtitle=task.exact_metric if metric == "exact" else task.graded_metric,
        key=f"{task.name} {metric}",
    )


def accuracy_curve(
    frame: pd.DataFrame,
    task: HasLevels,
    metric: str = "graded",
    methods: Sequence[str] = (),
    coloured: Sequence[str] | None = None,
) -> go.Figure:
    """Draw mean accuracy at every level, with 95 % intervals over seeds and examples.

    Args:
        frame: records of `latent_core.evaluate` with columns `method` and `seed`, or what
            `accuracy_points` made of them.
        task: says which levels are in distribution, and what they count.
        metric: `graded` or `exact`.
        methods: all methods there are; see `accuracy_chart`.
        coloured: the methods that are not grey, by default the six of the highest mean.

    Returns:
        a Plotly figure. A point's `customdata` holds low, high, seeds and records, and its curve's
        `meta` the method's name, with the side where a method has two curves.

    Example:
        >>> import latent_core as lc
        >>> from workbench import accuracy_curve
        >>> records = lc.load_runs("shipped:tiny/repetition/Start_6", records=True)
        >>> figure = accuracy_curve(records, lc.load_task("repetition"))
        >>> figure.layout.yaxis.title.text
        'graded accuracy'
    """
    return live_figure(accuracy_chart(frame, task, metric, methods, coloured))


def accuracy_picture(
    frame: pd.DataFrame,
    task: HasLevels,
    metric: str = "graded",
    methods: Sequence[str] = (),
    coloured: Sequence[str] | None = None,
) -> Figure:
    """Draw the same in print; arguments as those of `accuracy_curve`."""
    return still_figure(accuracy_chart(frame, task, metric, methods, coloured))


def _ood_within(points: pd.DataFrame, levels: tuple[int, ...]) -> bool:
    """Whether an OOD point lies among the levels that are in distribution."""
    if "split" not in points.columns:
        return False
    outside = points.loc[points["split"].str.startswith("ood-"), "level"]
    return bool(outside.between(levels[0], levels[-1]).any())


def _curves(
    points: pd.DataFrame, level_name: str, methods: Sequence[str], coloured: Sequence[str]
) -> Iterator[Curve]:
    names = list(dict.fromkeys([*methods, *points["method"]]))
    colours = colours_of(names)
    rounds = list(colours.values())
    tip = (
        f"{{name}}, {{x}} {level_name}: {{y:.2f}} [{{customdata[0]:.2f}}, {{customdata[1]:.2f}}], "
        "{customdata[2]} seeds, {customdata[3]} records"
    )
    grey: set[str] = set()
    for part in curve_parts(points):
        number, rows = names.index(part.method), part.points
        data = rows[["low", "high", "seeds", "records"]]
        if part.method not in coloured:
            grey.add(part.method)
            yield Curve(
                part.name,
                rows["level"],
                rows["mean"],
                INK,
                width=1.0,
                listed=False,
                tip=tip,
                customdata=data,
            )
            continue
        yield Curve(
            part.name,
            rows["level"],
            rows["mean"],
            colours[part.method],
            rows["low"],
            rows["high"],
            _DASHES.get(part.side[:4], DASHES[number % len(DASHES)]),
            SYMBOLS[number % len(SYMBOLS)],
            hollow=rounds.index(rounds[number]) < number,
            tip=tip,
            customdata=data,
        )
    if grey:
        nowhere = [float("nan")]  # without a point, the legend would leave it out
        yield Curve(f"{counted(len(grey), 'method')} in grey", nowhere, nowhere, INK, width=1.0)


def _title(points: pd.DataFrame, task: HasLevels, metric: str) -> str:
    fewest, most = points["seeds"].min(), points["seeds"].max()
    count = f"{fewest}" if fewest == most else f"{fewest}-{most}"
    plural = "s" if most != 1 else ""
    over = " over examples only" if most == 1 else ""
    return f"{task.name}: {metric} accuracy, 95 % intervals{over}, {count} seed{plural} per method"
