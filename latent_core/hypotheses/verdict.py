"""From estimates to a verdict: supported, refuted or inconclusive, and why.

*Supported*: the interval lies beyond zero in the stated direction, the estimate reaches the
smallest effect, Holm's p over the family is at most 0.05, and every control has lost the effect;
*strongly* where the whole interval reaches the smallest effect. *Refuted*: the whole interval falls
short of the smallest effect, or what remains of the effect beyond a control does. Else
*inconclusive*; so also where the control's score leaves the effect no room, unless the interval
lies on the other side of zero, and where the intervention met no latent, so that nothing was tried.

Knows estimates; runs nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.plan import Plan, as_html
from latent_core.statistics.inference import Effect
from latent_core.wording import counted

__all__ = ["ControlFinding", "Finding", "Outcome", "Verdict", "judge", "more_seeds_or_examples"]

Outcome = Literal["supported", "refuted", "inconclusive"]


@dataclass(frozen=True, slots=True)
class ControlFinding:
    """What a control showed.

    Attributes:
        name: of the stand-in for the learned latents.
        effect: of the contrast with the stand-in.
        specific: effect of the claim's contrast less that, example by example.
        specific_wide: the same with the interval of 1 - 0.05 / controls, for refuting by any one.
    """

    name: str
    effect: Effect
    specific: Effect
    specific_wide: Effect


@dataclass(frozen=True)
class Finding:
    """All that was estimated, before it is judged.

    Attributes:
        hypothesis, plan: what was asked.
        effect: of the contrast.
        controls: what came of each control.
        not_run: controls that could not be run, with the reason.
        frame: one row per example: seed, split, level, example, key, treatment, control,
            difference, and a column `difference_NAME` for each control.
        evidence: names the records it rests on.
        seeds: the training seeds.
        p_short: p-value of refuting: that the effect, or what is left of it beyond a control, falls
            short of the smallest effect.
        notes: what a reader should know.
        untried: whether the treatment's intervention met no latent in any example.
    """

    hypothesis: Hypothesis
    plan: Plan
    effect: Effect
    controls: tuple[ControlFinding, ...]
    not_run: dict[str, str]
    frame: pd.DataFrame
    evidence: str
    seeds: tuple[int, ...]
    p_short: float
    notes: tuple[str, ...] = ()
    untried: bool = False


@dataclass(frozen=True)
class Verdict:
    """A judged finding.

    Attributes:
        finding: the estimates.
        outcome: supported, refuted or inconclusive.
        strongly: whether the whole interval reaches the smallest effect.
        p_holm: p-value after Holm.
        tests: tests of the family that Holm counted.
        reason: in a sentence.
        settle: what would settle an inconclusive test; empty otherwise.
        history: what the journal says of earlier looks; empty if there were none.
    """

    finding: Finding
    outcome: Outcome
    strongly: bool
    p_holm: float
    tests: int
    reason: str
    settle: str = ""
    history: str = ""

    @property
    def hypothesis(self) -> Hypothesis:
        """The claim."""
        return self.finding.hypothesis

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.finding.plan

    @property
    def effect(self) -> Effect:
        """The estimate."""
        return self.finding.effect

    @property
    def frame(self) -> pd.DataFrame:
        """One row per example; see `Finding.frame`."""
        return self.finding.frame

    @property
    def title(self) -> str:
        """The outcome in capitals, and whether it is about one adapter only."""
        one_seed = " (ONE SEED)" if self.effect.seeds == 1 else ""
        return ("STRONGLY " if self.strongly else "") + self.outcome.upper() + one_seed

    def means(self) -> pd.DataFrame:
        """Mean score of treatment and control, by split."""
        return self.frame.groupby("split", sort=False)[["treatment", "control"]].mean()

    def __str__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """The verdict in lines of plain text."""
        h, e = self.hypothesis, self.effect
        lines = [
            f"{self.title}: {h.claim}",
            f"  {self.reason}",
            f"contrast    {h.contrast}; {h.metric} on {h.loaded_task.name}, {h.split}",
            f"estimate    {interval_text(e)}; expected {h.direction}, by {h.smallest_effect:g} at "
            f"least",
            f"p           {e.p:.2g}; {self.p_holm:.2g} after Holm over {self.tests} of "
            f"{h.family_name!r}{exact_text(e)}",
            f"size        {_size(e)}sd {e.sd_examples:.2f} between examples"
            + ("" if math.isnan(e.sd_seeds) else f", {e.sd_seeds:.2f} between seeds"),
            f"rests on    {counted(e.seeds, 'training seed')}, {e.records} paired examples",
        ]
        if self.outcome == "refuted":
            lines.append(
                f"falls short p {self.finding.p_short:.2g}, before Holm over a study's parts"
            )
        for split, row in self.means().iterrows():
            lines.append(
                f"scores      {split}: treatment {row['treatment']:.2f}, control "
                f"{row['control']:.2f}"
            )
        for control in self.finding.controls:
            lines.append(
                f"control     {control.name}: effect {interval_text(control.effect)}; beyond it "
                f"{interval_text(control.specific)}"
            )
        lines += [f"not run     {name}: {why}" for name, why in self.finding.not_run.items()]
        lines += [f"note        {note}" for note in self.finding.notes]
        lines += [f"settle      {self.settle}"] * bool(self.settle)
        lines += [f"journal     {self.history}"] * bool(self.history)
        return "\n".join(lines)

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page."""
        from latent_core.hypotheses.report.page import write_report

        return write_report(path, self.hypothesis.claim, [self])

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
                for c in self.finding.controls
            },
            "not_run": self.finding.not_run,
        }

    def _repr_html_(self) -> str:
        return as_html(self.summary())


