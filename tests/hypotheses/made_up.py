"""Made-up records, and the claims that they are about."""

from pathlib import Path

import numpy as np
import pandas as pd

from latent_core.hypotheses import lab
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.verdict import Verdict

CUT = "knock_out(response -> Comma)"
MIXED = "Start_1+Comma_1"


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
