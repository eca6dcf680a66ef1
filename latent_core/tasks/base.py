"""What a task is: examples by split, a verifier, and a few-shot prompt.

Knows text only: no tokenizer, no tensors, no model. A task owns its prompts, its
answers, how a response is scored, and which examples belong to which split.

Splits are disjoint by construction. Every example carries a `key`, the content that
must not be seen twice (an equation, an orbit of numbers, a pair of operands). A stable
hash puts each key in exactly one of three buckets; `train` draws from the first,
`validation` from the second, and every test split (`id`, `ood-8`, ...) from the third.
So no test key was ever in training, at whatever seed, count or level.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, final

from latent_core.errors import TaskError

#: Per cent of all keys that go to each bucket; the rest (20 %) is for testing.
TRAIN_PERCENT: Final = 70
VALIDATION_PERCENT: Final = 10

#: Draws in a row that may miss (wrong bucket, or a repeat) before a split counts as exhausted.
_PATIENCE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt and the answer wanted.

    `level` is the task's length axis (repeats, equations, variables); `key` the content
    by which splits are kept apart.
    """

    prompt: str
    answer: str
    split: str
    level: int
    key: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A judged stretch of a response: characters `start` (included) to `end` (excluded)."""

    start: int
    end: int
    correct: bool


@dataclass(frozen=True, slots=True)
class Score:
    """A verdict on one response: `exact` match, `graded` in [0, 1], and its judged parts."""

    exact: bool
    graded: float
    marks: tuple[Mark, ...]

    def __post_init__(self) -> None:
        if not 0.0 <= self.graded <= 1.0:
            raise ValueError(f"graded must be in [0, 1], got {self.graded}; check the verifier")


class Task(ABC):
    """Examples in splits, and their verifier.

    Attributes:
        name: what `load_task` and the command line call it.
        description: one sentence on what is asked.
        hypothesis: what the task tests about latent tokens.
        exact_metric, graded_metric: what the two numbers of a `Score` mean here.
        level_name: what `Example.level` counts, in the plural ("repeats").
        id_levels, ood_levels: levels seen in training, and levels beyond them.
        open_ended: True if an answer has no natural end. Training then adds no
            end-of-sequence token, and decoding stops at the answer's own length.
        split_rule: where its splits come from, if the user can change that; said where one is
            missing.
    """

    name: str
    description: str
    hypothesis: str
    exact_metric: str
    graded_metric: str
    level_name: str
    id_levels: tuple[int, ...]
    ood_levels: tuple[int, ...]
    open_ended: bool = False
    split_rule: str = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, splits={', '.join(self.splits)})"

    @property
    def splits(self) -> tuple[str, ...]:
        """All split names; the level of an out-of-distribution split is in its name."""
        return ("train", "validation", "id", *(f"ood-{level}" for level in self.ood_levels))

    @abstractmethod
    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        """`count` examples, fixed by (split, seed): the first k are the same for any count >= k.

        Levels take turns, so every level has the same share. Raises `TaskError` for an
        unknown split or a negative count.
        """

    @abstractmethod
    def score(self, example: Example, response: str) -> Score:
        """Judges a response; marks are character spans of `response` as given."""

    @final
    def few_shot(self, example: Example, shots: int, seed: int) -> str:
        """The example's prompt with `shots` solved training examples in front of it."""
        if shots < 0:
            raise TaskError(f"shots must be 0 or more, got {shots}")
        solved = self.examples("train", shots, seed)
        return "".join(f"{s.prompt}{s.answer}\n\n" for s in solved) + example.prompt

    @final
    def check_request(self, split: str, count: int) -> None:
        """Raises `TaskError` unless the split exists and the count is not negative."""
        resolve_splits(self, (split,))
        if split == "ood" and split not in self.splits:
            raise TaskError(f"'ood' stands for several splits; name one of {self.splits[3:]}")
        if count < 0:
            raise TaskError(f"count must be 0 or more, got {count}")


