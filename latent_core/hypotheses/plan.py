"""What a test would take, and what it could show: power, time, and what will be run.

Power needs three numbers that nobody has before the run: the true effect, how much it differs
between training seeds, and how much single differences vary. The effect is the planner's word (by
default twice the smallest effect that matters); the other two come from a pilot, or else are
assumed, cautiously, and called so.

The formula: a study's estimate is normal with variance (sd_seeds^2 + sd_examples^2 * k / examples)
/ seeds, for k terms of weight w: sum of w^2; its squared error is chi-squared with seeds - 1
degrees of freedom (with one seed, those of its examples). Power integrates over that the chance
that the estimate reaches both the smallest effect and the interval's half width
(`latent_core.statistics.inference`). A simulation in the tests agrees to 5 points.

Does not know whether the controls will be passed, and takes every seed's examples for its own:
where all seeds answer the same ones, the power is less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from latent_core.archives.folders import is_folder
from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.sources import Source
from latent_core.models.steered import SteeredModel
from latent_core.wording import counted, duration_range

if TYPE_CHECKING:
    from latent_core.hypotheses.verdict import Verdict

__all__ = [
    "ASSUMED",
    "Assumptions",
    "Plan",
    "as_html",
    "make_plan",
    "power",
    "powers",
]


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the power rests on.

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


ASSUMED = Assumptions(
    0.15,
    0.5,
    "assumed, not measured: 0.5 is what a binary score has when a quarter of the examples change; "
    "give pilot=... for your own",
)


@dataclass(frozen=True)
class Plan:
    """What will be run, and what it can show.

    Attributes:
        hypothesis: the claim.
        seeds: training seeds.
        examples: per seed and split.
        effect: the true effect that the power is for, a size.
        assumptions: the spreads that the power is for.
        tests: tests of the family, this one with them; the power is Holm's for the first of them.
        power: chance of *supported* if the effect is true, the controls aside.
        power_refute: chance of *refuted* if there is no effect.
        steps: what will be run, in words.
        seconds: time that takes here; None if not measured.
        created: when the plan was made.
    """

    hypothesis: Hypothesis
    seeds: int
    examples: int
    effect: float
    assumptions: Assumptions
    tests: int
    power: float
    power_refute: float
    steps: tuple[str, ...] = ()
    seconds: float | None = None
    created: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds")
    )

    def __str__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """The plan in lines of plain text."""
        h, a = self.hypothesis, self.assumptions
        time = (
            "unknown; give target=... to measure it"
            if self.seconds is None
            else f"about {duration_range(self.seconds)}"
        )
        lines = [
            f"claim       {h.claim}",
            f"contrast    {h.contrast}",
            f"measured    {h.metric} on {h.loaded_task.name}, {h.split}; expected {h.direction}, "
            f"by {h.smallest_effect:g} at least",
            f"size        {counted(self.seeds, 'training seed')} x {self.examples} examples per "
            f"split",
            f"power       {self.power:.0%} to support a true effect of {self.effect:g}; "
            f"{self.power_refute:.0%} to refute if there is none",
            f"assuming    sd {a.sd_seeds:.2g} between seeds, {a.sd_examples:.2g} between examples "
            f"({a.source})",
            f"family      {h.family_name}: {counted(self.tests, 'test')} with this one",
            f"time here   {time}",
        ]
        if self.seeds == 1:
            lines.append("one seed    whatever comes out is about this adapter only")
        return "\n".join([*lines, *(f"run         {step}" for step in self.steps)])

    def to_dict(self) -> dict[str, Any]:
        """What the journal keeps."""
        return {
            "seeds": self.seeds,
            "examples": self.examples,
            "effect": self.effect,
            "sd_seeds": self.assumptions.sd_seeds,
            "sd_examples": self.assumptions.sd_examples,
            "power": round(self.power, 4),
            "power_refute": round(self.power_refute, 4),
            "created": self.created,
        }

    def _repr_html_(self) -> str:
        return as_html(self.summary())


def make_plan(
    hypothesis: Hypothesis,
    seeds: int = 5,
    examples: int = 100,
    *,
    effect: float | None = None,
    pilot: Assumptions | Verdict | None = None,
    tests: int = 1,
    target: Any = "tiny",
    training: dict[str, Any] | None = None,
    measure: bool = True,
) -> Plan:
    """Plan a test.

    Args:
        hypothesis: the claim.
        seeds: training seeds; with one, the verdict is about that adapter.
        examples: per seed and split.
        effect: the true size to find; by default twice the smallest effect.
        pilot: an earlier verdict on the same contrast, or assumptions of one's own.
        tests: how many the family will hold.
        target: what it would run on, for the time it takes: what `Hypothesis.test` takes.
        training: arguments of `train`, where adapters have to be trained.
        measure: try out how fast this machine is (a second or two).

    Raises:
        SettingError: for a number out of its range, or an effect that could not be called support.
    """
    if seeds < 1 or examples < 2:
        raise SettingError(
            f"{seeds} seeds of {examples} examples; expected at least 1 seed of 2 examples"
        )
    wanted = 2 * hypothesis.smallest_effect if effect is None else effect
    if wanted < hypothesis.smallest_effect:
        raise SettingError(
            f"the effect to find, {wanted}, is below the smallest that would matter, "
            f"{hypothesis.smallest_effect}; expected it there or above"
        )
    if isinstance(target, list | tuple | Path) or (isinstance(target, str) and is_folder(target)):
        from latent_core.hypotheses.evidence import as_source

        target = as_source(target, hypothesis)
    if isinstance(target, str | Backbone):
        hypothesis = hypothesis.resolved(target)
    elif isinstance(target, SteeredModel | Source) and hypothesis.contrast.needs_backbone:
        hypothesis = hypothesis.resolved(target.backbone)
    found = _assumptions(pilot)
    from latent_core.hypotheses.costs import cost_of, steps_of

    return Plan(
        hypothesis,
        seeds,
        examples,
        wanted,
        found,
        tests,
        *powers(hypothesis, seeds, examples, wanted, found, tests),
        steps=steps_of(hypothesis, seeds, examples, target, training),
        seconds=cost_of(hypothesis, seeds, examples, target, training) if measure else None,
    )


def powers(
    hypothesis: Hypothesis,
    seeds: int,
    examples: int,
    effect: float,
    assumptions: Assumptions,
    tests: int = 1,
) -> tuple[float, float]:
    """Chance of *supported* under `effect`, and of *refuted* under none."""
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
    """Chance that an estimate reaches `least` and its 1 - alpha interval lies beyond 0.

    Args:
        effect: the truth.
        sd_seeds: standard deviation of the effect between seeds.
        error: standard error of one seed's mean, due to its examples.
        seeds: how many.
        least: the smallest effect.
        alpha: 0.05, less with Holm.
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


