"""The tasks, in one literal table. To add one: a file here and a line in `TASKS`, or a JSONL."""

from __future__ import annotations

from pathlib import Path

from latent_core.errors import TaskError
from latent_core.tasks.base import Example, Mark, Score, Task, resolve_splits
from latent_core.tasks.counting import Counting
from latent_core.tasks.generation import Generation
from latent_core.tasks.jsonl import JsonlTask
from latent_core.tasks.lookup import Lookup
from latent_core.tasks.repetition import Repetition
from latent_core.tasks.summation import Summation
from latent_core.wording import did_you_mean

TASKS: dict[str, type[Task]] = {
    "generation": Generation,
    "counting": Counting,
    "summation": Summation,
    "lookup": Lookup,
    "repetition": Repetition,
}


def load_task(name_or_path: str | Path) -> Task:
    """A task by name, or from a JSONL file of prompt/answer pairs (a path ending in .jsonl).

    Raises `TaskError` for an unknown name, or a file that is missing or has a broken line.
    """
    name = str(name_or_path)
    if name in TASKS:
        return TASKS[name]()
    if name.endswith(".jsonl"):
        return JsonlTask(name)
    raise TaskError(
        f"unknown task {name!r}{did_you_mean(name, TASKS)} Expected one of {', '.join(TASKS)}, or "
        "a path ending in .jsonl"
    )


__all__ = ["TASKS", "Example", "Mark", "Score", "Task", "load_task", "resolve_splits"]
