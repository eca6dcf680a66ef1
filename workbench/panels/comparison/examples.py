"""Examples behind a comparison: those of a point of a curve, or all of them in a table.

Of a record there are the prompt, the answer, and the response with the verifier's marks. A click
opens an example in the session.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from latent_core.adapters.adapter import CONFIG_NAME
from latent_core.archives.folders import has_file
from latent_core.errors import LatentError
from latent_core.models.build import load_model
from latent_core.models.latent import LatentModel
from latent_core.tasks.base import Example, Task
from workbench.adapters import adapter_title
from workbench.levels import level_words
from workbench.panels.base import Panel
from workbench.panels.comparison.runs import RunCollection
from workbench.panels.over_examples import drawn_again
from workbench.widgets.example_list import ExampleList
from workbench.widgets.record_table import RecordTable

__all__ = ["PointExamples", "RecordedExample", "Records", "record_rows", "recorded_example"]


class RecordedExample(NamedTuple):
    """One record.

    Attributes:
        example: the example, or None if neither the record nor the task gives it.
        parts: the response in pieces: text, and "right", "wrong" or "" for a piece not judged.
        record: the record itself, by column.
    """

    example: Example | None
    parts: tuple[tuple[str, str], ...]
    record: dict[str, Any]

    @property
    def verdict(self) -> str:
        """`right`, `wrong`, or `partly right`."""
        if self.record["exact"]:
            return "right"
        return "partly right" if self.record["graded"] > 0 else "wrong"

    def row(self) -> dict[str, Any]:
        """The texts that a list of examples shows."""
        record, example = self.record, self.example
        return {
            "verdict": self.verdict,
            "about": f"example {record['example']}, seed {record['seed']}, "
            f"graded {record['graded']:.2f}",
            "prompt": example.prompt if example else f"(not recorded; key {record.get('key')})",
            "answer": example.answer if example else "(not recorded)",
            "parts": [list(part) for part in self.parts],
            "opens": example is not None,
        }


def recorded_example(record: pd.Series, task: Task | None) -> RecordedExample:
    """Read one record.

    Args:
        record: a row of records.
        task: its task, if it is at hand: it judges the response, and makes the example again where
            the record does not hold it.
    """
    values = {str(name): value for name, value in record.items()}
    values.setdefault("example", 0)
    example = _example(values, task)
    response = str(values.get("response", ""))
    if task is None or example is None:
        return RecordedExample(example, ((response, ""),), values)
    parts, end = [], 0
    for mark in sorted(task.score(example, response).marks, key=lambda mark: mark.start):
        if mark.start < end:
            continue  # a verifier's marks do not overlap; another's might
        parts.append((response[end : mark.start], ""))
        parts.append((response[mark.start : mark.end], "right" if mark.correct else "wrong"))
        end = mark.end
    parts.append((response[end:], ""))
    return RecordedExample(example, tuple(part for part in parts if part[0]), values)


def _example(values: dict[str, Any], task: Task | None) -> Example | None:
    if isinstance(values.get("prompt"), str) and isinstance(values.get("answer"), str):
        split, level, key = str(values["split"]), int(values["level"]), str(values.get("key", ""))
        return Example(values["prompt"], values["answer"], split, level, key)
    return None if task is None else drawn_again(task, values, int(values.get("eval_seed", 1)))


# --- the examples behind a point ------------------------------------------------------------------

_MOST_EXAMPLES: Final = 500


class PointExamples:
    """The answers of one method at one level.

    Attributes:
        view: the list; a row of it opens its example in the session.
        found: what is listed.
    """

    def __init__(self, panel: Panel, collection: RunCollection) -> None:
        self._panel, self._collection = panel, collection
        self._task: Task | None = None
        self.found: list[RecordedExample] = []
        self.view = ExampleList()
        panel.on(self.view, "opened", lambda pressed: self._open(self.found[pressed["index"]]))

    def clear(self) -> None:
        """List nothing."""
        self.found = []
        self.view.show("", [])

    def look_up(
        self,
        task: Task | None,
        levels: str,
        point: tuple[str, str, str, int],
        splits: Collection[str],
    ) -> None:
        """Read examples in a job, then list them.

        Args:
            task: the task, if it is at hand.
            levels: what its levels count.
            point: the task's name, the backbone, the method and the level.
            splits: the splits of the curve.
        """
        *_, method, level = point

        def work() -> list[RecordedExample]:
            records = self._collection.examples(*point, splits).head(_MOST_EXAMPLES)
            return [recorded_example(record, task) for _, record in records.iterrows()]

        def then(examples: list[RecordedExample]) -> None:
            self._task, self.found = task, examples
            heading = f"{method}, {level_words(level, levels)}"
            self.view.show(heading, [example.row() for example in examples])
            self._panel.status.say(f"{len(examples)} examples of {heading} are listed")
            self._panel.reveal(self.view)

        self._panel.start(work, then, key="examples", replace=True)

    def _open(self, chosen: RecordedExample) -> None:
        """Make an example the session's, and the adapter of its run adapter A, if there is one."""
        session, example, record = self._panel.session, chosen.example, chosen.record
        if example is None:
            return
        if self._task is not None and self._task.name != session.task.name:
            session.task = self._task
        session.example = example
        model, path = record.get("model"), record.get("path")
        if isinstance(model, str) and model in session.models:  # it was answered in the panel
            session.adapter_a, session.intervention = model, str(record["intervention"])
            self._opened(f"{model} is now adapter A")
        elif not isinstance(path, str) or not has_file(path, CONFIG_NAME):
            self._opened("Adapter A is unchanged: the run has no saved adapter")
        elif name := session.name_of(Path(path)):
            session.adapter_a = name
            self._opened(f"{name} is now adapter A")
        else:
            self._panel.start(lambda: self._load(Path(path)), self._join, key="open", replace=True)

    def _load(self, folder: Path) -> tuple[Path, LatentModel | str]:
        """A run's model, or the reason why there is none to show."""
        try:
            model = load_model(folder, self._panel.session.backbone)
        except LatentError as error:
            return folder, str(error)
        if not isinstance(model, LatentModel):
            return folder, "the method of the run has no latents"
        return folder, model

    def _join(self, loaded: tuple[Path, LatentModel | str]) -> None:
        folder, model = loaded
        if isinstance(model, str):
            self._opened(f"Adapter A is unchanged: {model}")
            return
        session = self._panel.session
        name = session.add(model, adapter_title(folder), folder)
        session.adapter_a = name
        self._opened(f"{name} is now adapter A")

    def _opened(self, how: str) -> None:
        self._panel.session.panel = "playground"
        self._panel.status.say(f"Opened in the playground. {how}")


# --- records across methods -----------------------------------------------------------------------

_MOST_ROWS: Final = 2000
_ONE_ROW: Final = ["split", "level", "example", "key"]


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
        index=_ONE_ROW, columns="method", values=metric, aggfunc="mean", sort=False
    )
    first = chosen.drop_duplicates(_ONE_ROW).set_index(_ONE_ROW, drop=False).loc[scores.index]
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
            first, scores = first.head(_MOST_ROWS), scores[:_MOST_ROWS]
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
