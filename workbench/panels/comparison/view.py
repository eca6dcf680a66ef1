"""What the comparison panel says and tabulates: notes, and tables of methods as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pandas as pd

from latent_core.wording import counted
from workbench.levels import split_words
from workbench.panels.comparison.work import MethodComparison
from workbench.pictures.chart import Chart
from workbench.pictures.curves import MOST_COLOURED, accuracy_chart
from workbench.templates import render

__all__ = [
    "NOW",
    "difference_chart",
    "differences_html",
    "differences_note",
    "empty_note",
    "evaluated_name",
    "methods_html",
    "note_on",
    "readable_table",
    "shown_table",
]

#: The end of a name of records that the panel made.
NOW: Final = " (now)"

#: Heads of columns: a name and a line below it.
_HEADS: Final[dict[str, tuple[str, str]]] = {
    "gap": ("gap", "ID - mean OOD"),
    "trainable": ("trainable", "parameters"),
    "slots": ("extra slots", "per example"),
    "seconds": ("seconds", "per example"),
}
_COSTS: Final = {"trainable": ",.0f", "slots": ".1f", "seconds": ".2f"}


def note_on(shown: MethodComparison, points: pd.DataFrame) -> str:
    """Say what the intervals of these points are over."""
    if not shown.every_record:
        over = "There are too many records to read, so intervals are over the means of the runs."
    elif points["seeds"].max() == 1:
        over = (
            "Each method has one training seed, so intervals are over examples only and do not "
            "hold for other seeds."
        )
    elif points["seeds"].min() == 1:
        over = (
            "Intervals are over seeds and examples. For a method with one seed, they are over "
            "examples only."
        )
    else:
        over = "Intervals are over seeds and examples."
    grey = ""
    if points["method"].nunique() > MOST_COLOURED:
        grey = f" {MOST_COLOURED} curves are coloured: those made here, and the most accurate."
    return f"{counted(shown.runs, 'run')}. {over}{grey} Click a point to see its examples."


def evaluated_name(model: str, intervention: str) -> str:
    """Name the answers of a model that were made in the panel."""
    under = "" if intervention == "none" else f" under {intervention}"
    return f"{model}{under}{NOW}"


def difference_chart(
    shown: MethodComparison, points: pd.DataFrame, coloured: Sequence[str]
) -> Chart:
    """Describe the paired differences from the reference at every level, with their intervals."""
    chart = accuracy_chart(points, shown.task, shown.metric, shown.methods, coloured)
    (plot,) = chart.plots
    ends = points[["low", "high"]].to_numpy(float)
    reach = float(max(abs(ends).max(initial=0.0), 0.05)) * 1.08
    return replace(
        chart,
        plots=[replace(plot, y_title=f"minus {shown.reference}", y_range=(-reach, reach))],
        title=f"Difference from {shown.reference} in {shown.metric} accuracy, paired by example",
        subtitle="below zero: less accurate than the reference",
        key=f"{shown.task.name} {shown.metric} minus {shown.reference}",
        height=320,
    )


def readable_table(table: pd.DataFrame, form: str = ".2f") -> pd.DataFrame:
    """A table of methods with each mean and its interval in one cell, as the panel shows them."""
    values = _value_columns(table)
    rows = [
        {"method": row["method"], "seeds": row["seeds"]}
        | {_head(n)[0]: _words(row, n, form) for n in values}
        | {" ".join(_HEADS[n]): _number(row[n], _COSTS[n]) for n in _COSTS if n in table.columns}
        for row in _of(table)
    ]
    return pd.DataFrame(rows)


def _head(column: str) -> tuple[str, str]:
    """The head of a column; one that has none of its own is a split."""
    return _HEADS.get(column, (split_words(column), ""))


def _words(row: dict[str, Any], name: str, form: str) -> str:
    cell = _cell(row, name, form, None)
    return f"{cell['mean']} {cell['interval']}".strip()


def shown_table(shown: MethodComparison, methods: Sequence[str]) -> pd.DataFrame:
    """All numbers of a comparison as one tidy frame.

    Returns:
        view (`curve`, `methods`, or `minus NAME`), task, backbone, metric, method, split, level,
        mean, low, high, seeds, records; for curves also distribution (`id` or `ood`) and costs. A
        row without a level is of the whole split.
    """
    points = shown.points[shown.points["method"].isin(methods)]
    where = ["ood" if split.startswith("ood-") else "id" for split in points["split"]]
    costs = shown.by_method[["method", "trainable", "slots", "seconds"]]
    parts = [points.assign(view="curve", distribution=where).merge(costs, on="method")]
    tables = {"methods": shown.by_method}
    if isinstance(shown.differences, pd.DataFrame):
        parts.append(shown.difference_points.assign(view=f"minus {shown.reference}"))
        tables[f"minus {shown.reference}"] = shown.differences
    parts += [_long(table).assign(view=name) for name, table in tables.items()]
    frame = pd.concat([part for part in parts if len(part)], ignore_index=True)
    frame = frame[frame["method"].isin(methods)].reset_index(drop=True)
    about = {"task": shown.task.name, "backbone": shown.backbone, "metric": shown.metric}
    return pd.DataFrame({"view": frame.pop("view"), **about}, index=frame.index).join(frame)


def _long(table: pd.DataFrame) -> pd.DataFrame:
    """A table of methods with one row per method and split."""
    rows = [
        {"method": row["method"], "seeds": row["seeds"], "records": row["records"], "split": name}
        | {"mean": row[name], "low": row.get(f"{name} low"), "high": row.get(f"{name} high")}
        for row in _of(table)
        for name in _value_columns(table)
        if not pd.isna(row[name])
    ]
    return pd.DataFrame(rows)


def empty_note(task: str) -> str:
    """Say what to do where a task has no records."""
    return (
        f"There are no records of {task} yet. Press 'Evaluate A and B', add a folder of runs that "
        "`latent evaluate` has evaluated, or choose another task."
    )


def differences_note(reference: str) -> str:
    """Say what a table of differences rests on."""
    return (
        "Differences are over the examples that both methods answered with the same seed. If the "
        f"gap is below zero, accuracy falls less out of distribution than with {reference}. This "
        "also happens if accuracy is already low in distribution."
    )


def methods_html(table: pd.DataFrame) -> str:
    """Write a table of methods; the best mean of each split is bold."""
    values = _value_columns(table)
    best = {name: table[name].max() for name in values if name != "gap"}
    costs = [
        {name: _number(row[name], form) for name, form in _COSTS.items()} for row in _of(table)
    ]
    return _html(table, "methods", "method", values, ".2f", best, costs)


def differences_html(table: pd.DataFrame, reference: str) -> str:
    """Write a table of differences from one method."""
    title = f"minus {reference}"
    return _html(table, title, title, _value_columns(table), "+.2f", {}, [{} for _ in _of(table)])


def _html(
    table: pd.DataFrame,
    label: str,
    first: str,
    values: Sequence[str],
    form: str,
    best: dict[str, float],
    costs: Sequence[dict[str, str]],
) -> str:
    """Rows of accuracies, then of costs, each behind its method's name and seeds."""
    heads = [*values, *(costs[0] if costs else {})]
    return render(
        "panels/comparison/methods.html",
        label=label,
        first=first,
        heads=[_head(name) for name in heads],
        rows=[
            {
                "method": row["method"],
                "seeds": counted(row["seeds"], "seed"),
                "cells": [_cell(row, name, form, best.get(name)) for name in values],
                "costs": list(cost.values()),
            }
            for row, cost in zip(_of(table), costs, strict=True)
        ],
    )


def _of(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for _, row in table.iterrows()]


def _value_columns(table: pd.DataFrame) -> list[str]:
    """The columns of accuracies, and of the gap."""
    return [n for n in table.columns if f"{n} low" in table.columns or n in ("id", "gap")]


def _cell(row: dict[str, Any], name: str, form: str, best: float | None) -> dict[str, Any]:
    """A mean and its interval, both as text."""
    low, high = row.get(f"{name} low"), row.get(f"{name} high")
    known = not pd.isna(row[name])
    return {
        "mean": _number(row[name], form),
        "bold": known and best is not None and row[name] >= best,
        "interval": f"[{_number(low, form)}, {_number(high, form)}]"
        if known and not pd.isna(low)
        else "",
    }


def _number(value: Any, form: str) -> str:
    """The number, or a dash for none; what rounds to zero has no minus."""
    if pd.isna(value):
        return "-"
    places = int(form[form.index(".") + 1])
    return format(round(float(value), places) + 0.0, form)
