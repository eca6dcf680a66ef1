"""Counting: a chain under a hidden step, for models that cannot learn the rule of `generation`.

    Chain: 1234
    1234>1334,1334>1434,1434>1534, ...

Each number is the last one plus 100, modulo 10000. A pre-trained model of 135 million parameters
can add, but not shuffle digits: with a few latents it learns nothing of `generation`'s rule. Left
to itself it counts on by 1, and by 10 as readily as by 100; which it is has to be learned. Chains
are of 100 numbers, so up to 30 equations none comes back.
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
    """The next number is the last one plus `step`, modulo 10000."""

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
    rule = HIDDEN_STEP

    def orbit_key(self, number: str) -> str:
        """The smallest number of the orbit."""
        return f"{int(number) % gcd(HIDDEN_STEP.step, NUMBERS):04d}"
