"""Path tasks: hops and reach, whose answer is where a path of look-ups ends (retrieval, H2)."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
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
    split_items,
    until_stop,
)

#: Between the entries of a list.
_SIGN: Final = ";"
#: Chains beside the one that is asked for.
_OTHERS: Final = 2
_DIGITS: Final = "0123456789"


@final
class Hops(SyntheticTask):
    """Hops: a value at the end of a chain of names, one look-up after another.

        b=a;x=3;c=b;y=x;a=7
        c?
        7.

    Its steps are the look-ups: `c=b`, `b=a`, `a=7`. Each look-up needs the result of the one
    before. Other chains stand in the list, so that neither the values nor the order tell the
    answer. The key is the chain with its value.

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
        entries, name = _entries_and_name(prompt)
        found = []
        while name in entries:
            found.append(f"{name}={entries[name]}")
            name = entries[name]
        return tuple(found)

    def edited(self, example: Example) -> Example:
        """See `Task.edited`: another value at the end, or one name that leads to another chain."""
        rng = random.Random(f"edit|{example.prompt}")
        entries, _ = _entries_and_name(example.prompt)
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


def _entries_and_name(prompt: str) -> tuple[dict[str, str], str]:
    """What each name of a prompt stands for, and the name that is asked for."""
    listed, asked, _ = prompt.split("\n")
    entries = dict(entry.split("=") for entry in listed.split(_SIGN))
    return entries, asked.removesuffix("?")


@final
class Reach(SyntheticTask):
    """Reach: which of two nodes can be reached in a graph.

        c>d;a>b;b>e;f>c
        a:e|d
        e.

    After ProsQA (Hao et al. 2024, arXiv 2412.06769, section 4): there, a node is a made-up concept
    and an edge a sentence, "Every gerpus is a terpus", and the question names two concepts, of
    which one can be reached. Its steps are the edges on the way. Here a node is a letter. The ways
    to both nodes are of one length, and as many edges lead astray on either, so that counting does
    not tell. The key is the way.
    """

    name = "reach"
    description = "Say which of two nodes can be reached in a graph."
    demand = "retrieval"
    hypothesis = "H2 retrieval: latent tokens are anchors for finding things in the input."
    exact_metric = "the node and a full stop, after any written edges, then nothing"
    graded_metric = "1 if the node is right, else 0; 0.5 by chance"
    level_name = "edges on the way"
    id_levels = (1, 2, 3, 4)
    ood_levels = (5, 6, 8)
    longest = (len(ascii_letters) - 2) // 4
    step_end = _SIGN

    def draw(self, rng: random.Random, level: int) -> tuple[str, str, str]:
        """Draw two ways of `level` edges, each with `level` edges that lead astray."""
        names = rng.sample(ascii_letters, 4 * level + 2)
        edges, ways = [], []
        for side in (names[::2], names[1::2]):
            way, astray = side[: level + 1], side[level + 1 :]
            ways.append([f"{a}>{b}" for a, b in pairwise(way)])
            edges += ways[-1] + [f"{rng.choice(way[:-1])}>{end}" for end in astray]
        rng.shuffle(edges)
        ends = [way[-1][-1] for way in ways]
        first, second = rng.sample(ends, 2)
        prompt = f"{_SIGN.join(edges)}\n{ways[0][0][0]}:{first}|{second}\n"
        return prompt, f"{ends[0]}.", _SIGN.join(ways[0])

    def steps(self, prompt: str) -> tuple[str, ...]:
        """The edges on the way, in order."""
        edges, root, ends = _edges_and_nodes(prompt)
        before = {}
        reached = [root]
        for node in reached:
            for edge in edges:
                if edge[0] == node and edge[-1] not in before:
                    before[edge[-1]] = edge
                    reached.append(edge[-1])
        (end,) = set(ends) & set(reached)
        way = [before[end]]
        while way[-1][0] != root:
            way.append(before[way[-1][0]])
        return tuple(reversed(way))

    def edited(self, example: Example) -> Example:
        """See `Task.edited`: one edge of the way leads to the other node's way, as far along."""
        edges, _, ends = _edges_and_nodes(example.prompt)
        rng = random.Random(f"edit|{example.prompt}")
        other = next(end for end in ends if end != example.steps[-1][-1])
        parents = {edge[-1]: edge[0] for edge in edges}
        there = [other]
        while there[-1] in parents:
            there.append(parents[there[-1]])
        length = len(example.steps)
        place = rng.randrange(length)
        old = example.steps[place]
        new = f"{old[0]}>{there[length - 1 - place]}"
        listed, asked, _ = example.prompt.split("\n")
        changed = _SIGN.join(new if edge == old else edge for edge in listed.split(_SIGN))
        prompt = f"{changed}\n{asked}\n"
        return replace(example, prompt=prompt, answer=f"{other}.", steps=self.steps(prompt))

    def roles(self, example: Example) -> dict[str, list[tuple[int, int]]]:
        """The edges on the way, each with the sign after it."""
        listed = example.prompt.split("\n", 1)[0]
        spans = split_items(listed, _SIGN)
        return {"asked": [(start, end + 1) for start, end, edge in spans if edge in example.steps]}

    def score(self, example: Example, response: str) -> Score:
        """Compare what follows the written edges, if there are any, with the node."""
        return score_word(example, response, self.after_steps(example, response))


def _edges_and_nodes(prompt: str) -> tuple[list[str], str, list[str]]:
    """The edges of a prompt, the node to start from, and the two nodes in question."""
    listed, asked, _ = prompt.split("\n")
    root, ends = asked.split(":")
    return listed.split(_SIGN), root, ends.split("|")
