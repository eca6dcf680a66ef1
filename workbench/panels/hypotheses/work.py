"""The work of the hypotheses panel: the claim that its fields describe, plans, and the test.

The lab plans, runs and judges. This module knows no widgets. The same claim can be had as Python.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from latent_core.hypotheses import lab
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.plan import Plan, Plans
from latent_core.hypotheses.study import Study
from latent_core.hypotheses.study_verdict import StudyVerdict
from latent_core.hypotheses.verdict import Verdict
from latent_core.statistics.inference import Effect
from workbench.panels.code import path_code

__all__ = ["Asked", "Planned", "Result", "Target", "make_plans", "own_code", "run_plans"]


@dataclass(frozen=True)
class Target:
    """The target of a test.

    Attributes:
        words: its name for the reader.
        given: a backbone to train on, models, or folders of runs, as `lab.run` takes them.
        code: a Python expression for the same.
        training: arguments of `train`; empty if nothing is trained.
    """

    words: str
    given: Any
    code: str
    training: Mapping[str, int]


@dataclass(frozen=True)
class Asked:
    """A claim, and how it is tested.

    Attributes:
        title: the question, or the claim.
        key: names the report.
        claim: a study, or one hypothesis.
        target: what it is tested on.
        seeds, examples: of the plan.
        folder: keeps adapters, partial results, journal and report.
        code: Python whose last line names `claim`.
        part: the name of a hypothesis that is one part of a study; empty for other claims.
    """

    title: str
    key: str
    claim: Hypothesis | Study
    target: Target
    seeds: int
    examples: int
    folder: Path
    code: str
    part: str = ""

    @property
    def name(self) -> str:
        """The name of a hypothesis in tables."""
        return self.part or (self.title if isinstance(self.claim, Study) else self.claim.claim)

    @property
    def report(self) -> Path:
        """The file of the report."""
        return self.folder / (re.sub(r"[^\w-]+", "-", self.key).strip("-")[:60] + ".html")

    def python(self) -> str:
        """Return Python that plans, runs and reports the same."""
        trains = f", training={dict(self.target.training)!r}" if self.target.training else ""
        return (
            f"import latent_core as lc\n\n{self.code}\ntarget = {self.target.code}\n"
            f"plan = lc.lab.plan(claim, {self.seeds}, {self.examples}, target=target{trains})\n"
            f"verdict = lc.lab.run(claim, target, plan, {path_code(self.folder)}{trains})\n"
            f"lc.lab.report(verdict, {path_code(self.report)})\n"
            "verdict\n"
        )


def own_code(hypothesis: Hypothesis, task_code: str) -> str:
    """Return Python that states a hypothesis as `claim`."""
    contrast = hypothesis.contrast
    less = "" if contrast.minus_split is None else f", minus_split={contrast.minus_split!r}"
    return (
        "claim = lc.Hypothesis(\n"
        f"    claim={hypothesis.claim!r},\n"
        f"    task={task_code},\n"
        f"    split={hypothesis.split!r},\n"
        f"    metric={hypothesis.metric!r},\n"
        "    contrast=lc.Contrast(\n"
        f"        treatment={contrast.treatment!r},\n"
        f"        control={contrast.control!r}{less},\n"
        "    ),\n"
        f"    direction={hypothesis.direction!r},\n"
        f"    smallest_effect={hypothesis.smallest_effect!r},\n"
        f"    controls={hypothesis.controls!r},\n"
        ")"
    )


@dataclass(frozen=True)
class Planned:
    """A claim with its plans, before anything is run.

    Attributes:
        asked: the claim, and what it is tested on.
        found: the plan of a hypothesis, or the plans of a study.
    """

    asked: Asked
    found: Plan | Plans

    @property
    def plans(self) -> Mapping[str, Plan]:
        """The plans by part."""
        return {self.asked.name: self.found} if isinstance(self.found, Plan) else self.found

    @property
    def refused(self) -> Mapping[str, str]:
        """The parts that cannot be tested on the target, with the reason."""
        return {} if isinstance(self.found, Plan) else self.found.refused

    @property
    def added_seconds(self) -> Mapping[str, float | None]:
        """By part, the time that it adds to the parts before it; None if not known."""
        if isinstance(self.found, Plan):
            return {self.asked.name: self.found.seconds}
        return self.found.added_seconds

    @property
    def seconds(self) -> float | None:
        """The time of all parts together; None if not known."""
        return self.found.seconds


@dataclass(frozen=True)
class Result:
    """A claim that was tested.

    Attributes:
        planned: its plans.
        verdict: the verdict of a hypothesis, or of a study.
        report: the file of the report.
    """

    planned: Planned
    verdict: Verdict | StudyVerdict
    report: Path

    @property
    def parts(self) -> Mapping[str, Verdict]:
        """The verdicts by part."""
        if isinstance(self.verdict, Verdict):
            return {self.planned.asked.name: self.verdict}
        return self.verdict.parts

    @property
    def not_run(self) -> Mapping[str, str]:
        """The parts that could not be run, with the reason."""
        return {} if isinstance(self.verdict, Verdict) else self.verdict.not_run

    @property
    def study(self) -> StudyVerdict | None:
        """The joint verdict, if a study was tested."""
        return None if isinstance(self.verdict, Verdict) else self.verdict

    @property
    def outcome(self) -> str:
        """The outcome of the study or of the hypothesis."""
        return self.verdict.outcome

    def summary(self) -> pd.DataFrame:
        """One row per part, as a reader sees it: verdict, effect, adjusted p-value and reason."""
        rows = [
            {
                "part": name,
                "verdict": verdict.title,
                "effect": f"{verdict.effect.mean:+.2f} "
                f"[{verdict.effect.low:+.2f}, {verdict.effect.high:+.2f}]",
                "adjusted p": verdict.p_holm,
                "seeds": verdict.effect.seeds,
                "reason": verdict.reason,
            }
            for name, verdict in self.parts.items()
        ]
        return pd.DataFrame(rows)

    def table(self) -> pd.DataFrame:
        """Return one row per part and per control of it.

        Columns: part, row (`claim`, `with NAME`, `beyond NAME`), outcome, verdict (the outcome with
        its strength and scope), mean, low, high, smallest_effect (signed), p, p_holm, seeds,
        records, claim, task, split, minus_split, metric, treatment, control, reason. A control has
        no outcome.
        """
        rows = []
        for name, verdict in self.parts.items():
            h, e = verdict.hypothesis, verdict.effect
            about = {
                "claim": h.claim,
                "task": h.loaded_task.name,
                "split": h.split,
                "minus_split": h.contrast.minus_split or "",
                "metric": h.metric,
                "treatment": h.contrast.treatment,
                "control": h.contrast.control,
            }
            shown: list[tuple[str, str, Effect, float | None, str]] = [
                ("claim", verdict.title.lower(), e, verdict.p_holm, verdict.reason)
            ]
            for control in verdict.evidence.controls:
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
    """Plan every part, and measure how long it takes on this machine.

    Raises:
        SettingError: if no part can be tested on the target, with the reasons.
    """
    target = asked.target
    found = lab.plan(
        asked.claim, asked.seeds, asked.examples, target=target.given, training=target.training
    )
    return Planned(asked, found)


def run_plans(planned: Planned) -> Result:
    """Run the plans, judge them together, write journal and report."""
    asked, target = planned.asked, planned.asked.target
    verdict = lab.run(
        asked.claim,
        target.given,
        planned.found,
        asked.folder,
        training=target.training,
        progress=False,
    )
    report = lab.report(verdict, asked.report, asked.title)
    return Result(planned, verdict, report)
