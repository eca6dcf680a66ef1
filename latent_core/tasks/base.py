"""The base class of tasks: examples by split, a verifier, and a few-shot prompt.

A task is text only: it knows no tokenizer, no tensors and no model.

Splits are disjoint by construction. Every example has a `key`: the content that must not be seen
twice, such as an equation or a pair of operands. A stable hash puts each key in one of three
buckets. `train` draws from the first, `validation` from the second, and every test split (`id`,
`ood-8`, ...) from the third. No test key was ever in training, whatever the seed, count or level.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any, Final, Literal, final, get_args

from latent_core.errors import TaskError
from latent_core.tasks.conversations import before_prompt

Demand = Literal["self-prompting", "retrieval", "instruction"]
"""What a task demands of the latent tokens, one value for each hypothesis of the paper.

Keep a rule alive over a long output (H1), find things in the input (H2), keep an instruction alive
(H3).

Example:
    >>> import latent_core as lc
    >>> lc.load_task("lookup").demand
    'retrieval'
"""

#: Per cent of all keys that go to each bucket; the rest (20 %) is for testing.
TRAIN_PERCENT: Final = 70
VALIDATION_PERCENT: Final = 10

#: Seeds whose first example of each split goes into a task's fingerprint.
_SAMPLED_SEEDS: Final = range(4)

#: Draws in a row that may miss (wrong bucket, or a repeat) before a split counts as exhausted.
_PATIENCE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt and its answer.

    Attributes:
        prompt, answer: the text given, and the text wanted. The prompt may be a conversation, in
            the notation of `lc.tasks.chat_prompt`.
        split: the name of the example's split.
        level: the length on the task's own axis (repeats, equations, variables).
        key: the content that keeps the splits disjoint.
        steps: the written steps that lead to the answer; none for most tasks.

    Example:
        >>> import latent_core as lc
        >>> (example,) = lc.load_task("repetition").examples("id", 1, seed=0)
        >>> example.level, example.split
        (1, 'id')
    """

    prompt: str
    answer: str
    split: str
    level: int
    key: str
    steps: tuple[str, ...] = ()

    @property
    def content(self) -> tuple[Any, ...]:
        """The fields as plain values, for a hash; without steps, as before there were any."""
        fields = astuple(self)
        return fields if self.steps else fields[:-1]


