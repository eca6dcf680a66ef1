"""Chain tasks: go on under a rule that is never stated (self-prompting, H1).

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

from latent_core.tasks.base import Example, Mark, Score, SyntheticTask, split_items

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


class ChainTask(SyntheticTask):
    """Chains under one rule.

    The key of an example names its chain's orbit. So no equation of a test chain, at any length,
    occurs in any training chain.

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

    @abstractmethod
    def orbit_key(self, number: str) -> str:
        """Return the name of a number's orbit under the rule."""

    def draw(self, rng: random.Random, level: int) -> tuple[str, str, str]:
        """Draw a chain from a random number, 0000 to 9999; `level` equations are the answer."""
        start = f"{rng.randrange(10_000):04d}"
        chain = self.rule.chain(start, self.shown + level)
        shown, answer = chain[: self.shown], ",".join(chain[self.shown :])
        prompt = f"Chain: {''.join(f'{one},' for one in shown) or start}\n"
        return prompt, answer, self.orbit_key(start)

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
