"""Levels and splits: in words, and which example of one is looked at."""

from __future__ import annotations

from typing import Final, NamedTuple

from latent_core.errors import TaskError
from latent_core.tasks.base import Example, Task
from latent_core.wording import counted

__all__ = ["Draw", "level_words", "split_words"]


def level_words(level: int, name: str) -> str:
    """`1 repeat`, `5 repeats`; `level 3` where a task does not say what its levels count."""
    return f"level {level}" if name == "level" else counted(level, name.removesuffix("s"))


def split_words(split: str) -> str:
    """`ID`, `OOD 20`; another split by its own name."""
    return "ID" if split == "id" else split.replace("ood-", "OOD ")


#: Examples looked at for one of a certain level.
_MOST_DRAWS: Final = 64


class Draw(NamedTuple):
    """How an example is drawn.

    Attributes:
        split: its name.
        number: of the example in the split, or among those of the level, from 0.
        level: of the example; None for any.
        seed: of the draw.
    """

    split: str
    number: int = 0
    level: int | None = None
    seed: int = 1

    def example(self, task: Task) -> Example:
        """Draw it.

        Raises:
            TaskError: if the task has no such split, level or example.
        """
        split, number, level, seed = self
        wanted = count = number + 1
        while True:
            found = task.examples(split, count, seed)
            matching = [e for e in found if level is None or e.level == level]
            if len(matching) > number or len(found) < count or count >= _MOST_DRAWS * wanted:
                break
            count *= 2  # levels take turns, or are mixed as in a file
        if len(matching) <= number:
            raise TaskError(
                f"task {task.name!r} has {len(matching)} examples in split {split!r}"
                + ("" if level is None else f" with {level_words(level, task.level_name)}")
                + f"; number {number} was asked for, and they count from 0"
            )
        return matching[number]
