"""Chain tasks: generation and counting, which go on under a rule that is never stated (H1).

Chain: 1234
    1234>3143,3143>4134,4134>3145, ...

A hidden rule makes each number from the last. A model learns the rule from short chains and is
then asked for longer ones. Each task has its own rule, and so its own difficulty.

The answer is open-ended: neither prompt nor training says where to stop. Decoding stops after as
many tokens as the answer has, so the length is not one more thing to learn.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import Final, final

from latent_core.tasks.base import Example, Mark, Score, SyntheticTask
from latent_core.tasks.metrics import split_items

__all__ = ["ChainTask", "Rule"]


class Rule(ABC):
    """A one-to-one rule that makes the next four-digit number of a chain."""

    @abstractmethod
    def apply(self, number: str) -> str:
        """Return the next number, as a string of the same number of digits."""

    def chain(self, start: str, length: int) -> list[str]:
        """Return `length` equations `a>b`; each begins with the result of the last."""
        equations = []
        for _ in range(length):
            following = self.apply(start)
            equations.append(f"{start}>{following}")
            start = following
        return equations

    def orbit(self, number: str) -> list[str]:
        """Return all numbers that the rule leads to from this one, itself first."""
        numbers = [number]
        while (following := self.apply(numbers[-1])) != number:
            numbers.append(following)
        return numbers


@cache
def _smallest_of_orbit(rule: Rule, number: str) -> str:
    return min(rule.orbit(number))


class ChainTask(SyntheticTask):
    """Chains under one rule, all of whose orbits have the same length.

    The key of an example is the smallest number of its chain's orbit. So no equation of a test
    chain, at any length, occurs in any training chain.

    Attributes:
        rule: the hidden rule.
        shown: equations that the prompt shows, each with a comma after it. With some, latents at
            commas stand in the prompt, too.
    """

    demand = "self-prompting"
    hypothesis = "H1 self-prompting: latent tokens keep a rule alive over long output."
    exact_metric = "every one of the chain's equations is right"
    graded_metric = "share of the equations that start from the previous result and obey the rule"
    level_name = "equations"
    id_levels = (6,)
    open_ended = True
    rule: Rule
    shown: int = 0

    @property
    def longest(self) -> int:
        """After these equations, the numbers of a chain come back."""
        return len(self.rule.orbit("0000")) - self.shown

    def draw(self, rng: random.Random, level: int) -> tuple[str, str, str]:
        """Draw a chain from a random number, 0000 to 9999; `level` equations are the answer."""
        start = f"{rng.randrange(10_000):04d}"
        chain = self.rule.chain(start, self.shown + level)
        shown, answer = chain[: self.shown], ",".join(chain[self.shown :])
        prompt = f"Chain: {''.join(f'{one},' for one in shown) or start}\n"
        return prompt, answer, _smallest_of_orbit(self.rule, start)

    def score(self, example: Example, response: str) -> Score:
        """Score the first `level` equations and ignore the rest.

        An equation is right if it starts from the number written before it and follows the rule.
        One wrong equation therefore costs itself only: `graded` is the share of places where the
        rule is alive. `exact` asks for the true chain.
        """
        wanted = example.answer.split(",")
        items = split_items(response)[: len(wanted)]
        marks = []
        left = wanted[0].split(">")[0]
        for start, end, item in items:
            marks.append(Mark(start, end, item == f"{left}>{self.rule.apply(left)}"))
            written = item.rsplit(">", 1)[-1]
            if len(written) == len(left) and written.isascii() and written.isdigit():
                left = written
        graded = sum(mark.correct for mark in marks) / len(wanted)
        return Score([item for _, _, item in items] == wanted, graded, tuple(marks))


@final
@dataclass(frozen=True, slots=True)
class DigitRule(Rule):
    """Digit i of the result is digit `sources[i]` of the number, plus `increments[i]`, mod 10."""

    sources: tuple[int, ...]
    increments: tuple[int, ...]

    def __post_init__(self) -> None:
        if sorted(self.sources) != list(range(len(self.sources))):
            raise ValueError(f"sources must be a permutation of 0, 1, ..., got {self.sources}")
        if len(self.increments) != len(self.sources):
            raise ValueError(
                f"expected {len(self.sources)} increments, one for each digit, "
                f"got {len(self.increments)}"
            )

    def apply(self, number: str) -> str:
        """See `Rule.apply`."""
        moved = zip(self.sources, self.increments, strict=True)
        return "".join(str((int(number[source]) + by) % 10) for source, by in moved)


#: 1234>3143. No pre-training text of the tiny backbone contains it.
HIDDEN_RULE: Final = DigitRule(sources=(2, 0, 3, 1), increments=(0, 0, 0, 1))


@final
class GenerationTask(ChainTask):
    """Generation: a chain under a hidden rule on digits.

        Chain: 1234
        1234>3143,3143>4134,4134>3145, ...

    Digits change places, and the last one is increased by one, modulo 10. Places move in one cycle
    of four, so after four steps every digit has grown by one, and no number comes back before step
    40. A permutation of four digits alone comes back after at most four steps; copying would then
    do.
    """

    name = "generation"
    description = "Continue a chain of equations under a hidden rule for four-digit numbers."
    ood_levels = (12, 18, 24, 36)
    rule = HIDDEN_RULE


@final
class GenerationShown(ChainTask):
    """Generation with two equations in the prompt, so that latents at commas stand there.

    Chain: 1234>3143,3143>4134,
    4134>3145,3145>1446, ...
    """

    name = "generation-shown"
    description = "Continue a chain under a hidden rule after its first two equations."
    ood_levels = (12, 18, 24, 34)
    rule = HIDDEN_RULE
    shown = 2


NUMBERS: Final = 10_000


@final
@dataclass(frozen=True, slots=True)
class StepRule(Rule):
    """A rule that adds `step` to the last number, modulo 10000."""

    step: int

    def apply(self, number: str) -> str:
        """See `Rule.apply`."""
        return f"{(int(number) + self.step) % NUMBERS:04d}"


HIDDEN_STEP: Final = StepRule(100)


@final
class Counting(ChainTask):
    """Counting: a chain under a hidden step, for models that cannot learn the rule of `generation`.

        Chain: 1234
        1234>1334,1334>1434,1434>1534, ...

    Each number is the last one plus 100, modulo 10000. A pre-trained model of 135 million
    parameters can add but cannot shuffle digits: with a few latents it learns nothing of
    `generation`'s rule. Without training it counts on by 1, 10 or 100 alike, so it has to learn the
    step. An orbit has 100 numbers, so no number comes back within 30 equations.
    """

    name = "counting"
    description = "Count on from a four-digit number by a step that is never stated."
    ood_levels = (9, 12, 18, 30)
    rule = HIDDEN_STEP


@final
class CountingShown(ChainTask):
    """Counting with two equations in the prompt, so that latents at commas stand there."""

    name = "counting-shown"
    description = "Count on by a step that the prompt shows twice."
    ood_levels = (9, 12, 18, 30)
    rule = HIDDEN_STEP
    shown = 2
