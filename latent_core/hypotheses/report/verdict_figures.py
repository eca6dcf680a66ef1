"""The figures of verdicts: what the report and the hypotheses panel draw of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from latent_core.hypotheses.report.drawing import Drawing
from latent_core.hypotheses.report.figures import EffectRow, curves, effects, slopes
from latent_core.hypotheses.verdict import Verdict
from latent_core.wording import counted

__all__ = ["effects_of", "figures_of", "measured"]

#: What stands in the latents' places under a control, where its name does not say it.
_STAND_INS: Final = {"filler": "full stops"}


def effects_of(verdicts: Mapping[str, Verdict]) -> Drawing:
    """Draw the effects of verdicts by name; those of a single verdict's controls, too."""
    if len(verdicts) == 1:
        ((label, verdict),) = verdicts.items()
        return effects(
            [_row(label, verdict), *_control_rows(verdict)],
            f"difference in {measured(verdict)}, with 95 % interval",
        )
    metrics = " or ".join(dict.fromkeys(v.hypothesis.metric for v in verdicts.values()))
    rows = [_row(label, verdict) for label, verdict in verdicts.items()]
    return effects(rows, f"difference in {metrics} score, with 95 % interval")


def figures_of(verdict: Verdict) -> list[Drawing]:
    """Draw a verdict: its effect, its seeds, and its splits if the claim is about several."""
    h = verdict.hypothesis
    found = [effects_of({"effect": verdict})]
    if verdict.effect.seeds > 1 and not h.contrast.minus_split:
        by_seed = verdict.frame.groupby("seed")[["control", "treatment"]].mean()
        pairs = [(f"seed {s}", r["control"], r["treatment"]) for s, r in by_seed.iterrows()]
        sides = (h.contrast.control, h.contrast.treatment)
        found.append(slopes(sides, pairs, f"mean {measured(verdict)}"))
    if len(h.terms) > 1:
        means = verdict.means().loc[list(h.terms)]
        rows = [("treatment", list(means["treatment"])), ("control", list(means["control"]))]
        found.append(curves(list(means.index), rows, f"mean {h.metric} by split"))
    return found


def measured(verdict: Verdict) -> str:
    """Return what a verdict's claim is measured by: `graded on repetition, ood-8`."""
    h = verdict.hypothesis
    text = f"{h.metric} on {h.loaded_task.name}, {h.split}"
    return f"{text}, minus the same on {h.contrast.minus_split}" if h.contrast.minus_split else text


def _row(label: str, verdict: Verdict) -> EffectRow:
    h, e = verdict.hypothesis, verdict.effect
    return EffectRow(
        label,
        e.mean,
        e.low,
        e.high,
        least=h.sign * h.smallest_effect,
        outcome=verdict.outcome,
        verdict=verdict.title.lower(),
        tip=f"{counted(e.seeds, 'training seed')}, {counted(e.records, 'pair')}",
    )


def _control_rows(verdict: Verdict) -> list[EffectRow]:
    rows = []
    for control in verdict.evidence.controls:
        name = _STAND_INS.get(control.name, f"{control.name} latents")
        for text, found in (("with", control.effect), ("beyond", control.specific)):
            rows.append(EffectRow(f"{text} {name}", found.mean, found.low, found.high))
    return rows
