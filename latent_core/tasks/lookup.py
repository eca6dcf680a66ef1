"""Lookup: find one value in a list (retrieval, H2), for models that cannot learn `summation`.

    k=37,M=21,z=11
    M=
    21.

A pre-trained model of 135 million parameters finds values by their names, and less often the longer
the list, but does not add what it finds. The answer is one look-up: nothing else can go wrong.
"""

from __future__ import annotations

import random
import re
from string import ascii_letters
from typing import final

from latent_core.tasks.base import Example, Mark, Score, SyntheticTask


@final
class Lookup(SyntheticTask):
    """One of many variables; the key is its name and value."""

    name = "lookup"
    description = "Look up the value of one variable in a list."
    hypothesis = "H2 retrieval: latent tokens are anchors for finding things in the input."
    exact_metric = "the value, a full stop, then nothing"
    graded_metric = "the number that the response begins with is the value"
    level_name = "variables"
    id_levels = (2, 3, 4, 5, 6)
    ood_levels = (10, 15, 20, 30)

    def draw(self, rng: random.Random, level: int) -> tuple[str, str, str]:
        """`level` one-letter names with values of 10 to 99, no two names alike."""
        names = rng.sample(ascii_letters, level)
        values = [rng.randint(10, 99) for _ in names]
        wanted = rng.randrange(level)
        listed = ",".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        name, value = names[wanted], values[wanted]
        return f"{listed}\n{name}=", f"{value}.", f"{name}={value}"

    def score(self, example: Example, response: str) -> Score:
        """Compares the number at the beginning with the value; only `exact` minds what follows."""
        found = re.match(r"\s*(\d+)", response)
        right = found is not None and f"{found[1]}." == example.answer
        marks = () if found is None else (Mark(found.start(1), found.end(1), right),)
        return Score(response.strip() == example.answer, float(right), marks)
