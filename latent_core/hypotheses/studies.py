"""A study: one question, the hypotheses that answer it together, and their joint verdict.

The hypotheses are one family: Holm counts them all. A study is supported only if each of them is,
and refuted if one is; a part that could not be run is named, and leaves the study inconclusive at
best.

Knows hypotheses; the built-in studies are in `builtin`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from latent_core.errors import SettingError
from latent_core.hypotheses.hypothesis import Hypothesis
from latent_core.hypotheses.planning import Plan
from latent_core.hypotheses.testing import DEFAULT_FOLDER, as_source, find_out, judge_family
from latent_core.hypotheses.verdict import Outcome, Verdict, interval_text

__all__ = ["FIRST_ANSWER", "FULL", "Study", "StudyVerdict", "load_study"]

FIRST_ANSWER: Final = {"seeds": 1, "examples": 16, "steps": 200}
"""What is enough for a look within minutes, on `tiny`: one seed, so about these adapters only."""
FULL: Final = {"seeds": 5, "examples": 100, "steps": 400}
"""What a claim about a method takes at least."""


@dataclass(frozen=True)
class Study:
    """A question and how it is put to the test.

    Attributes:
        key: what the command line calls it.
        title: the question.
        claim: the answer that is tested.
        prediction: what should be seen if the claim is right, and what if it is not.
        explanation: what it means and how it is tested, in plain words.
        parts: the hypotheses, by a short name each.
    """

    key: str
    title: str
    claim: str
    prediction: str
    explanation: str
    parts: Mapping[str, Hypothesis]

    @property
    def hypotheses(self) -> dict[str, Hypothesis]:
        """The parts, declared one family of this study's name."""
        return {name: replace(part, family=self.key) for name, part in self.parts.items()}

    def plan(self, seeds: int = 5, examples: int = 100, **options: Any) -> dict[str, Plan]:
        """A plan for each part; options as those of `Hypothesis.plan`."""
        tests = len(self.parts)
        parts = self.hypotheses.items()
        return {name: h.plan(seeds, examples, tests=tests, **options) for name, h in parts}

    def test(
        self,
        target: Any,
        plans: Mapping[str, Plan] | None = None,
        folder: str | Path = DEFAULT_FOLDER,
        *,
        training: dict[str, Any] | None = None,
        progress: bool = True,
    ) -> StudyVerdict:
        """Run every part and judge them as one family; arguments as those of `Hypothesis.test`.

        Raises:
            SettingError: if no part could be run, with the reasons.
        """
        plans = plans or self.plan(measure=False)
        findings, not_run = {}, {}
        sources: dict[str, Any] = {}
        for name, plan in plans.items():
            try:
                task = plan.hypothesis.loaded_task.name
                if isinstance(target, pd.DataFrame):
                    sources[task] = target
                if task not in sources:
                    sources[task] = as_source(target, plan.hypothesis, folder, training)
                findings[name] = find_out(plan, sources[task], folder, progress=progress)
            except SettingError as error:
                not_run[name] = str(error)
        if not findings:
            reasons = "; ".join(f"{name}: {why}" for name, why in not_run.items())
            raise SettingError(f"no part of {self.key} could be run: {reasons}")
        judged = judge_family(list(findings.values()), folder)
        return StudyVerdict(self, dict(zip(findings, judged, strict=True)), not_run)


@dataclass(frozen=True)
class StudyVerdict:
    """What came of a study.

    Attributes:
        study: the study.
        parts: verdicts by the part's name.
        not_run: parts that could not be run, with the reason.
    """

    study: Study
    parts: Mapping[str, Verdict]
    not_run: Mapping[str, str]

    @property
    def outcome(self) -> Outcome:
        """Supported if every part is, refuted if one is, else inconclusive."""
        outcomes = {verdict.outcome for verdict in self.parts.values()}
        if "refuted" in outcomes:
            return "refuted"
        return "supported" if outcomes == {"supported"} and not self.not_run else "inconclusive"

    def table(self) -> pd.DataFrame:
        """One row per part: part, verdict, estimate, least, p_holm, seeds, records."""
        return pd.DataFrame(
            [
                {
                    "part": name,
                    "verdict": verdict.title.lower(),
                    "estimate": interval_text(verdict.effect),
                    "expected": f"{'+' if verdict.hypothesis.sign > 0 else '-'}"
                    f"{verdict.hypothesis.smallest_effect:g}",
                    "p_holm": round(verdict.p_holm, 4),
                    "seeds": verdict.effect.seeds,
                    "records": verdict.effect.records,
                }
                for name, verdict in self.parts.items()
            ]
        )

    def summary(self) -> str:
        """The verdict in lines of plain text, part by part."""
        study = self.study
        lines = [
            f"{study.key}: {study.claim}",
            f"{self.outcome.upper()} in {len(self.parts)} parts",
        ]
        for name, verdict in self.parts.items():
            lines += ["", f"-- {name} --", verdict.summary()]
        lines += [f"\nnot run: {name}: {why}" for name, why in self.not_run.items()]
        return "\n".join(lines)

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page."""
        from latent_core.hypotheses.report import write_report

        study = self.study
        return write_report(
            path,
            f"{study.key}: {study.title}",
            list(self.parts.values()),
            names=list(self.parts),
            outcome=self.outcome,
            paragraphs=[study.claim, study.prediction, study.explanation],
            not_run=self.not_run,
        )

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self.summary())}</pre>"


def load_study(key: str) -> Study:
    """A built-in study.

    Raises:
        SettingError: with those there are.
    """
    from latent_core.hypotheses.builtin import STUDIES

    for study in STUDIES:
        if study.key.lower() == key.lower():
            return study
    raise SettingError(
        f"no hypothesis {key!r}; expected one of {', '.join(study.key for study in STUDIES)}"
    )
