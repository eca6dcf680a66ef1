"""The records of a comparison as a table across methods, from which one opens by a click."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from latent_core.tasks.base import Example, Task
from workbench.panels.base import Panel
from workbench.panels.comparison.recorded_examples import recorded_example
from workbench.widgets.record_table import RecordTable

__all__ = ["Records", "record_rows"]

_MOST: Final = 2000
_EXAMPLE: Final = ["split", "level", "example", "key"]


def record_rows(
    records: pd.DataFrame, methods: Sequence[str], metric: str
) -> tuple[pd.DataFrame, list[list[float | None]]]:
    """One row per example, with the mean score of each method over its seeds.

    Args:
        records: of every method, as `RunCollection.records` gives them.
        methods: the columns.
        metric: `graded` or `exact`.

    Returns:
        a record of each example, and its scores in the order of the methods; None where a method
        did not answer it.
    """
    chosen = records[records["method"].isin(methods)]
    scores = chosen.pivot_table(
        index=_EXAMPLE, columns="method", values=metric, aggfunc="mean", sort=False
    )
    first = chosen.drop_duplicates(_EXAMPLE).set_index(_EXAMPLE, drop=False).loc[scores.index]
    table = scores.astype(float).reindex(columns=list(methods))
    found = [[None if pd.isna(v) else float(v) for v in line] for line in table.to_numpy()]
    return first.reset_index(drop=True), found


class Records:
    """The table, and what a click on a row opens.

    Attributes:
        view: the table.
    """

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._task: Task | None = None
        self._examples: list[Example | None] = []
        self.view = RecordTable()
        panel.on(self.view, "opened", lambda pressed: self._open(self._examples[pressed["index"]]))

    def clear(self) -> None:
        """Show no table."""
        self._examples = []
        self.view.show([], [])

    def look_up(
        self, task: Task | None, records: pd.DataFrame, methods: Sequence[str], metric: str
    ) -> None:
        """Find the examples in a job, then show them.

        Args:
            task: the task, if it is at hand.
            records: of every method.
            methods: the columns.
            metric: `graded` or `exact`.
        """

        def work() -> tuple[list[Example | None], list[dict[str, Any]]]:
            first, scores = record_rows(records, methods, metric)
            first, scores = first.head(_MOST), scores[:_MOST]
            examples = [recorded_example(row, task).example for _, row in first.iterrows()]
            rows = []
            for example, (_, row), line in zip(examples, first.iterrows(), scores, strict=True):
                prompt = f"key {row['key']}" if example is None else example.prompt
                about = [row["split"], int(row["level"]), " ".join(prompt.split())]
                rows.append({"about": about, "scores": line})
            return examples, rows

        def show(found: tuple[list[Example | None], list[dict[str, Any]]]) -> None:
            self._task, (self._examples, rows) = task, found
            self.view.show(methods, rows)
            self._panel.reveal(self.view)

        self._panel.start(work, show, key="records", replace=True)

    def _open(self, example: Example | None) -> None:
        session = self._panel.session
        if example is None:
            self._panel.status.say("The record does not hold its example, so it cannot be opened")
            return
        if self._task is not None and self._task.name != session.task.name:
            session.task = self._task
        session.example, session.panel = example, "playground"
