"""Records as examples to read: the prompt, the answer, the response with the verifier's marks."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from latent_core.tasks.base import Example, Task
from workbench.panels.over_examples import drawn_again

__all__ = ["RecordedExample", "recorded_example"]


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
