"""Repetition: write an equation exactly n times (instruction adherence, H3).

    Repeat 3 times: 12+34=46
    12+34=46,12+34=46,12+34=46.

Training has n from 1 to 5. For a larger n the equation is still easy to copy. The hard part is to
remember the number asked for while the output grows, and to stop there.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from typing import final

from latent_core.tasks.base import (
    Example,
    Score,
    SyntheticTask,
)
from latent_core.tasks.metrics import (
    score_items,
    until_stop,
)


class _Repeating(SyntheticTask):
    """Repeat a two-digit addition n times; an equation's key is the equation, whatever n is."""

    demand = "instruction"
    hypothesis = "H3 instruction adherence: latent tokens keep an instruction alive."
    exact_metric = "the equation exactly n times, then a full stop, then nothing"
    graded_metric = (
        "right equations before the first wrong one / n, or the number written if larger"
    )
    level_name = "repeats"
    id_levels = (1, 2, 3, 4, 5)
    ood_levels = (6, 8, 10, 15)

    @abstractmethod
    def given(self, left: int, right: int) -> str:
        """Return the equation as the prompt gives it."""

    def draw(self, rng: random.Random, level: int) -> tuple[str, str, str]:
        """Draw one of 8100 equations, to be written `level` times."""
        left, right = rng.randint(10, 99), rng.randint(10, 99)
        equation = f"{left}+{right}={left + right}"
        times = "time" if level == 1 else "times"
        prompt = f"Repeat {level} {times}: {self.given(left, right)}\n"
        return prompt, ",".join([equation] * level) + ".", equation

    def score(self, example: Example, response: str) -> Score:
        """Score the text before the first full stop; `exact` needs the full stop to be last."""
        graded, marks = score_items([example.key] * example.level, until_stop(response))
        return Score(response.strip() == example.answer, graded, marks)


@final
class Repetition(_Repeating):
    """The prompt gives the equation as it is to be written."""

    name = "repetition"
    description = "Repeat an equation n times, separated by commas, ending in a full stop."

    def given(self, left: int, right: int) -> str:
        """See `_Repeating.given`."""
        return f"{left}+{right}={left + right}"


@final
class RepetitionListed(_Repeating):
    """The prompt gives the equation's numbers as a list, so that latents at commas stand there.

    Repeat 3 times: 12,34,46
    12+34=46,12+34=46,12+34=46.
    """

    name = "repetition-listed"
    description = "Write an addition, whose numbers are listed, n times, ending in a full stop."

    def given(self, left: int, right: int) -> str:
        """See `_Repeating.given`."""
        return f"{left},{right},{left + right}"
