"""What would settle an inconclusive test: more seeds, or more examples."""

from __future__ import annotations

import math
from typing import Final

from scipy import stats

from latent_core.hypotheses.evidence import Evidence
from latent_core.statistics.inference import Effect
from latent_core.wording import counted

__all__ = ["more_seeds_or_examples"]

_MOST_SEEDS: Final = 1000
_MOST_TIMES: Final = 100
"""Multiples of the planned examples."""


def more_seeds_or_examples(evidence: Evidence, effect: Effect, tests: int = 1) -> str:
    """Say how much data would settle the test, if estimate and spreads stay as they are.

    Args:
        evidence: gives claim and plan.
        effect: the open estimate: the test's effect, or its effect beyond a control.
        tests: the number of tests of the family.
    """
    h, plan = evidence.hypothesis, evidence.plan
    mean, least = h.sign * effect.mean, h.smallest_effect
    if not effect.sd_examples:
        return "the differences do not vary; more examples make the interval narrower"
    support = mean >= least
    distance = mean if support else least - mean
    terms = sum(weight**2 for weight in h.terms.values())
    alpha = 0.05 / tests if support else 0.05
    between = plan.assumptions.sd_seeds if math.isnan(effect.sd_seeds) else effect.sd_seeds

    def enough(seeds: int, examples: int) -> bool:
        error = math.sqrt(terms / examples) * effect.sd_examples
        if seeds == 1:
            freedom = len(h.terms) * (examples - 1)
            return bool(stats.t.isf(alpha / 2, freedom) * error < distance)
        variance = (between**2 + error**2) / seeds
        return bool(stats.t.isf(alpha / 2, seeds - 1) * math.sqrt(variance) < distance)

    counts = range(max(2, effect.seeds), _MOST_SEEDS)
    seeds = next((n for n in counts if enough(n, plan.examples)), None)
    sizes = [plan.examples * times for times in range(1, _MOST_TIMES + 1)]
    examples = next((n for n in sizes if enough(effect.seeds, n)), None)
    verb = "support" if support else "refute"
    if seeds == effect.seeds and examples == plan.examples:
        return f"if the estimate stays the same, a few more seeds would {verb} the claim"
    by_seeds = f"about {seeds}" if seeds else f"more than {_MOST_SEEDS}"
    by_examples = f"about {examples}" if examples else f"more than {sizes[-1]}"
    return (
        f"if the estimate stays the same, this would {verb} the claim: {by_seeds} seeds with "
        f"{plan.examples} examples; or {by_examples} examples with "
        f"{counted(effect.seeds, 'seed')}"
    )
