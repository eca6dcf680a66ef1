"""Reach: which of two nodes can be reached in a graph (retrieval, H2).

    c>d;a>b;b>e;f>c
    a:e|d
    e.

After ProsQA (Hao et al. 2024, arXiv 2412.06769, section 4): there, a node is a made-up concept and
an edge a sentence, "Every gerpus is a terpus", and the question names two concepts, of which one
can be reached. Its steps are the edges on the way. Here a node is a letter. The ways to both nodes
are of one length, and as many edges lead astray on either, so that counting does not tell.
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from string import ascii_letters
from typing import final

from latent_core.tasks.base import Example, Score, SyntheticTask, split_items
from latent_core.tasks.hops import score_word

_SIGN = ";"


@final
class Reach(SyntheticTask):
    """One of two nodes that a way leads to; the key is the way."""

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
        edges, root, ends = _read(prompt)
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
        edges, _, ends = _read(example.prompt)
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


def _read(prompt: str) -> tuple[list[str], str, list[str]]:
    """The edges of a prompt, the node to start from, and the two nodes in question."""
    listed, asked, _ = prompt.split("\n")
    root, ends = asked.split(":")
    return listed.split(_SIGN), root, ends.split("|")
