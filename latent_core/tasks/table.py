"""The table of built-in tasks, and loading a task by name or from a file.

To add a task, write one file in this package and add one line to `TASKS`. A task can also be a
JSONL file: see `latent_core.tasks.jsonl`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from latent_core.errors import TaskError
from latent_core.tasks.base import Task
from latent_core.tasks.chains import Counting, CountingShown, GenerationShown, GenerationTask
from latent_core.tasks.jsonl import JsonlTask
from latent_core.tasks.lists import Lookup, Summation
from latent_core.tasks.metrics import Metric
from latent_core.tasks.paths import Hops, Reach
from latent_core.tasks.repetition import Repetition, RepetitionListed
from latent_core.wording import did_you_mean

__all__ = ["TASKS", "load_task"]

TASKS: Final[dict[str, type[Task]]] = {
    "generation": GenerationTask,
    "counting": Counting,
    "summation": Summation,
    "lookup": Lookup,
    "repetition": Repetition,
    "hops": Hops,
    "reach": Reach,
    "generation-shown": GenerationShown,
    "counting-shown": CountingShown,
    "repetition-listed": RepetitionListed,
}
"""The built-in tasks by name.

Example:
    >>> import latent_core as lc
    >>> list(lc.tasks.TASKS)[:7]
    ['generation', 'counting', 'summation', 'lookup', 'repetition', 'hops', 'reach']
"""


def load_task(
    name_or_path: str | Path, metric: str | Metric | Callable[[str, str], float] | None = None
) -> Task:
    """Load a task by name, or from a JSONL file of prompt/answer pairs.

    Args:
        name_or_path: a name in `TASKS`, or a path that ends in .jsonl. `lc.tasks.convert` makes
            such a file of a data frame, a Parquet or CSV file, or a Hugging Face dataset.
        metric: of a file, in place of the one that it states: a name in `METRICS`, or a function of
            answer and response that gives a number from 0 to 1.

    Raises:
        TaskError: if the name is unknown, the file is missing or has a broken line, or a metric is
            given for a built-in task, which has its own.

    Example:
        >>> import latent_core as lc
        >>> lc.load_task("repetition").demand
        'instruction'
    """
    name = str(name_or_path)
    if name in TASKS:
        if metric is not None:
            raise TaskError(f"task {name!r} has a metric of its own; leave out `metric`")
        return TASKS[name]()
    if name.endswith(".jsonl"):
        return JsonlTask(name, metric)
    raise TaskError(
        f"unknown task {name!r}{did_you_mean(name, TASKS)} Expected one of {', '.join(TASKS)}, or "
        "a path ending in .jsonl"
    )
