"""Generation: go on and on under a rule that is never stated (self-prompting, H1).

    Chain: 1234
    1234>3143,3143>4134,4134>3145, ...

Each number becomes the next by a hidden rule: digits change places and the last one is
increased by one, modulo 10. The rule is learned from chains of six equations; then the
chain has to go on, ever longer. The rule is built so that its chains are long: places move
in one cycle of four, so every digit has grown by one after four steps, and no number comes
back before step 40 (a mere permutation of four digits is back after at most four steps,
and from there on copying would do).

The answer is open-ended: nothing in prompt or training says where to stop, so length is a
convention of the measurement (decode as many tokens as the answer has), not one more thing
to be learned.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Final, final

from latent_core.tasks.base import Example, Mark, Score, SyntheticTask, split_items


@final
@dataclass(frozen=True, slots=True)
class DigitRule:
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
        """The next number, as a string of the same number of digits."""
        moved = zip(self.sources, self.increments, strict=True)
        return "".join(str((int(number[source]) + by) % 10) for source, by in moved)

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


#: 1234>3143. Never part of any pre-training text of ours.
HIDDEN_RULE: Final = DigitRule(sources=(2, 0, 3, 1), increments=(0, 0, 0, 1))


@cache
def _smallest_of_orbit(number: str) -> str:
    """The name of a number's orbit under the hidden rule."""
    return min(HIDDEN_RULE.orbit(number))


@final
class Generation(SyntheticTask):
    """Chains under the hidden rule.

    The key of an example is the smallest number of its chain's orbit, so that not one
    equation of a test chain, at any length, occurs in any training chain.
    """

    name = "generation"
    description = "Continue a chain of equations under a hidden rule for four-digit numbers."
    hypothesis = "H1 self-prompting: latent tokens keep a rule alive over long output."
    exact_metric = "every one of the chain's equations is right"
    graded_metric = "share of the chain's equations that go on from the last and obey the rule"
    level_name = "equations"
    id_levels = (6,)
    ood_levels = (12, 18, 24, 36)
    open_ended = True

    def draw(self, rng: random.Random, level: int) -> tuple[str, str, str]:
        """A chain of `level` equations from a random number, 0000 to 9999."""
        start = f"{rng.randrange(10_000):04d}"
        answer = ",".join(HIDDEN_RULE.chain(start, level))
        return f"Chain: {start}\n", answer, _smallest_of_orbit(start)

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
            marks.append(Mark(start, end, item == f"{left}>{HIDDEN_RULE.apply(left)}"))
            written = item.rsplit(">", 1)[-1]
            if len(written) == len(left) and written.isascii() and written.isdigit():
                left = written
        graded = sum(mark.correct for mark in marks) / len(wanted)
        return Score([item for _, _, item in items] == wanted, graded, tuple(marks))
