"""Made-up records and estimates, and the claims that they are about."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from latent_core.hypotheses import lab
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.evidence import ControlEvidence, Evidence
from latent_core.hypotheses.verdict import Verdict
from latent_core.statistics.inference import Effect

CUT = "knock_out(response -> Comma)"
MIXED = "Start_1+Comma_1"
LEAST = 0.25  # exact in binary, as its neighbours are not


def records(method: str, shift, splits=("ood-6", "ood-8", "ood-10", "ood-15"), **other):
    """Made-up records: 5 seeds of 20 examples a split, in which `method` scores 0.4 + shift."""
    rng = np.random.default_rng(len(method))
    rows = [
        (seed, split, example, f"{split}-{example}", 0.4 + 0.05 * rng.normal())
        for seed in range(5)
        for split in splits
        for example in range(20)
    ]
    frame = pd.DataFrame(rows, columns=["seed", "split", "example", "key", "graded"])
    frame["graded"] += shift
    return frame.assign(task="repetition", backbone="tiny", method=method, **other)


def verdict_of(hypothesis: Hypothesis, table: pd.DataFrame, folder: Path) -> Verdict:
    """The verdict on all of the records."""
    return lab.run(hypothesis, table, lab.plan(hypothesis, 5, 20), folder)


def effect(low: float, mean: float, high: float, seeds: int = 5) -> Effect:
    between = 0.1 if seeds > 1 else math.nan
    means = (mean,) * seeds
    return Effect(mean, low, high, 0.01, math.nan, 0.5, between, 0.4, seeds, 20 * seeds, means)


def mirrored(e: Effect) -> Effect:
    return replace(e, mean=-e.mean, low=-e.high, high=-e.low)


def evidence(
    main: Effect, *beyond: tuple[Effect, Effect], level: float = 0.5, less: bool = False
) -> Evidence:
    """Evidence of a claim that the treatment scores more (or less) by a quarter.

    `beyond` has a pair for each control: the effect beyond it, and the same with a wide interval.
    """
    direction = "less" if less else "greater"
    claim = Hypothesis("a", "repetition", Contrast(MIXED, "End_2"), direction, LEAST, "id")
    scores = pd.DataFrame({"split": ["id"], "treatment": [level], "control": [level]})
    controls = tuple(
        ControlEvidence(f"control {number}", effect(-0.1, 0.0, 0.1), *pair)
        for number, pair in enumerate(beyond)
    )
    seeds = tuple(range(main.seeds))
    return Evidence(claim, lab.plan(claim, 5, 20), main, controls, {}, scores, "", seeds, 1.0)