def _assumptions(pilot: Assumptions | Verdict | None) -> Assumptions:
    if pilot is None:
        return ASSUMED
    if isinstance(pilot, Assumptions):
        return pilot
    effect = pilot.effect
    between, source = effect.sd_seeds, f"a pilot of {counted(effect.seeds, 'seed')}"
    if math.isnan(between):
        between, source = ASSUMED.sd_seeds, f"{source}; between seeds assumed, it cannot tell"
    return Assumptions(between, effect.sd_examples, source)


def power_table(plan: Plan, seeds: tuple[int, ...] = (3, 5, 10, 20)) -> pd.DataFrame:
    """Power by number of seeds and true effect (half to three times the planned one)."""
    h = plan.hypothesis
    return pd.DataFrame(
        [
            {
                "seeds": count,
                "effect": round(factor * plan.effect, 4),
                "power": powers(
                    h, count, plan.examples, factor * plan.effect, plan.assumptions, plan.tests
                )[0],
            }
            for count in seeds
            for factor in (0.5, 1.0, 1.5, 2.0, 3.0)
        ]
    )


def as_html(text: str) -> str:
    """Lines of text as a notebook shows them, in letters of one width."""
    return f'<pre style="font-family: monospace; white-space: pre-wrap">{escape(text)}</pre>'
