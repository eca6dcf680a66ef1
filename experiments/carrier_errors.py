"""Simulate how often the carrier study gives a wrong word, and write the table of docs/carrier.md.

    python experiments/carrier_errors.py                # 1,000 studies of each kind
    python experiments/carrier_errors.py --studies 100

A simulated study has binary scores. Seeds differ in their effect, and all seeds answer the same
examples, some of which are harder. The verdicts and the word come from the code that judges real
records.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections import Counter
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

import latent_core as lc
from experiments.readme import write_section
from latent_core.hypotheses.evidence import evidence_from_records
from latent_core.hypotheses.study_verdict import StudyVerdict
from latent_core.hypotheses.verdict import judge
from latent_core.statistics.inference import holm

SEEDS: Final = (3, 5, 8)
EXAMPLES: Final = 100

#: The score without any change, and a fall that leaves next to nothing of it.
_SCORE, _ALL = 0.7, 0.6
#: A fall that just matters.
_LEAST = 0.1

DROP, UNREAD, NOISE = "without them", "not read by the response", "noise as long as their states"
DONOR, MEAN = "another example's states", "the mean of their states"
FILLER = "full stops in their places"


class Truth(NamedTuple):
    """What is true of the latents of a simulated study.

    Attributes:
        about: in words.
        falls: how much the score falls, by part.
        right: the words that are not wrong, beside *undecided*.
    """

    about: str
    falls: dict[str, float]
    right: tuple[str, ...]


_HARM = dict.fromkeys((DROP, UNREAD, NOISE, DONOR, MEAN, FILLER), _ALL)

TRUTHS: Final = (
    Truth("everything matters", _HARM, ("memory",)),
    Truth("nothing matters", dict.fromkeys(_HARM, 0.0), ("unused",)),
    Truth("the example does not matter", _HARM | {DONOR: 0.0, MEAN: 0.0}, ("mark",)),
    Truth("no state matters", _HARM | {NOISE: 0.0, DONOR: 0.0, MEAN: 0.0}, ("sink",)),
    Truth("training does not matter", _HARM | {FILLER: 0.0}, ("buffer",)),
    Truth("all latents just matter", dict.fromkeys(_HARM, _LEAST), ("memory",)),
    Truth("another example's states just matter", _HARM | {DONOR: _LEAST}, ("memory",)),
    Truth("noise just matters", _HARM | {NOISE: _LEAST}, ("memory",)),
    Truth("full stops just matter", _HARM | {FILLER: _LEAST}, ("memory",)),
    Truth("the mean does not matter", _HARM | {MEAN: 0.0}, ("mixed",)),
)


def word(truth: Truth, seeds: int, examples: int, number: int) -> str:
    """The word that one simulated study gives."""
    rng = np.random.default_rng([number, seeds, TRUTHS.index(truth)])
    study = lc.load_study("carry")
    parts = {name: part for name, part in study.parts.items() if name in truth.falls}
    harder = 0.1 * rng.normal(size=examples)
    rows = np.arange(seeds).repeat(examples)
    luck = rng.random((seeds, examples))
    plain = (luck < _SCORE + harder).astype(float)
    evidence = []
    for name, part in parts.items():
        fall = truth.falls[name] + 0.05 * rng.normal(size=(seeds, 1)) * (truth.falls[name] > 0)
        again = np.where(rng.random((seeds, examples)) < 0.75, luck, rng.random((seeds, examples)))
        changed = (again < _SCORE + harder - fall).astype(float)
        frames = [
            pd.DataFrame(
                {
                    "method": condition,
                    "seed": rows,
                    "split": part.split,
                    "example": np.tile(np.arange(examples), seeds),
                    "key": "",
                    "graded": scores.ravel(),
                }
            )
            for condition, scores in (
                (part.contrast.treatment, changed),
                (part.contrast.control, plain),
            )
        ]
        plan = lc.lab.plan(part, seeds, examples, tests=len(study.parts))
        evidence.append(evidence_from_records(plan, pd.concat(frames)))
    # The parts that the word does not depend on are tested too, and count for Holm's correction.
    others = [1.0] * (len(study.parts) - len(parts))
    adjusted = holm([one.effect.p for one in evidence] + others)
    verdicts = {
        name: judge(one, p, len(adjusted))
        for name, one, p in zip(parts, evidence, adjusted, strict=False)
    }
    conclusion = StudyVerdict(study, verdicts, {}).conclusion
    assert conclusion is not None
    return conclusion.word


def words(truth: Truth, seeds: int, studies: int, examples: int = EXAMPLES) -> Counter[str]:
    """How often each word comes out."""
    return Counter(word(truth, seeds, examples, number) for number in range(studies))


def main() -> None:
    """Simulate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000, help="of each kind")
    parser.add_argument("--workers", type=int, help="processes; by default one for each core")
    options = parser.parse_args()
    asked = [(truth, seeds) for truth in TRUTHS for seeds in SEEDS]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        found = pool.starmap(partial(words, studies=options.studies), asked, chunksize=1)
    counts = {
        (truth.about, seeds): words for (truth, seeds), words in zip(asked, found, strict=True)
    }
    write_section("carrier-errors", _table(counts, options.studies))


def _table(found: dict[tuple[str, int], Counter[str]], studies: int) -> str:
    """The table of the page; `found` by what is true and by the number of seeds."""
    heads = ["what is true", "right", *(f"{seeds} seeds" for seeds in SEEDS)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for truth in TRUTHS:
        cells = []
        for seeds in SEEDS:
            counts = found[truth.about, seeds]
            right = sum(counts[one] for one in truth.right)
            wrong = studies - right - counts["undecided"]
            cells.append(f"{wrong} wrong, {right} right")
        lines.append(f"| {truth.about} | {', '.join(truth.right)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
