"""What the hypotheses panel asks of the lab: plans for some claims, then their test as one run.

The lab is `latent_core.hypotheses`; here is only what a panel adds: plans and progress for all
parts together, and what came of them as one table. Knows no widgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from latent_core.backbones.backbone import Backbone
from latent_core.errors import LatentError, SettingError
from latent_core.hypotheses import Hypothesis, Plan, StudyVerdict, Verdict
from latent_core.hypotheses.conditions import CHANCE
from latent_core.hypotheses.costs import conditions_of, work_of
from latent_core.hypotheses.evidence import as_source, find_out, judge_family
from latent_core.hypotheses.report.page import write_report
from latent_core.hypotheses.sources import Source
from latent_core.progress import Progress, as_part_of, progress_bar
from latent_core.statistics.inference import Effect
from workbench.panels.hypotheses.asked import Asked

__all__ = ["Planned", "Result", "make_plans", "run_plans"]


@dataclass(frozen=True)
class Planned:
    """Plans, before anything is run.

    Attributes:
        asked: what for.
        plans: by part.
        refused: parts that cannot be tested so, with the reason.
        work: seconds by what is done, for each part only what no part before it has done; None if
            not known.
    """

    asked: Asked
    plans: Mapping[str, Plan]
    refused: Mapping[str, str]
    work: Mapping[str, float | None]

    @property
    def seconds(self) -> float | None:
        """Of all parts together; None if not known."""
        known = [seconds for seconds in self.work.values() if seconds is not None]
        return sum(known) if len(known) == len(self.work) else None


@dataclass(frozen=True)
class Result:
    """What came of it.

    Attributes:
        planned: the plans.
        parts: verdicts by part.
        not_run: parts that could not be run, with the reason.
        report: the file that was written.
    """

    planned: Planned
    parts: Mapping[str, Verdict]
    not_run: Mapping[str, str]
    report: Path

    @property
    def study(self) -> StudyVerdict | None:
        """The joint verdict, where all of a study was asked."""
        study = self.planned.asked.study
        return None if study is None else StudyVerdict(study, self.parts, self.not_run)

    @property
    def outcome(self) -> str:
        """Of the study, or of the one part; empty for some parts of a study."""
        if (joint := self.study) is not None:
            return joint.outcome
        return next(iter(self.parts.values())).outcome if len(self.parts) == 1 else ""

    def table(self) -> pd.DataFrame:
        """One row per part and per control of it.

        Columns: part, row (`claim`, `with NAME`, `beyond NAME`), outcome, verdict (the outcome, and
        how strong and of how much it is), mean, low, high, smallest_effect (signed), p, p_holm,
        seeds, records, claim, task, split, metric, treatment, control, reason. A control has no
        outcome.
        """
        rows = []
        for name, verdict in self.parts.items():
            h, e = verdict.hypothesis, verdict.effect
            about = {
                "claim": h.claim,
                "task": h.loaded_task.name,
                "split": h.split,
                "less_split": h.contrast.minus_split or "",
                "metric": h.metric,
                "treatment": h.contrast.treatment,
                "control": h.contrast.control,
            }
            shown: list[tuple[str, str, Effect, float | None, str]] = [
                ("claim", verdict.title.lower(), e, verdict.p_holm, verdict.reason)
            ]
            for control in verdict.finding.controls:
                shown.append((f"with {control.name}", "", control.effect, None, ""))
                shown.append((f"beyond {control.name}", "", control.specific, None, ""))
            rows += [
                {
                    "part": name,
                    "row": row,
                    "outcome": verdict.outcome if title else "",
                    "verdict": title,
                    "mean": effect.mean,
                    "low": effect.low,
                    "high": effect.high,
                    "smallest_effect": h.sign * h.smallest_effect,
                    "p": effect.p,
                    "p_holm": p_holm,
                    "seeds": effect.seeds,
                    "records": effect.records,
                    **about,
                    "reason": reason,
                }
                for row, title, effect, p_holm, reason in shown
            ]
        return pd.DataFrame(rows)


def make_plans(asked: Asked) -> Planned:
    """Plan every part, and measure how long it takes here.

    Raises:
        SettingError: if no part can be tested so, with the reasons.
    """
    plans: dict[str, Plan] = {}
    refused: dict[str, str] = {}
    work: dict[str, float | None] = {}
    sources: dict[str, Source] = {}
    seen: dict[tuple[str, ...], float] = {}
    training = dict(asked.target.training)
    with progress_bar(len(asked.parts), "plan", "claim", shown=False) as bar:
        for name, hypothesis in asked.parts.items():
            bar.set_description(f"plan {name}")
            try:
                source = _source(asked, hypothesis, sources)
                known = asked.target.given if isinstance(asked.target.given, Backbone) else source
                plan = hypothesis.plan(
                    asked.seeds,
                    asked.examples,
                    tests=len(asked.parts),
                    target=known,
                    training=training,
                )
                conditions = [c for c in plan.hypothesis.contrast.conditions if str(c) != CHANCE]
                source.seeds(list(dict.fromkeys(c.method for c in conditions)), asked.seeds)
                found = work_of(plan.hypothesis, asked.seeds, asked.examples, known, training)
            except LatentError as error:
                refused[name] = str(error)
            else:
                plans[name] = plan
                work[name] = None
                if found is not None:
                    work[name] = sum(found[key] for key in found.keys() - seen.keys())
                    seen |= found
            bar.update(1)
    if not plans:
        reasons = list(refused.items())
        raise SettingError(
            reasons[0][1] if len(reasons) == 1 else "; ".join(f"{n}: {why}" for n, why in reasons)
        )
    return Planned(asked, plans, refused, work)


def run_plans(planned: Planned) -> Result:
    """Run the plans, judge them as one family, write journal and report."""
    asked = planned.asked
    sources: dict[str, Source] = {}
    not_run = dict(planned.refused)
    findings = {}
    whole = _Whole(planned)
    for name, plan in planned.plans.items():
        try:
            with as_part_of(whole.part(name)):
                source = _source(asked, plan.hypothesis, sources)
                findings[name] = find_out(plan, source, asked.folder, progress=False)
        except SettingError as error:
            not_run[name] = str(error)
    if not findings:
        raise SettingError("; ".join(not_run.values()))
    judged = dict(zip(findings, judge_family(list(findings.values()), asked.folder), strict=True))
    if asked.study is not None:
        StudyVerdict(asked.study, judged, not_run).report(asked.report)
    else:
        names = list(judged) if len(judged) > 1 else []
        write_report(asked.report, asked.title, list(judged.values()), names=names, not_run=not_run)
    return Result(planned, judged, not_run, asked.report)


def _source(asked: Asked, hypothesis: Hypothesis, known: dict[str, Source]) -> Source:
    """One for all parts of a task, so that adapters are loaded once."""
    task = hypothesis.loaded_task.name
    if task not in known:
        given, training = asked.target.given, dict(asked.target.training)
        known[task] = as_source(given, hypothesis, asked.folder, training)
    return known[task]


#: Seconds below which conditions are counted instead.
_WORTH_TIMING: Final = 5.0


class _Whole:
    """How far all parts are, from how far the one is that runs: in seconds as planned."""

    def __init__(self, planned: Planned) -> None:
        self._timed = planned.seconds is not None and planned.seconds >= _WORTH_TIMING
        self._sizes = {
            name: (planned.work[name] or 0.0)
            if self._timed
            else float(len(conditions_of(plan.hypothesis)) * plan.seeds)
            for name, plan in planned.plans.items()
        }
        self._conditions = Progress("", 0, 1, "condition")

    def part(self, name: str) -> Any:
        """What to make of the progress of one part."""
        names = list(self._sizes)
        before = sum(self._sizes[n] for n in names[: names.index(name)])
        size, total = self._sizes[name], max(1, round(sum(self._sizes.values())))
        self._conditions = Progress("", 0, 1, "condition")

        def whole(progress: Progress) -> Progress:
            within, label = 0.0, progress.description
            if progress.unit == "condition":
                self._conditions = progress
            elif progress.total:  # training, within a condition, which is not done before it
                within = 0.9 * progress.done / progress.total
                label = f"{label} {progress.done}/{progress.total}"
            share = (self._conditions.done + within) / max(1, self._conditions.total)
            done = min(total, round(before + size * min(1.0, share)))
            unit = "planned second" if self._timed else "condition"
            return Progress(f"{name}, {label}", done, total, unit)

        return whole