def judge(finding: Finding, p_holm: float, tests: int = 1, history: str = "") -> Verdict:
    """Weigh a finding.

    Args:
        finding: the estimates.
        p_holm: p-value of its effect after Holm.
        tests: how many tests the family holds.
        history: what the journal says of earlier looks.
    """
    h, e = finding.hypothesis, finding.effect
    low, high, mean = _directed(e, h.sign)
    least = h.smallest_effect
    about = " This is about this adapter only: one training seed." if e.seeds == 1 else ""
    settle = ""
    strongly = False
    outcome: Outcome = "inconclusive"
    if finding.untried:
        reason = (
            "nothing was tried: the intervention met no latent in any example; choose a split in "
            "which it does."
        )
    elif high >= 0 and (no_room := _no_room(finding)):
        reason = no_room
    elif high < 0:
        outcome, reason = "refuted", "the whole interval lies on the other side of zero."
    elif high < least:
        outcome, reason = "refuted", f"the whole interval falls short of {least:g}."
    elif low > 0 and mean >= least:
        outcome, reason, unpassed = _against_controls(finding)
        if unpassed is not None:
            settle = more_seeds_or_examples(finding, unpassed.specific)
        if outcome == "supported" and p_holm > 0.05:
            outcome = "inconclusive"
            reason = (
                f"the interval excludes zero, but among {tests} tests of its family that is no "
                f"surprise (p = {p_holm:.2g} after Holm)."
                if tests > 1
                else f"the interval excludes zero, but barely: p = {p_holm:.2g}."
            )
            settle = more_seeds_or_examples(finding, e, tests)
        strongly = outcome == "supported" and low >= least
    else:
        reason = (
            f"the interval holds both no effect and {least:g}."
            if low <= 0
            else f"there is an effect, but whether it reaches {least:g} is open."
        )
        settle = more_seeds_or_examples(finding, e, tests)
    return Verdict(finding, outcome, strongly, p_holm, tests, reason + about, settle, history)


