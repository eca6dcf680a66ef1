"""Generation: a chain under a hidden rule on digits.

    Chain: 1234
    1234>3143,3143>4134,4134>3145, ...

Digits change places, and the last one is increased by one, modulo 10. Places move in one cycle of
four, so after four steps every digit has grown by one, and no number comes back before step 40. A
permutation of four digits alone comes back after at most four steps; copying would then do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, final

from latent_core.tasks.chains import ChainTask, Rule


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


@cache
def _smallest_of_orbit(number: str) -> str:
    return min(HIDDEN_RULE.orbit(number))


@final
class GenerationTask(ChainTask):
    """Chains under the hidden rule on digits."""

    name = "generation"
    description = "Continue a chain of equations under a hidden rule for four-digit numbers."
    ood_levels = (12, 18, 24, 36)
    longest = 40
    rule = HIDDEN_RULE

    def orbit_key(self, number: str) -> str:
        """Return the smallest number of the orbit."""
        return _smallest_of_orbit(number)


@final
class GenerationShown(ChainTask):
    """The same with two equations in the prompt, so that latents at commas stand there.

    Chain: 1234>3143,3143>4134,
    4134>3145,3145>1446, ...
    """

    name = "generation-shown"
    description = "Continue a chain under a hidden rule after its first two equations."
    ood_levels = (12, 18, 24, 34)
    longest = 38
    rule = HIDDEN_RULE
    shown = 2

    def orbit_key(self, number: str) -> str:
        """Return the smallest number of the orbit."""
        return _smallest_of_orbit(number)