@dataclass(frozen=True, slots=True)
class Mark:
    """A judged part of a response: characters `start` (included) to `end` (excluded).

    Example:
        >>> import latent_core as lc
        >>> task = lc.load_task("repetition")
        >>> (example,) = task.examples("id", 1, seed=0)
        >>> task.score(example, "1+1=3").marks
        (Mark(start=0, end=5, correct=False),)
    """

    start: int
    end: int
    correct: bool


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one response: `exact` match, `graded` in [0, 1], and its judged parts.

    Example:
        >>> import latent_core as lc
        >>> task = lc.load_task("repetition")
        >>> (example,) = task.examples("ood-6", 1, seed=0)
        >>> score = task.score(example, example.answer)
        >>> score.exact, score.graded, len(score.marks)
        (True, 1.0, 6)
    """

    exact: bool
    graded: float
    marks: tuple[Mark, ...]

    def __post_init__(self) -> None:
        if not 0.0 <= self.graded <= 1.0:
            raise ValueError(f"graded must be in [0, 1], got {self.graded}; check the verifier")


def check_demand(value: Any, where: str) -> Demand:
    """Return the value if it is a `Demand`; else raise a `TaskError` that begins with `where`."""
    if value not in get_args(Demand):
        known = ", ".join(get_args(Demand))
        raise TaskError(f"{where}: demand is {value!r:.80}; expected one of {known}")
    return value


class Task(ABC):
    """Examples in splits, and their verifier.

    Attributes:
        name: the task's name for `load_task` and the command line.
        description: one sentence that says what a prompt asks for.
        demand: what the task demands of latent tokens. The built-in studies choose their
            interventions by it.
        hypothesis: the same as a sentence for people. No code reads it for a decision.
        exact_metric, graded_metric: what the two numbers of a `Score` mean here.
        level_name: what `Example.level` counts, in the plural ("repeats").
        id_levels, ood_levels: levels seen in training, and levels beyond them.
        open_ended: True if an answer has no natural end. Training then adds no
            end-of-sequence token, and decoding stops at the answer's own length.
        step_end: what ends a written step in a response.
        split_rule: where the splits come from, if the user can change that. The error for a missing
            split says it.

    Example:
        >>> import latent_core as lc
        >>> class Echo(lc.Task):
        ...     name, description, hypothesis = "echo", "write a digit again", "none"
        ...     exact_metric, graded_metric = "the same digit", "the same digit"
        ...     level_name, id_levels, ood_levels = "digits", (1,), ()
        ...
        ...     def examples(self, split, count, seed):
        ...         return [lc.Example(f"{i}>", f"{i}", split, 1, f"{i}") for i in range(count)]
        ...
        ...     def score(self, example, response):
        ...         right = response == example.answer
        ...         return lc.Score(right, float(right), ())
        >>> Echo().examples("id", 1, seed=0)
        [Example(prompt='0>', answer='0', split='id', level=1, key='0', steps=())]
    """

    name: str
    description: str
    demand: Demand = "self-prompting"
    hypothesis: str
    exact_metric: str
    graded_metric: str
    level_name: str
    id_levels: tuple[int, ...]
    ood_levels: tuple[int, ...]
    open_ended: bool = False
    step_end: str = "\n"
    split_rule: str = ""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        check_demand(cls.demand, f"class {cls.__name__}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, splits={', '.join(self.splits)})"

    @property
    def splits(self) -> tuple[str, ...]:
        """All split names; the level of an out-of-distribution split is in its name."""
        return ("train", "validation", "id", *(f"ood-{level}" for level in self.ood_levels))

    @property
    def splits_said(self) -> str:
        """The splits, as errors say them."""
        return ", ".join(self.splits)

    def has_split(self, name: str) -> bool:
        """Whether examples can be drawn from a split of this name; `splits` may not list it.

        Example:
            >>> import latent_core as lc
            >>> task = lc.load_task("repetition")  # its longest level is ood-15
            >>> task.has_split("ood-40"), "ood-40" in task.splits
            (True, False)
        """
        return name in self.splits

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the task's content, so that two tasks of one name are told apart.

        Runs and records keep it. It covers the name and four examples of every split; a task from a
        file covers all of its lines.

        Example:
            >>> import latent_core as lc
            >>> repetition, again = lc.load_task("repetition"), lc.load_task("repetition")
            >>> repetition.fingerprint == again.fingerprint
            True
        """
        drawn = [
            example.content
            for split in self.splits
            for seed in _SAMPLED_SEEDS
            for example in self.examples(split, 1, seed)
        ]
        return content_hash([self.name, self.open_ended, drawn])

    @abstractmethod
    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        """Return `count` examples, fixed by split and seed.

        A smaller count gives the first of the same examples. Levels take turns, so that every level
        has the same share.

        Raises:
            TaskError: if the split is unknown or the count is negative.
        """

    @abstractmethod
    def score(self, example: Example, response: str) -> Score:
        """Score a response; marks are character spans of `response` as given."""

    def roles(self, example: Example) -> Mapping[str, Sequence[tuple[int, int]]]:
        """Return what parts of a prompt are for: spans of its characters by role; none by default.

        In a conversation, count the characters of its messages' contents, one after another.
        `mean_attention` tells the latents in these parts from the others.
        """
        return {}

    def edited(self, example: Example) -> Example | None:
        """The example after one edit of its prompt that changes its answer; None if there is none.

        The edit is fixed by the example, which is one as drawn: not an edited one.
        """
        return None

    @final
    def written(self, example: Example, skipped: int = 0) -> str:
        """The response with its steps written out, all but the first `skipped` of them."""
        steps = (step + self.step_end for step in example.steps[skipped:])
        return "".join(steps) + example.answer

    @final
    def after_steps(self, example: Example, response: str) -> int:
        """Where the answer begins in a response that may write steps before it."""
        if not example.steps:
            return 0
        ends = [found.end() for found in re.finditer(re.escape(self.step_end), response)]
        within = example.answer.count(self.step_end)
        return ends[-1 - within] if len(ends) > within else 0

    @final
    def few_shot(self, example: Example, shots: int, seed: int) -> str:
        """Return the example's prompt with `shots` solved training examples in front of it."""
        if shots < 0:
            raise TaskError(f"shots must be 0 or more, got {shots}")
        solved = self.examples("train", shots, seed)
        return before_prompt([(one.prompt, one.answer) for one in solved], example.prompt)

    @final
    def check_request(self, split: str, count: int) -> None:
        """Raise `TaskError` unless the split exists and the count is not negative."""
        resolve_splits(self, (split,))
        if split == "ood" and split not in self.splits:
            far = ", ".join(one for one in self.splits if one.startswith("ood-"))
            raise TaskError(f"'ood' stands for several splits; name one of {far}")
        if count < 0:
            raise TaskError(f"count must be 0 or more, got {count}")