def more_seeds_or_examples(finding: Finding, e: Effect, tests: int = 1, most: int = 1000) -> str:
    """What would settle it, if estimate and spreads stay as they are.

    Args:
        finding: whose claim and plan.
        e: what has to be settled: its effect, or what of it is beyond a control.
        tests: of the family.
        most: seeds, and multiples of the examples, beyond which it is called hopeless.
    """
    h, plan = finding.hypothesis, finding.plan
    mean, least = h.sign * e.mean, h.smallest_effect
    if not e.sd_examples:
        return "the differences never varied; more examples narrow what that can mean"
    support = mean >= least
    distance = mean if support else least - mean
    terms = sum(weight**2 for weight in h.terms.values())
    alpha = 0.05 / tests if support else 0.05
    between = plan.assumptions.sd_seeds if math.isnan(e.sd_seeds) else e.sd_seeds

    def enough(seeds: int, examples: int) -> bool:
        error = math.sqrt(terms / examples) * e.sd_examples
        if seeds == 1:
            freedom = len(h.terms) * (examples - 1)
            return bool(stats.t.isf(alpha / 2, freedom) * error < distance)
        variance = (between**2 + error**2) / seeds
        return bool(stats.t.isf(alpha / 2, seeds - 1) * math.sqrt(variance) < distance)

    seeds = next((n for n in range(max(2, e.seeds), most) if enough(n, plan.examples)), None)
    sizes = (plan.examples * k for k in range(1, 101))
    examples = next((n for n in sizes if enough(e.seeds, n)), None)
    if distance <= 0:
        return "the estimate lies exactly at the smallest effect: no amount of data settles that"
    side = "support" if support else "refute"
    parts = [
        f"about {seeds} seeds with {plan.examples} examples" if seeds else f"no {most} seeds",
        f"about {examples} examples with {counted(e.seeds, 'seed')}"
        if examples
        else f"no number of examples with {counted(e.seeds, 'seed')}",
    ]
    if seeds == e.seeds and examples == plan.examples:
        return f"it was close; a few more seeds would {side} it if the estimate holds"
    return f"if the estimate holds, it would take to {side} it: {'; or '.join(parts)}"


def interval_text(effect: Effect) -> str:
    """`+0.12 [+0.05, +0.19]`."""
    return f"{effect.mean:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}]"


def _size(effect: Effect) -> str:
    return "" if math.isnan(effect.size) else f"d = {effect.size:+.2f}; "


def exact_text(effect: Effect) -> str:
    """What the permutation test says, to be put behind the other p-values; empty if it was none."""
    if math.isnan(effect.p_exact):
        return ""
    whose = "seeds'" if effect.seeds > 1 else "examples'"
    return f"; {effect.p_exact:.2g} by flipping the {whose} signs"


def _directed(effect: Effect, sign: int) -> tuple[float, float, float]:
    """Low, high and mean, turned so that the stated direction is up."""
    low, high = sorted((sign * effect.low, sign * effect.high))
    return low, high, sign * effect.mean


def _no_room(finding: Finding) -> str:
    """Why the claimed effect could not have shown, if it could not."""
    h = finding.hypothesis
    if h.contrast.minus_split is not None or h.metric == "agreement":
        return ""
    level = float(np.mean(finding.frame.groupby("split")["control"].mean()))
    room = level if h.direction == "less" else 1 - level
    if room >= h.smallest_effect:
        return ""
    edge = "low" if h.direction == "less" else "high"
    return (
        f"the control scores {level:.2f}, too {edge} for an effect of {h.smallest_effect:g} to "
        f"show; "
        "choose a split or a training in which it can."
    )


def _against_controls(finding: Finding) -> tuple[Outcome, str, ControlFinding | None]:
    """Whether an effect that is there is one of the learned latents; else what stands against it.

    Returns:
        outcome, reason, and the control from which the effect cannot be told by the most.
    """
    h = finding.hypothesis
    unpassed: list[ControlFinding] = []
    for control in finding.controls:
        if _directed(control.specific_wide, h.sign)[1] < h.smallest_effect:
            return (
                "refuted",
                (
                    f"the control {control.name} shows the same effect "
                    f"({interval_text(control.effect)}): what is left beyond it falls short of "
                    f"{h.smallest_effect:g}."
                ),
                None,
            )
        if _directed(control.specific, h.sign)[0] <= 0:
            unpassed.append(control)
    if unpassed:
        names = ", ".join(control.name for control in unpassed)
        worst = min(unpassed, key=lambda control: h.sign * control.specific.mean)
        return "inconclusive", f"the effect cannot be told from that of the control {names}.", worst
    passed = ", ".join(control.name for control in finding.controls)
    tail = f", and no control ({passed}) shows the same" if passed else ", without any control"
    return "supported", f"the effect is beyond zero and reaches {h.smallest_effect:g}{tail}.", None
