"""List tasks: summation and lookup, which find two values in a list (retrieval, H2)."""

from __future__ import annotations

import itertools
import random
from string import ascii_letters
from typing import Final, final

from latent_core.tasks.base import (
    Example,
    Mark,
    Score,
    SyntheticTask,
)
from latent_core.tasks.metrics import (
    asked_entries,
    score_items,
    until_stop,
)

#: Names of a list that is longer than there are letters, after those of one letter.
_TWO_LETTERS: Final = tuple(map("".join, itertools.product(ascii_letters, repeat=2)))
_LONGEST: Final = len(ascii_letters) + len(_TWO_LETTERS)


def _names(rng: random.Random, count: int) -> list[str]:
    """Different names: letters, and from 53 on all letters among names of two."""
    if count <= len(ascii_letters):
        return rng.sample(ascii_letters, count)
    more = rng.sample(_TWO_LETTERS, count - len(ascii_letters))
    return rng.sample([*ascii_letters, *more], count)


def _asked(rng: random.Random, names: list[str]) -> list[int]:
    """The places of two names of one letter, so that no list asks for what training does not."""
    return rng.sample([place for place, name in enumerate(names) if len(name) == 1], 2)


@final
class Summation(SyntheticTask):
    """Summation: two of many variables, and their sum.

        k=37,M=21,z=11
        k+z
        37+11=48.

    Training lists have 5 to 15 variables. In a longer list the sum is as easy, but its operands are
    harder to find. From 53 variables on, some that are not asked for have names of two letters. The
    answer states the operands, which tells a failed look-up from a failed addition. The key is the
    unordered pair of their values.
    """

    name = "summation"
    description = "Look up two variables in a list and add their values."
    demand = "retrieval"
    hypothesis = "H2 retrieval: latent tokens are anchors for finding things in the input."
    exact_metric = "both operands in order, their sum, a full stop, then nothing"
    graded_metric = "share of the three numbers (two operands, one sum) that are right"
    level_name = "variables"
    id_levels = tuple(range(5, 16))
    ood_levels = (20, 30, 40, 50)
    longest = _LONGEST

    def draw(self, rng: random.Random, level: int) -> tuple[str, str, str]:
        """Draw `level` different names with values of 10 to 49, and ask for two."""
        names = _names(rng, level)
        values = [rng.randint(10, 49) for _ in names]
        first, second = _asked(rng, names)
        a, b = values[first], values[second]
        listed = ",".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        prompt = f"{listed}\n{names[first]}+{names[second]}\n"
        low, high = sorted((a, b))
        return prompt, f"{a}+{b}={a + b}.", f"{low}+{high}"

    def roles(self, example: Example) -> dict[str, list[tuple[int, int]]]:
        """The two entries that are asked for, each with the sign after it."""
        names = example.prompt.split("\n")[1].split("+")
        return {"asked": asked_entries(example.prompt, names)}

    def score(self, example: Example, response: str) -> Score:
        """Compare the numbers before the first full stop, in order, with those wanted.

        The share is of three, or of the numbers written if those are more.
        """
        text = until_stop(response)
        wanted = until_stop(example.answer).replace("=", "+").split("+")
        marks = []
        start = 0
        for index, piece in enumerate(text.replace("=", "+").split("+") if text.strip() else []):
            right = index < len(wanted) and piece.strip() == wanted[index]
            marks.append(Mark(start, start + len(piece), right))
            start += len(piece) + 1
        graded = sum(mark.correct for mark in marks) / max(len(wanted), len(marks))
        return Score(response.strip() == example.answer, graded, tuple(marks))


@final
class Lookup(SyntheticTask):
    """Lookup: two of many variables, for models that cannot learn `summation`.

        k=37,M=21,z=11
        k,z
        k=37,z=11.

    A pre-trained model of 135 million parameters finds values by their names, less often in longer
    lists. It cannot add them. So the answer repeats the two entries found. From 53 variables on,
    some that are not asked for have names of two letters. The key is the unordered pair of their
    names and values.
    """

    name = "lookup"
    description = "Look up the values of two variables in a list."
    demand = "retrieval"
    hypothesis = "H2 retrieval: latent tokens are anchors for finding things in the input."
    exact_metric = "both variables with their values in the order asked, a full stop, then nothing"
    graded_metric = (
        "right variables before the first wrong one / 2, or the number written if larger"
    )
    level_name = "variables"
    id_levels = (3, 4, 5, 6, 7, 8)
    ood_levels = (12, 20, 30, 50)
    longest = _LONGEST

    def draw(self, rng: random.Random, level: int) -> tuple[str, str, str]:
        """Draw `level` different names with values of 10 to 99, and ask for two."""
        names = _names(rng, level)
        listed = [f"{name}={rng.randint(10, 99)}" for name in names]
        first, second = _asked(rng, names)
        prompt = f"{','.join(listed)}\n{names[first]},{names[second]}\n"
        found = (listed[first], listed[second])
        return prompt, f"{','.join(found)}.", ",".join(sorted(found))

    def roles(self, example: Example) -> dict[str, list[tuple[int, int]]]:
        """The two entries that are asked for, each with the sign after it."""
        names = example.prompt.split("\n")[1].split(",")
        return {"asked": asked_entries(example.prompt, names)}

    def score(self, example: Example, response: str) -> Score:
        """Compare the text before the first full stop with the two entries, in order."""
        graded, marks = score_items(until_stop(example.answer).split(","), until_stop(response))
        return Score(response.strip() == example.answer, graded, marks)
