"""The table of built-in tasks, and loading a task by name or from a file.

To add a task, write one file in this package and add one line to `TASKS`. A task can also be a
JSONL file: see `latent_core.tasks.jsonl`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from latent_core.errors import TaskError
from latent_core.tasks.base import Task
from latent_core.tasks.counting import Counting
from latent_core.tasks.generation import GenerationTask
from latent_core.tasks.hops import Hops
from latent_core.tasks.jsonl import JsonlTask
from latent_core.tasks.lookup import Lookup
from latent_core.tasks.reach import Reach
from latent_core.tasks.repetition import Repetition
from latent_core.tasks.summation import Summation
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
}
"""The built-in tasks by name.

Example:
    >>> import latent_core as lc
    >>> list(lc.tasks.TASKS)
    ['generation', 'counting', 'summation', 'lookup', 'repetition', 'hops', 'reach']
"""


def load_task(name_or_path: str | Path) -> Task:
    """Load a task by name, or from a JSONL file of prompt/answer pairs.

    Args:
        name_or_path: a name in `TASKS`, or a path that ends in .jsonl.

    Raises:
        TaskError: if the name is unknown, or the file is missing or has a broken line.

    Example:
        >>> import latent_core as lc
        >>> lc.load_task("repetition").demand
        'instruction'
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
