"""Verdicts: a claim is supported, refuted or inconclusive, why, and what would settle it.

*Supported*: the interval excludes zero in the stated direction, the estimate reaches the smallest
effect, the adjusted p-value (Holm, over the family) is at most 0.05, and no control shows the
effect. *Strongly supported*: the whole interval also reaches the smallest effect.

*Refuted*: the whole interval falls short of the smallest effect, or the effect beyond a control
does.

*Inconclusive*: everything else. This includes a control whose score leaves no room for the effect,
unless the interval lies on the other side of zero. It also includes an intervention that met no
latent, because nothing was tested. More seeds or more examples may settle it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from scipy import stats

from latent_core.errors import MovedName
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.evidence import ControlEvidence, Evidence
from latent_core.hypotheses.plan import Plan
from latent_core.statistics.inference import Effect
from latent_core.wording import as_html, counted

__all__ = ["Decision", "Verdict", "exact_text", "interval_text", "judge", "more_seeds_or_examples"]

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


Decision = Literal["supported", "refuted", "inconclusive"]

#: Significance level for supporting a claim.
SUPPORTING_LEVEL: Final = 0.05


@dataclass(frozen=True, repr=False)
class Verdict:
    """Evidence that has been judged.

    Attributes:
        evidence: the estimates.
        outcome: supported, refuted or inconclusive.
        strongly: whether the whole interval reaches the smallest effect.
        p_holm: p-value adjusted by Holm's correction.
        tests: the number of tests of the family.
        reason: the reason, in a sentence.
        settle: the amount of data that would settle an inconclusive test; empty otherwise.
        history: earlier tests of the contrast, from the journal; empty if there were none.

    Example:
        >>> import tempfile
        >>> import latent_core as lc
        >>> contrast = lc.Contrast("Comma_2", "Start_6")
        >>> claim = lc.Hypothesis("Comma_2 beats Start_6", "repetition", contrast, "greater", 0.1)
        >>> runs = ["shipped:tiny/repetition/Comma_2", "shipped:tiny/repetition/Start_6"]
        >>> records = lc.load_runs(runs, records=True)
        >>> verdict = lc.lab.run(claim, records, folder=tempfile.mkdtemp(), progress=False)
        >>> verdict.outcome
        'refuted'
    """

    evidence: Evidence
    outcome: Decision
    strongly: bool
    p_holm: float
    tests: int
    reason: str
    settle: str = ""
    history: str = ""

    @property
    def hypothesis(self) -> Hypothesis:
        """The claim."""
        return self.evidence.hypothesis

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.evidence.plan

    @property
    def effect(self) -> Effect:
        """The estimate."""
        return self.evidence.effect

    @property
    def frame(self) -> pd.DataFrame:
        """One row per example; see `Evidence.frame`."""
        return self.evidence.frame

    @property
    def title(self) -> str:
        """The outcome in capitals, and whether it is about one adapter only."""
        one_seed = " (ONE SEED)" if self.effect.seeds == 1 else ""
        return ("STRONGLY " if self.strongly else "") + self.outcome.upper() + one_seed

    def means(self) -> pd.DataFrame:
        """Mean score of treatment and control, by split."""
        return self.frame.groupby("split", sort=False)[["treatment", "control"]].mean()

    def __repr__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """The verdict in lines of plain text."""
        h, e = self.hypothesis, self.effect
        lines = [
            f"{self.title}: {h.claim}",
            f"  {self.reason}",
            f"contrast    {h.contrast}; {h.metric} on {h.loaded_task.name}, {h.split}",
            f"estimate    {interval_text(e)}; expected {h.direction}, by at least "
            f"{h.smallest_effect:g}",
            f"p           {e.p:.2g}; adjusted {self.p_holm:.2g} (Holm, "
            f"{counted(self.tests, 'test')} of {h.family_name!r}){exact_text(e)}",
            f"size        {_size(e)}sd {e.sd_examples:.2f} between examples"
            + ("" if math.isnan(e.sd_seeds) else f", {e.sd_seeds:.2f} between seeds"),
            f"data        {counted(e.seeds, 'training seed')}, {e.records} paired examples",
        ]
        if self.outcome == "refuted":
            lines.append(
                f"refuting p  {self.evidence.p_short:.2g}, not adjusted for a study's other parts"
            )
        for split, row in self.means().iterrows():
            lines.append(
                f"scores      {split}: treatment {row['treatment']:.2f}, control "
                f"{row['control']:.2f}"
            )
        for control in self.evidence.controls:
            lines.append(
                f"control     {control.name}: effect {interval_text(control.effect)}; beyond it "
                f"{interval_text(control.specific)}"
            )
        lines += [f"not run     {name}: {why}" for name, why in self.evidence.not_run.items()]
        lines += [f"note        {note}" for note in self.evidence.notes]
        lines += [f"to decide   {self.settle}"] * bool(self.settle)
        lines += [f"journal     {self.history}"] * bool(self.history)
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """What the journal keeps of the outcome."""
        e = self.effect
        return {
            "outcome": self.outcome,
            "strongly": self.strongly,
            "mean": e.mean,
            "low": e.low,
            "high": e.high,
            "p": e.p,
            "p_exact": None if math.isnan(e.p_exact) else e.p_exact,
            "p_holm": self.p_holm,
            "tests": self.tests,
            "reason": self.reason,
            "controls": {
                c.name: {
                    "mean": c.effect.mean,
                    "beyond_low": c.specific.low,
                    "beyond_high": c.specific.high,
                }
                for c in self.evidence.controls
            },
            "not_run": self.evidence.not_run,
        }

    def _repr_html_(self) -> str:
        return as_html(self.summary())

    report = MovedName("lc.lab.report(verdict, path)")


def judge(evidence: Evidence, p_holm: float, tests: int = 1, history: str = "") -> Verdict:
    """Judge the evidence of a test by the rules of this module.

    Args:
        evidence: the estimates.
        p_holm: p-value of the effect, adjusted by Holm's correction.
        tests: the number of tests of the family.
        history: earlier tests of the contrast, from the journal.
    """
    h, e = evidence.hypothesis, evidence.effect
    low, high, mean = _directed(e, h.sign)
    least = h.smallest_effect
    outcome: Decision = "inconclusive"
    strongly, settle = False, ""
    if evidence.untried:
        reason = (
            "nothing was tested: the intervention changed no latent in any example. Choose a split "
            "in which it changes some."
        )
    elif high >= 0 and (no_room := _no_room(evidence)):
        reason = no_room
    elif high < 0:
        outcome, reason = "refuted", "the whole interval lies on the other side of zero."
    elif high < least:
        outcome = "refuted"
        reason = f"the whole interval falls short of the smallest effect, {least:g}."
    elif low > 0 and mean >= least:
        outcome, reason, open_control = _against_controls(evidence)
        if open_control is not None:
            settle = more_seeds_or_examples(evidence, open_control.specific)
        if outcome == "supported" and p_holm > SUPPORTING_LEVEL:
            outcome, reason = "inconclusive", _not_significant(p_holm, tests)
            settle = more_seeds_or_examples(evidence, e, tests)
        strongly = outcome == "supported" and low >= least
    else:
        reason = (
            f"the difference is not significant ({interval_text(e)}, "
            f"{counted(e.seeds, 'seed')}), and its interval includes the smallest effect, "
            f"{h.sign * least:g}."
            if low <= 0
            else f"the interval excludes zero, but the estimate does not reach {least:g}."
        )
        settle = more_seeds_or_examples(evidence, e, tests)
    if e.seeds == 1:
        reason += " There is one training seed, so the verdict is about this adapter only."
    return Verdict(evidence, outcome, strongly, p_holm, tests, reason, settle, history)


def interval_text(effect: Effect) -> str:
    """Return mean and interval: `+0.120 [+0.050, +0.190]`."""
    return f"{effect.mean:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}]"


def _size(effect: Effect) -> str:
    return "" if math.isnan(effect.size) else f"d = {effect.size:+.2f}; "


def exact_text(effect: Effect) -> str:
    """Return the p-value of the sign-flip test, to follow the others; empty if it was not run."""
    if math.isnan(effect.p_exact):
        return ""
    over = "seeds" if effect.seeds > 1 else "examples"
    return f"; {effect.p_exact:.2g} in the sign-flip test over {over}"


def _directed(effect: Effect, sign: int) -> tuple[float, float, float]:
    """Low, high and mean, turned so that the stated direction is up."""
    low, high = sorted((sign * effect.low, sign * effect.high))
    return low, high, sign * effect.mean


def _not_significant(p_holm: float, tests: int) -> str:
    """Say why an interval that excludes zero does not support the claim."""
    if tests == 1:
        return f"the interval excludes zero, but p = {p_holm:.2g} is above {SUPPORTING_LEVEL:g}."
    return (
        f"the interval excludes zero, but the adjusted p-value is {p_holm:.2g} (Holm's correction "
        f"for {tests} tests of its family)."
    )


def _no_room(evidence: Evidence) -> str:
    """Say why the control's score leaves no room for the effect; empty if there is room."""
    h = evidence.hypothesis
    if h.contrast.minus_split is not None or h.metric == "agreement":
        return ""
    level = float(np.mean(evidence.frame.groupby("split")["control"].mean()))
    room = level if h.direction == "less" else 1 - level
    if room >= h.smallest_effect:
        return ""
    edge = "low" if h.direction == "less" else "high"
    return (
        f"the control scores {level:.2f}, too {edge} for an effect of {h.smallest_effect:g} to "
        "show. Choose a split or a training that leaves room for it."
    )


def _against_controls(evidence: Evidence) -> tuple[Decision, str, ControlEvidence | None]:
    """Decide whether an effect belongs to the learned latents.

    Returns:
        the decision, the reason, and the control that the effect exceeds least, if it does not
        exceed some control significantly.
    """
    h, least = evidence.hypothesis, evidence.hypothesis.smallest_effect
    still_open: list[ControlEvidence] = []
    for control in evidence.controls:
        if _directed(control.specific_wide, h.sign)[1] < least:
            reason = (
                f"the control {control.name} shows the same effect "
                f"({interval_text(control.effect)}): the effect beyond it falls short of {least:g}."
            )
            return "refuted", reason, None
        if _directed(control.specific, h.sign)[0] <= 0:
            still_open.append(control)
    if still_open:
        names = " and ".join(control.name for control in still_open)
        worst = min(still_open, key=lambda control: h.sign * control.specific.mean)
        reason = f"the effect does not differ significantly from that of the control {names}."
        return "inconclusive", reason, worst
    passed = ", ".join(control.name for control in evidence.controls)
    tail = f"no control ({passed}) shows the same effect" if passed else "there is no control"
    reason = f"the interval excludes zero and the estimate reaches {least:g}; {tail}."
    return "supported", reason, None
