"""The power of a test: how likely it is to support or refute a claim, before anything is run.

Power needs three numbers that are unknown before the run. The planner states the true effect, by
default twice the smallest effect that matters. The spread between training seeds and the spread
between examples come from a pilot, or are assumed cautiously and labelled as assumed.

The formula: a study's estimate is normal with variance (sd_seeds^2 + sd_examples^2 * k / examples)
/ seeds, where k is the sum of the squared weights of its splits. Its squared error is chi-squared
with seeds - 1 degrees of freedom, or with those of its examples if there is one seed. Power
integrates over that error the chance that the estimate reaches both the smallest effect and the
interval's half width (`latent_core.statistics.inference`). A simulation in the tests agrees to 5
points.

The formula does not know whether the controls pass, and it assumes that every seed has examples of
its own: if all seeds answer the same examples, the power is lower.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from latent_core.errors import SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.statistics.inference import Effect
from latent_core.wording import counted

__all__ = ["ASSUMED", "Assumptions", "power", "powers"]


@dataclass(frozen=True, slots=True)
class Assumptions:
    """The spreads that the power rests on.

    Attributes:
        sd_seeds: standard deviation of the true effect between training seeds.
        sd_examples: standard deviation of paired differences within a seed and split.
        source: where they come from, in words.
    """

    sd_seeds: float
    sd_examples: float
    source: str

    def __post_init__(self) -> None:
        if not (self.sd_seeds >= 0 and self.sd_examples >= 0):
            raise SettingError(
                f"standard deviations of {self.sd_seeds} and {self.sd_examples}; expected 0 or more"
            )

    @classmethod
    def of_pilot(cls, effect: Effect) -> Assumptions:
        """Take the spreads of an earlier estimate; with one seed, assume the spread of seeds."""
        between, source = effect.sd_seeds, f"a pilot of {counted(effect.seeds, 'seed')}"
        if math.isnan(between):
            between = ASSUMED.sd_seeds
            source += "; the spread between seeds is assumed, because one seed cannot show it"
        return cls(between, effect.sd_examples, source)


ASSUMED: Final = Assumptions(
    0.15,
    0.5,
    "assumed, not measured: 0.5 is the spread of a binary score if a quarter of the examples "
    "change; give pilot=... for your own",
)


def powers(
    hypothesis: Hypothesis,
    seeds: int,
    examples: int,
    effect: float,
    assumptions: Assumptions,
    tests: int = 1,
) -> tuple[float, float]:
    """Return the chance of *supported* under `effect`, and of *refuted* under no effect."""
    weights = list(hypothesis.terms.values())
    terms = sum(weight**2 for weight in weights)
    error = math.sqrt(terms) * assumptions.sd_examples / math.sqrt(examples)
    freedom = terms**2 / sum(weight**4 / (examples - 1) for weight in weights)
    least = hypothesis.smallest_effect
    between = assumptions.sd_seeds
    support = power(effect, between, error, seeds, least, 0.05 / tests, freedom)
    return support, power(least, between, error, seeds, 0.0, 0.05, freedom)


def power(
    effect: float,
    sd_seeds: float,
    error: float,
    seeds: int,
    least: float,
    alpha: float,
    freedom: float,
) -> float:
    """Return the chance that an estimate reaches `least` and its 1 - alpha interval excludes 0.

    Args:
        effect: the true effect.
        sd_seeds: standard deviation of the effect between seeds.
        error: standard error of one seed's mean, due to its examples.
        seeds: the number of training seeds.
        least: the smallest effect.
        alpha: significance level: 0.05, or less with Holm's correction.
        freedom: degrees of freedom of one seed's error.
    """
    true_error = error if seeds == 1 else math.sqrt((sd_seeds**2 + error**2) / seeds)
    if not true_error:
        return float(effect > 0)
    if seeds > 1:
        freedom = seeds - 1
    quantiles = (np.arange(1000) + 0.5) / 1000
    variance = true_error**2 * stats.chi2.ppf(quantiles, freedom) / freedom
    half = stats.t.isf(alpha / 2, freedom) * np.sqrt(variance)
    if seeds > 1:
        spread = np.sqrt(variance * freedom / seeds + error**2 / seeds)
        half = np.maximum(half, stats.norm.isf(alpha / 2) * spread)
    return float(stats.norm.sf((np.maximum(least, half) - effect) / true_error).mean())
