"""Donors: for an example, another example of its split that is like it in form.

An intervention that gives latents the states of another example, and a metric that compares a
response with the other example's answer, have to mean the same other example. Both ask here.

Knows text only; no model.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Final, NamedTuple

from latent_core.errors import SettingError, TaskError
from latent_core.tasks.base import Example, Task

__all__ = ["Asked", "answering", "asked_now", "donor_of", "other_examples"]

#: Sizes of the pool that donors come from; a task with few examples gives a smaller one.
_POOLS: Final = (256, 64, 16, 4)

#: Far from the seeds that people give, so that donors are seldom among the examples themselves.
_FIRST_SEED: Final = 7_000_000


class Asked(NamedTuple):
    """What a model is answering now.

    Attributes:
        task: the task.
        examples: one for each row of the batch.
        shots: solved training examples in front of each prompt.
        seed: draws these.
    """

    task: Task
    examples: tuple[Example, ...]
    shots: int = 0
    seed: int = 0

    def prompt(self, example: Example) -> str:
        """The prompt of an example, as those that are answered have theirs."""
        return self.task.few_shot(example, self.shots, self.seed) if self.shots else example.prompt


_ASKED: ContextVar[Asked | None] = ContextVar("asked", default=None)


@contextmanager
def answering(
    task: Task, examples: Sequence[Example], shots: int = 0, seed: int = 0
) -> Iterator[None]:
    """Say which examples a model answers inside the block, for interventions that need them."""
    token = _ASKED.set(Asked(task, tuple(examples), shots, seed))
    try:
        yield
    finally:
        _ASKED.reset(token)


def asked_now(why: str) -> Asked:
    """Return the examples that are being answered.

    Args:
        why: what needs them, for the error.

    Raises:
        SettingError: if the model is not answering examples of a task.
    """
    asked = _ASKED.get()
    if asked is None:
        raise SettingError(
            f"{why} needs other examples of a task, and this text is not known to be an example; "
            "expected lc.evaluate, lc.evaluate_intervention or a hypothesis, which say the task"
        )
    return asked


def other_examples(task: Task, split: str, count: int, seed: int) -> list[Example]:
    """Return examples of a split that are drawn for interventions, not for an evaluation.

    Args:
        task: the task.
        split: one of its splits.
        count: as many as the task has, up to this.
        seed: draws them.

    Raises:
        TaskError: if the split has fewer than two examples.
    """
    for size in dict.fromkeys((count, *(pool for pool in _POOLS if pool < count))):
        try:
            found = task.examples(split, size, _FIRST_SEED + seed)
        except TaskError as error:
            too_few = error
            continue
        return found
    raise TaskError(
        f"task {task.name!r} has too few examples in split {split!r} to take others from: {too_few}"
    ) from too_few


def donor_of(task: Task, example: Example, draw: int = 1) -> Example:
    """Return the donor of an example: another one, with another answer, as like it as can be.

    It has the level of the example, then the same punctuation in the same order, so that latents
    at commas or line ends have counterparts, then the nearest length. Chance decides among equals,
    so that examples have different donors.

    Args:
        task: the task.
        example: one of its examples.
        draw: draws other donors.

    Raises:
        TaskError: if no other example has another answer.
    """
    pool = _pool(_Own(task), example.split, draw)
    others = [
        one
        for one in pool
        if one.prompt != example.prompt and one.key != example.key and one.answer != example.answer
    ]
    if not others:
        raise TaskError(
            f"task {task.name!r} has no example in split {example.split!r} with another answer "
            f"than {example.answer!r:.40}; expected at least two different answers"
        )
    form = _form(example)

    def unlikeness(one: Example) -> tuple[bool, bool, int]:
        away = abs(len(one.prompt) - len(example.prompt))
        away += abs(len(one.answer) - len(example.answer))
        return one.level != example.level, _form(one) != form, away

    least = min(map(unlikeness, others))
    alike = [one for one in others if unlikeness(one) == least]
    return random.Random(f"{draw}|{example.prompt}").choice(alike)


class _Own:
    """A task as a key: itself, whatever it says that it equals, and without a hash of its own."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Own) and self.task is other.task

    def __hash__(self) -> int:
        return id(self.task)


@lru_cache(maxsize=64)
def _pool(own: _Own, split: str, draw: int) -> tuple[Example, ...]:
    return tuple(other_examples(own.task, split, _POOLS[0], draw))


@lru_cache(maxsize=4096)
def _form(example: Example) -> tuple[str, str]:
    """The punctuation of prompt and answer, line ends included."""
    return re.sub(r"[\w ]", "", example.prompt), re.sub(r"[\w ]", "", example.answer)