class SyntheticTask(Task):
    """A task whose examples are drawn at random; a subclass draws one.

    Beside `ood_levels`, every level beyond training has a split: `ood-40`.
    """

    @property
    def longest(self) -> int | None:
        """The highest level of which examples can be drawn; None if there is none."""
        return None

    @final
    def has_split(self, name: str) -> bool:
        """See `Task.has_split`."""
        found = re.fullmatch(r"ood-([1-9][0-9]{0,8})", name)
        if found is None or name in self.splits:
            return name in self.splits
        level = int(found[1])
        return max(self.id_levels) < level and (self.longest is None or level <= self.longest)

    @property
    def splits_said(self) -> str:
        """See `Task.splits_said`."""
        end = "on" if self.longest is None else f"to {self.longest}"
        return f"{super().splits_said}, ood-N for every N from {max(self.id_levels) + 1} {end}"

    @abstractmethod
    def draw(self, rng: random.Random, level: int) -> tuple[str, str, str]:
        """Draw a random (prompt, answer, key) at a level, from any bucket."""

    def steps(self, prompt: str) -> tuple[str, ...]:
        """The steps that lead from a prompt to its answer; none by default."""
        return ()

    @final
    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        """See `Task.examples`. Only training prompts may repeat."""
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
            found.append(Example(prompt, answer, split, level, key, self.steps(prompt)))
        return found


def content_hash(content: Any) -> str:
    """Return a short hash of plain values, the same on every machine."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def bucket_of(namespace: str, key: str) -> str:
    """Return a key's bucket, the same on every machine: "train", "validation" or "test"."""
    digest = hashlib.sha256(f"{namespace}|{key}".encode()).digest()
    percent = int.from_bytes(digest[:8], "big") % 100
    if percent < TRAIN_PERCENT:
        return "train"
    return "validation" if percent < TRAIN_PERCENT + VALIDATION_PERCENT else "test"


def resolve_splits(task: Task, names: str | Iterable[str]) -> tuple[str, ...]:
    """Return split names, each once, in the order asked for; "ood" stands for every OOD split.

    Beside other names, "ood" may stand for no split at all: a task need not have OOD splits.

    Args:
        task: says which splits there are.
        names: one name or several.

    Raises:
        TaskError: if the task has no such split; the error lists those it has.

    Example:
        >>> import latent_core as lc
        >>> lc.tasks.resolve_splits(lc.load_task("repetition"), ["id", "ood"])
        ('id', 'ood-6', 'ood-8', 'ood-10', 'ood-15')
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    far = [split for split in task.splits if split.startswith("ood-")]
    resolved: dict[str, None] = {}
    for name in names:
        found = [name] if task.has_split(name) else far if name == "ood" else []
        if not found and (name != "ood" or len(set(names)) == 1):
            every = ", and 'ood' for all its OOD splits" if far else ""
            rule = f". {task.split_rule}" if task.split_rule else ""
            raise TaskError(
                f"task {task.name!r} has no split {name!r}; it has {task.splits_said}{every}{rule}"
            )
        resolved.update(dict.fromkeys(found))
    return tuple(resolved)