class SyntheticTask(Task):
    """A task whose examples are drawn at random; subclasses say how to draw one."""

    @abstractmethod
    def draw(self, rng: random.Random, level: int) -> tuple[str, str, str]:
        """A random (prompt, answer, key) at a level, from any bucket."""

    @final
    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        """See `Task.examples`. Test and validation prompts never repeat; training ones may."""
        self.check_request(split, count)
        bucket = split if split in ("train", "validation") else "test"
        levels = (int(split[len("ood-") :]),) if split.startswith("ood-") else self.id_levels
        rng = random.Random(f"{self.name}|{split}|{seed}")
        found: list[Example] = []
        prompts: set[str] = set()
        misses = 0
        while len(found) < count:
            level = levels[len(found) % len(levels)]
            prompt, answer, key = self.draw(rng, level)
            repeated = bucket != "train" and prompt in prompts
            if repeated or bucket_of(self.name, key) != bucket:
                misses += 1
                if misses > _PATIENCE:
                    raise TaskError(
                        f"task {self.name!r} has no more than {len(found)} different examples "
                        f"in split {split!r}, {count} were asked for; ask for fewer"
                    )
                continue
            misses = 0
            prompts.add(prompt)
            found.append(Example(prompt, answer, split, level, key))
        return found


def bucket_of(namespace: str, key: str) -> str:
    """The one bucket a key belongs to, on every machine: "train", "validation" or "test"."""
    digest = hashlib.sha256(f"{namespace}|{key}".encode()).digest()
    percent = int.from_bytes(digest[:8], "big") % 100
    if percent < TRAIN_PERCENT:
        return "train"
    return "validation" if percent < TRAIN_PERCENT + VALIDATION_PERCENT else "test"


def resolve_splits(task: Task, names: str | Iterable[str]) -> tuple[str, ...]:
    """Split names, each once, in the order asked for; "ood" stands for every OOD split.

    A task without OOD splits has none to add for "ood", beside other names.

    Raises `TaskError`, listing what exists, for a name the task does not have.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    far = [split for split in task.splits if split.startswith("ood-")]
    resolved: dict[str, None] = {}
    for name in names:
        found = [name] if name in task.splits else far if name == "ood" else []
        if not found and (name != "ood" or len(set(names)) == 1):
            every = ", and 'ood' for all its OOD splits" if far else ""
            rule = f". {task.split_rule}" if task.split_rule else ""
            raise TaskError(
                f"task {task.name!r} has no split {name!r}; it has {', '.join(task.splits)}{every}"
                f"{rule}"
            )
        resolved.update(dict.fromkeys(found))
    return tuple(resolved)


def split_items(text: str, separator: str = ",") -> list[tuple[int, int, str]]:
    """The separated items of a text as (start, end, item), spaces around them left out."""
    items: list[tuple[int, int, str]] = []
    start = 0
    for piece in text.split(separator):
        item = piece.strip()
        begin = start + (len(piece) - len(piece.lstrip()) if item else 0)
        items.append((begin, begin + len(item), item))
        start += len(piece) + len(separator)
    return items if text.strip() else []


def score_items(wanted: list[str], text: str) -> tuple[float, tuple[Mark, ...]]:
    """Grades comma-separated items against those wanted.

    The grade is (leading items right) / max(items wanted, items written): stopping early
    and running on both cost, and one wrong item forfeits all that follow. A mark is
    correct if the item at that place is the one wanted there.
    """
    items = split_items(text)
    marks = tuple(
        Mark(start, end, index < len(wanted) and item == wanted[index])
        for index, (start, end, item) in enumerate(items)
    )
    leading = next((i for i, mark in enumerate(marks) if not mark.correct), len(marks))
    return leading / max(len(wanted), len(items), 1), marks


def until_stop(response: str, stop: str = ".") -> str:
    """The response up to, not including, its first `stop` mark; all of it if there is none."""
    return response.split(stop, 1)[0]
