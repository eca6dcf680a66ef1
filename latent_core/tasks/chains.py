"""Chains: go on and on under a rule that is never stated (self-prompting, H1).

    Chain: 1234
    1234>3143,3143>4134,4134>3145, ...

Each number becomes the next by a hidden rule. It is learned from short chains; then the chain has
to go on, ever longer. What the rule is, and so how hard it is for a model of which size, is for
each task to say.

The answer is open-ended: nothing in prompt or training says where to stop, so length is a
convention of the measurement (decode as many tokens as the answer has), not one more thing
to be learned.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod

from latent_core.tasks.base import Example, Mark, Score, SyntheticTask, split_items

__all__ = ["ChainTask", "Rule"]


class Rule(ABC):
    """Makes the next four-digit number of a chain, one to one."""

    @abstractmethod
    def apply(self, number: str) -> str:
        """The next number, as a string of the same number of digits."""

    def chain(self, start: str, length: int) -> list[str]:
        """`length` equations `a>b`, each beginning with the result of the one before."""
        equations = []
        for _ in range(length):
            following = self.apply(start)
            equations.append(f"{start}>{following}")
            start = following
        return equations

    def orbit(self, number: str) -> list[str]:
        """All numbers the rule leads to from this one, itself first."""
        numbers = [number]
        while (following := self.apply(numbers[-1])) != number:
            numbers.append(following)
        return numbers


class ChainTask(SyntheticTask):
    """Chains under one rule.

    The key of an example names its chain's orbit, so that not one equation of a test chain, at any
    length, occurs in any training chain.

    Attributes:
        rule: the hidden rule.
    """

    hypothesis = "H1 self-prompting: latent tokens keep a rule alive over long output."
    exact_metric = "every one of the chain's equations is right"
    graded_metric = "share of the chain's equations that go on from the last and obey the rule"
    level_name = "equations"
    id_levels = (6,)
    open_ended = True
    rule: Rule

    @abstractmethod
    def orbit_key(self, number: str) -> str:
        """The name of a number's orbit under the rule."""

    def draw(self, rng: random.Random, level: int) -> tuple[str, str, str]:
        """A chain of `level` equations from a random number, 0000 to 9999."""
        start = f"{rng.randrange(10_000):04d}"
        answer = ",".join(self.rule.chain(start, level))
        return f"Chain: {start}\n", answer, self.orbit_key(start)

    def score(self, example: Example, response: str) -> Score:
        """Judges the first `level` equations; what follows them is not looked at.

        An equation is right if it goes on from the one written before it and follows the rule, so
        that a slip costs itself and not all that follows: `graded` asks whether the rule is alive
        at each place, and a method that cannot know how to begin is judged by how it goes on.
        `exact` asks for the true chain.
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
