"""What the comparison panel says and tabulates: notes, and tables of methods as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from latent_core.wording import counted
from workbench.panels.comparison.work import MethodComparison
from workbench.templates import render

__all__ = ["differences_html", "differences_note", "empty_note", "methods_html", "note_on"]

#: Heads of columns: a name and a line below it.
_HEADS: Final[dict[str, tuple[str, str]]] = {
    "id": ("ID", ""),
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
    return f"{counted(shown.runs, 'run')}. {over} Click a point to see its examples."


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
        heads=[_HEADS.get(name, (name.replace("ood-", "OOD "), "")) for name in heads],
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
