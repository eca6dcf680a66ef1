"""Plans: what a test runs, its power, and how long it takes, before anything is run.

Power is how likely a test is to support or refute its claim. It needs three numbers that are
unknown before the run. The planner states the true effect, by default twice the smallest effect
that matters. The spread between training seeds and the spread between examples come from a pilot,
or are assumed cautiously and labelled as assumed.

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from latent_core.errors import SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.costs import conditions_of
from latent_core.statistics.inference import Effect
from latent_core.wording import as_html, counted, duration_range

__all__ = ["ASSUMED", "Assumptions", "Plan", "Plans", "make_plan", "power", "power_table", "powers"]


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


# --- plans ----------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Plan:
    """The plan of one test.

    Attributes:
        hypothesis: the claim.
        seeds: training seeds.
        examples: per seed and split.
        effect: the true effect that the power is for, as a size.
        assumptions: the spreads that the power is for.
        tests: tests of the family, including this one; the power is that of the smallest p-value
            under Holm's correction.
        power: chance of *supported* if the effect is true, leaving the controls aside.
        power_refute: chance of *refuted* if there is no effect.
        steps: the steps of the test, in words.
        seconds: the time it takes on this machine; None if not measured.
        created: when the plan was made.

    Example:
        >>> import latent_core as lc
        >>> plan = lc.lab.plan(lc.load_study("H3").parts["gain over Start"], seeds=5)
        >>> plan.examples, 0 < plan.power <= 1
        (100, True)
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

    def __repr__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """Return the plan in lines of plain text."""
        h, a = self.hypothesis, self.assumptions
        lines = [
            f"claim       {h.claim}",
            f"contrast    {h.contrast}",
            f"measured    {h.metric} on {h.loaded_task.name}, {h.split}; expected {h.direction}, "
            f"by at least {h.smallest_effect:g}",
            f"size        {counted(self.seeds, 'training seed')} x {self.examples} examples per "
            f"split",
            f"power       {self.power:.0%} to support a true effect of {self.effect:g}; "
            f"{self.power_refute:.0%} to refute if there is no effect",
            f"assuming    sd {a.sd_seeds:.2g} between seeds, {a.sd_examples:.2g} between examples "
            f"({a.source})",
            f"family      {h.family_name}: {counted(self.tests, 'test')}, including this one",
            f"time here   {_time(self.seconds)}",
        ]
        if self.seeds == 1:
            lines.append("one seed    the verdict will hold for this adapter only")
        return "\n".join([*lines, *(f"run         {step}" for step in self.steps)])

    def to_dict(self) -> dict[str, Any]:
        """Return what the journal keeps."""
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


@dataclass(frozen=True, repr=False)
class Plans(Mapping[str, Plan]):
    """The plans of a study's parts, which are tested together; a mapping by the part's name.

    Attributes:
        family: the study's key.
        parts: the plans.
        refused: the parts that cannot be tested on the target, with the reason.
        added_seconds: by part, the time that it adds to the parts before it: shared work counts
            once. None if not measured.
        trained: the methods that need training on the target; None if nothing is trained.
        training: the arguments of `train`.
    """

    family: str
    parts: Mapping[str, Plan]
    refused: Mapping[str, str] = field(default_factory=dict)
    added_seconds: Mapping[str, float | None] = field(default_factory=dict)
    trained: tuple[str, ...] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Plan:
        return self.parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def seconds(self) -> float | None:
        """The time of all parts together; None if it is not known of some part."""
        known = [seconds for seconds in self.added_seconds.values() if seconds is not None]
        return sum(known) if len(known) == len(self.parts) else None

    def __repr__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """Return what the plans have in common, and the time of all together, in plain text."""
        some = next(iter(self.parts.values()))
        hypotheses = [plan.hypothesis for plan in self.parts.values()]
        conditions = {
            (h.loaded_task.fingerprint, str(c)) for h in hypotheses for c in conditions_of(h)
        }
        a = some.assumptions
        lines = [
            f"size        {counted(some.seeds, 'training seed')} x {some.examples} examples per "
            f"split, under {counted(len(conditions), 'condition')}",
        ]
        if self.trained is not None:
            settings = ", ".join(f"{name} {value}" for name, value in self.training.items())
            names = ", ".join(self.trained)
            lines.append(f"train       {names}, unless already trained ({settings})")
        lines += [
            f"assuming    sd {a.sd_seeds:.2g} between seeds, {a.sd_examples:.2g} between examples "
            f"({a.source})",
            f"family      {self.family}: Holm's correction counts {counted(some.tests, 'test')}",
            f"time here   {_time(self.seconds)}",
        ]
        if some.seeds == 1:
            lines.append("one seed    the verdicts will hold for these adapters only")
        lines += [f"not tested  {name}: {why}" for name, why in self.refused.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return as_html(self.summary())


def make_plan(
    hypothesis: Hypothesis,
    seeds: int,
    examples: int,
    assumptions: Assumptions,
    *,
    effect: float | None = None,
    tests: int = 1,
    steps: tuple[str, ...] = (),
    seconds: float | None = None,
) -> Plan:
    """Make a plan and compute its power.

    Args:
        hypothesis: the claim.
        seeds: training seeds; with one, the verdict holds for that adapter only.
        examples: per seed and split.
        assumptions: the spreads.
        effect: the true size to find; by default twice the smallest effect.
        tests: the number of tests of the family.
        steps, seconds: see `Plan`.

    Raises:
        SettingError: for a number out of its range, or an effect too small to support the claim.
    """
    if seeds < 1 or examples < 2:
        raise SettingError(
            f"{counted(seeds, 'seed')} of {counted(examples, 'example')}; expected at least 1 seed "
            "and 2 examples"
        )
    wanted = 2 * hypothesis.smallest_effect if effect is None else effect
    if wanted < hypothesis.smallest_effect:
        raise SettingError(
            f"the effect to find is {wanted}, which is below the smallest effect; expected at "
            f"least {hypothesis.smallest_effect}"
        )
    found = powers(hypothesis, seeds, examples, wanted, assumptions, tests)
    return Plan(
        hypothesis,
        seeds,
        examples,
        wanted,
        assumptions,
        tests,
        *found,
        steps=steps,
        seconds=seconds,
    )


def power_table(plan: Plan, seeds: tuple[int, ...] = (3, 5, 10, 20)) -> pd.DataFrame:
    """Return the power by number of seeds and true effect (half to three times the planned)."""
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


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown; give target=... to measure it"
    return f"about {duration_range(seconds)}"
