"""A study: one question, the hypotheses that answer it together, and their joint verdict.

The hypotheses are one family: Holm counts them all. A study is supported only if each of them is,
and refuted if one is and Holm, over all parts, finds that no accident; a part that could not be run
is named, and leaves the study inconclusive at best.

Knows hypotheses; the built-in studies are in `builtin`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from latent_core.archives.folders import is_folder
from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.costs import conditions_of, cost_together, trained_methods
from latent_core.hypotheses.evidence import DEFAULT_FOLDER, as_source, find_out, judge_family
from latent_core.hypotheses.plan import Plan, as_html
from latent_core.hypotheses.sources import TRAINING
from latent_core.hypotheses.verdict import Outcome, Verdict, interval_text
from latent_core.slots.methods import Method
from latent_core.statistics.inference import holm
from latent_core.wording import counted, duration_range

__all__ = ["FIRST_ANSWER", "FULL", "Study", "StudyVerdict", "load_study"]

FIRST_ANSWER: Final = {"seeds": 1, "examples": 32, "steps": 300}
"""What is enough for a look within minutes, on `tiny`: one seed, so about these adapters only."""
FULL: Final = {"seeds": 5, "examples": 100, "steps": 400}
"""What a claim about a method takes at least."""
#: p-value up to which that a part falls short is no accident.
_ACCIDENT: Final = 0.05


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
        layouts: for each task that it can be asked of, the latents it then asks about; its own
            task first. Empty if it asks about its parts only.
        build: makes the parts for a task and a layout.
        layout: the latents that `parts` are about.
    """

    key: str
    title: str
    claim: str
    prediction: str
    explanation: str
    parts: Mapping[str, Hypothesis]
    layouts: Mapping[str, str] = field(default_factory=dict)
    build: Callable[[str, str], Mapping[str, Hypothesis]] | None = None
    layout: str = ""

    @classmethod
    def asking(
        cls,
        key: str,
        title: str,
        claim: str,
        prediction: str,
        explanation: str,
        layouts: Mapping[str, str],
        build: Callable[[str, str], Mapping[str, Hypothesis]],
    ) -> Study:
        """A question that can be asked of several tasks and any layout; see the attributes."""
        task, layout = next(iter(layouts.items()))
        parts = build(task, layout)
        return cls(key, title, claim, prediction, explanation, parts, layouts, build, layout)

    def about(self, layout: str = "", task: str = "") -> Study:
        """The same question of another layout, or of another task: `reach-repetition`.

        Raises:
            LayoutError: if there is no such layout.
            SettingError: if the question makes no sense of it.
        """
        if self.build is None:
            raise SettingError(f"{self.key} asks about its own parts only")
        task = task or self.task
        if task not in self.layouts:
            raise SettingError(
                f"{self.key} cannot be asked of {task}; expected {' or '.join(self.layouts)}"
            )
        layout = layout or self.layouts[task]
        if not Method.parse(layout).layout.groups:
            raise SettingError(
                f"{self.key} asks about latents, and {layout!r} has none; expected a layout such "
                f"as {self.layout}"
            )
        if (layout, task) == (self.layout, self.task):
            return self
        parts = self.build(task, layout)
        return replace(self, key=self.key_on(task), layout=layout, parts=parts)

    def key_on(self, task: str) -> str:
        """What the question is called when it is asked of one of its tasks."""
        key = self.key.removesuffix(f"-{self.task}")
        return key if task == next(iter(self.layouts)) else f"{key}-{task}"

    @property
    def task(self) -> str:
        """The task of its parts; those of a built-in study are all on one."""
        return next(iter(self.parts.values())).loaded_task.name

    @property
    def hypotheses(self) -> dict[str, Hypothesis]:
        """The parts, declared one family of this study's name."""
        return {name: replace(part, family=self.key) for name, part in self.parts.items()}

    def plan(self, seeds: int = 5, examples: int = 100, **options: Any) -> dict[str, Plan]:
        """A plan for each part; options as those of `Hypothesis.plan`."""
        options["tests"] = len(self.parts)
        if (target := options.get("target")) is not None and not _trains(target):
            sources: dict[str, Any] = {}
            return {
                name: h.plan(seeds, examples, **options | {"target": _source(sources, target, h)})
                for name, h in self.hypotheses.items()
            }
        return {name: h.plan(seeds, examples, **options) for name, h in self.hypotheses.items()}

    def plan_summary(
        self, plans: Mapping[str, Plan], target: Any, training: dict[str, Any] | None = None
    ) -> str:
        """What all plans have in common, and how long they take together, in lines of text."""
        some = next(iter(plans.values()))
        hypotheses = [plan.hypothesis for plan in plans.values()]
        methods = dict.fromkeys(m for h in hypotheses for m in trained_methods(h))
        conditions = {(h.loaded_task.name, str(c)) for h in hypotheses for c in conditions_of(h)}
        known = target if _trains(target) else _source({}, target, hypotheses[0])
        seconds = cost_together(hypotheses, some.seeds, some.examples, known, training)
        lines = [
            f"size        {counted(some.seeds, 'training seed')} x {some.examples} examples per "
            f"split, under {counted(len(conditions), 'condition')}",
            f"assuming    sd {some.assumptions.sd_seeds:.2g} between seeds, "
            f"{some.assumptions.sd_examples:.2g} between examples ({some.assumptions.source})",
            f"family      {self.key}: {counted(some.tests, 'test')}, which Holm counts",
        ]
        if _trains(target):
            settings = ", ".join(f"{n} {v}" for n, v in (TRAINING | (training or {})).items())
            lines.insert(1, f"trained     {', '.join(methods)}, unless kept ({settings})")
        if seconds is not None:
            lines.append(f"time here   about {duration_range(seconds)}")
        if some.seeds == 1:
            lines.append("one seed    whatever comes out is about these adapters only")
        return "\n".join(lines)

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
                source = _source(sources, target, plan.hypothesis, folder, training)
                findings[name] = find_out(plan, source, folder, progress=progress)
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
    def p_refuting(self) -> dict[str, float]:
        """p-value of each part that is refuted, of falling short, after Holm over all parts."""
        adjusted = holm([verdict.finding.p_short for verdict in self.parts.values()])
        return {
            name: p
            for (name, verdict), p in zip(self.parts.items(), adjusted, strict=True)
            if verdict.outcome == "refuted"
        }

    @property
    def outcome(self) -> Outcome:
        """Supported if every part is, refuted if one is beyond accident, else inconclusive."""
        if any(p <= _ACCIDENT for p in self.p_refuting.values()):
            return "refuted"
        outcomes = {verdict.outcome for verdict in self.parts.values()}
        return "supported" if outcomes == {"supported"} and not self.not_run else "inconclusive"

    @property
    def reason(self) -> str:
        """In a sentence: how many parts came out how."""
        outcomes = [verdict.outcome for verdict in self.parts.values()]
        counts = {name: outcomes.count(name) for name in ("supported", "refuted", "inconclusive")}
        shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        tail = f", {len(self.not_run)} not run" if self.not_run else ""
        said = {f"{name} (p {p:.2g} after Holm)": p for name, p in self.p_refuting.items()}
        if fallen := [text for text, p in said.items() if p <= _ACCIDENT]:
            tail += f"; it claims every part, and so falls with {' and '.join(fallen)}"
        elif said:
            tail += f"; among so many it may be an accident: {', '.join(said)}"
        return f"of {len(outcomes) + len(self.not_run)} parts, {shown}{tail}"

    def table(self) -> pd.DataFrame:
        """One row per part: part, verdict, estimate, expected, the p-values, seeds, records."""
        p_refuting = self.p_refuting
        return pd.DataFrame(
            [
                {
                    "part": name,
                    "verdict": verdict.title.lower(),
                    "estimate": interval_text(verdict.effect),
                    "expected": f"{'+' if verdict.hypothesis.sign > 0 else '-'}"
                    f"{verdict.hypothesis.smallest_effect:g}",
                    "p_holm": round(verdict.p_holm, 4),
                    "p_refuting": p_refuting.get(name, math.nan),
                    "seeds": verdict.effect.seeds,
                    "records": verdict.effect.records,
                }
                for name, verdict in self.parts.items()
            ]
        )

    def __str__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """The verdict in lines of plain text, part by part."""
        study = self.study
        lines = [
            f"{study.key}: {study.claim}",
            f"{self.outcome.upper()}: {self.reason}",
        ]
        for name, verdict in self.parts.items():
            lines += ["", f"-- {name} --", verdict.summary()]
        lines += [f"\nnot run: {name}: {why}" for name, why in self.not_run.items()]
        return "\n".join(lines)

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page."""
        from latent_core.hypotheses.report.page import write_report

        study = self.study
        return write_report(
            path,
            f"{study.key}: {study.title}",
            list(self.parts.values()),
            names=list(self.parts),
            outcome=self.outcome,
            reason=self.reason,
            paragraphs=[study.claim, study.prediction, study.explanation],
            not_run=self.not_run,
        )

    def _repr_html_(self) -> str:
        return as_html(self.summary())


def load_study(key: str, layout: str = "") -> Study:
    """A built-in study.

    Args:
        key: its name; `reach-repetition` asks the question `reach` of another task.
        layout: the latents to ask about; empty for those the study asks about by itself.

    Raises:
        SettingError: with those there are.
        LayoutError: if there is no such layout.
    """
    from latent_core.hypotheses.studies.builtin import STUDIES

    for study in STUDIES:
        for task in study.layouts:
            if study.key_on(task).lower() == key.lower():
                return study.about(layout, task)
    raise SettingError(
        f"no hypothesis {key!r}; expected one of {', '.join(study.key for study in STUDIES)}; or "
        f"{', '.join(other_keys())}"
    )


def other_keys() -> list[str]:
    """Keys of the built-in studies asked of another task than their own."""
    from latent_core.hypotheses.studies.builtin import STUDIES

    return [study.key_on(task) for study in STUDIES for task in list(study.layouts)[1:]]


def _trains(target: Any) -> bool:
    """Whether a target is a backbone, on which adapters have to be trained."""
    named = isinstance(target, str) and not is_folder(target)
    return named or isinstance(target, Backbone)


def _source(
    known: dict[str, Any],
    target: Any,
    hypothesis: Hypothesis,
    folder: str | Path = DEFAULT_FOLDER,
    training: dict[str, Any] | None = None,
) -> Any:
    """One for all parts of a task, so that adapters are found and loaded once."""
    if isinstance(target, pd.DataFrame):
        return target
    task = hypothesis.loaded_task.name
    if task not in known:
        known[task] = as_source(target, hypothesis, folder, training)
    return known[task]
