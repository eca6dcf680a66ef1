"""Counting: a chain under a hidden step, for models that cannot learn the rule of `generation`.

    Chain: 1234
    1234>1334,1334>1434,1434>1534, ...

Each number is the last one plus 100, modulo 10000. A pre-trained model of 135 million parameters
can add but cannot shuffle digits: with a few latents it learns nothing of `generation`'s rule.
Without training it counts on by 1, 10 or 100 alike, so it has to learn the step. An orbit has 100
numbers, so no number comes back within 30 equations.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Final, final

from latent_core.tasks.chains import ChainTask, Rule

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
    """Chains under the hidden step."""

    name = "counting"
    description = "Count on from a four-digit number by a step that is never stated."
    ood_levels = (9, 12, 18, 30)
    longest = 100
    rule = HIDDEN_STEP

    def orbit_key(self, number: str) -> str:
        """Return the smallest number of the orbit."""
        return f"{int(number) % gcd(HIDDEN_STEP.step, NUMBERS):04d}"


@final
class CountingShown(ChainTask):
    """The same with two equations in the prompt, so that latents at commas stand there."""

    name = "counting-shown"
    description = "Count on by a step that the prompt shows twice."
    ood_levels = (9, 12, 18, 30)
    longest = 98
    rule = HIDDEN_STEP
    shown = 2

    def orbit_key(self, number: str) -> str:
        """Return the smallest number of the orbit."""
        return f"{int(number) % gcd(HIDDEN_STEP.step, NUMBERS):04d}"
