"""Hops: follow a chain of names to a value (retrieval, H2), one look-up after another.

    b=a;x=3;c=b;y=x;a=7
    c?
    7.

Its steps are the look-ups: `c=b`, `b=a`, `a=7`. Each look-up needs the result of the one before.
Other chains stand in the list, so that neither the values nor the order tell the answer.
"""

from __future__ import annotations

import random
from dataclasses import replace
from string import ascii_letters
from typing import Final, final

from latent_core.tasks.base import Example, Mark, Score, SyntheticTask, asked_entries, until_stop

_SIGN: Final = ";"
#: Chains beside the one that is asked for.
_OTHERS: Final = 2
_DIGITS: Final = "0123456789"


@final
class Hops(SyntheticTask):
    """A value at the end of a chain of names; the key is the chain with its value.

    The list holds the asked chain, and two others of one look-up to as many as the asked one has.
    Their values differ.
    """

    name = "hops"
    description = "Follow a chain of variables to its value."
    demand = "retrieval"
    hypothesis = "H2 retrieval: latent tokens are anchors for finding things in the input."
    exact_metric = "the value and a full stop, after any written look-ups, then nothing"
    graded_metric = "1 if the value is right, else 0"
    level_name = "look-ups"
    id_levels = (1, 2, 3, 4)
    ood_levels = (5, 6, 8, 10)
    longest = len(ascii_letters) // (1 + _OTHERS)
    step_end = _SIGN

    def draw(self, rng: random.Random, level: int) -> tuple[str, str, str]:
        """Draw a chain of `level` names and two others, of different one-letter names."""
        sizes = [level, *(rng.randint(1, level) for _ in range(_OTHERS))]
        names = rng.sample(ascii_letters, sum(sizes))
        chains: list[list[str]] = []
        for size, value in zip(sizes, rng.sample(_DIGITS, len(sizes)), strict=True):
            chain, names = names[:size], names[size:]
            chains.append([f"{a}={b}" for a, b in zip(chain, [*chain[1:], value], strict=True)])
        asked = chains[0]
        entries = [entry for chain in chains for entry in chain]
        rng.shuffle(entries)
        prompt = f"{_SIGN.join(entries)}\n{asked[0][0]}?\n"
        return prompt, f"{asked[-1][-1]}.", _SIGN.join(asked)

    def steps(self, prompt: str) -> tuple[str, ...]:
        """The look-ups in order."""
        entries, name = _read(prompt)
        found = []
        while name in entries:
            found.append(f"{name}={entries[name]}")
            name = entries[name]
        return tuple(found)

    def edited(self, example: Example) -> Example:
        """See `Task.edited`: another value at the end, or one name that leads to another chain."""
        rng = random.Random(f"edit|{example.prompt}")
        entries, _ = _read(example.prompt)
        others = set(entries) - {step[0] for step in example.steps}
        old = rng.choice(example.steps) if rng.random() < 0.5 else example.steps[-1]
        if old == example.steps[-1]:
            new = old[:2] + rng.choice(sorted(set(_DIGITS) - set(entries.values())))
        else:
            new = old[:2] + rng.choice(sorted(others))
        listed, asked, _ = example.prompt.split("\n")
        changed = _SIGN.join(new if entry == old else entry for entry in listed.split(_SIGN))
        prompt = f"{changed}\n{asked}\n"
        steps = self.steps(prompt)
        return replace(example, prompt=prompt, answer=f"{steps[-1][-1]}.", steps=steps)

    def roles(self, example: Example) -> dict[str, list[tuple[int, int]]]:
        """The entries of the asked chain, each with the sign after it."""
        names = {step[0] for step in example.steps}
        return {"asked": asked_entries(example.prompt, names, _SIGN)}

    def score(self, example: Example, response: str) -> Score:
        """Compare what follows the written look-ups, if there are any, with the value."""
        start = self.after_steps(example, response)
        return score_word(example, response, start)


def score_word(example: Example, response: str, start: int) -> Score:
    """Score a response that ends in one word and a full stop, from a character on."""
    word = until_stop(response[start:]).strip()
    right = word == until_stop(example.answer)
    begin = start + len(response[start:]) - len(response[start:].lstrip())
    marks = (Mark(begin, begin + len(word), right),) if word else ()
    return Score(response[start:].strip() == example.answer, float(right), marks)


def _read(prompt: str) -> tuple[dict[str, str], str]:
    """What each name of a prompt stands for, and the name that is asked for."""
    listed, asked, _ = prompt.split("\n")
    entries = dict(entry.split("=") for entry in listed.split(_SIGN))
    return entries, asked.removesuffix("?")
