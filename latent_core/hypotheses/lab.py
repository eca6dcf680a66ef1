"""The lab: claims are planned, run, judged together and reported, one claim or many.

    plan = lc.lab.plan(claim, seeds=5, examples=100, target=models)
    verdict = lc.lab.run(claim, models, plan)
    lc.lab.report(verdict, "claim.html")

`claim` is a `Hypothesis`, a `Study`, or a sequence of either; the results have the same form:

| claim                 | `plan` gives    | `run` gives               |
|-----------------------|-----------------|---------------------------|
| `Hypothesis`          | `Plan`          | `Verdict`                 |
| `Study`               | `Plans`         | `StudyVerdict`            |
| sequence of these     | a list of these | a list of these           |

Claims and verdicts are values that do not know the lab, so these are functions and not methods.

The target of a test is one of:

- a `LatentModel`, or several: the models of one method are its training seeds;
- a folder of runs, or several folders;
- a data frame of records with a column `method`;
- a backbone, loaded or by name: the lab then trains the adapters it needs and keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast, overload

from latent_core.errors import LatentError, SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.costs import WorkKey, steps_of, trained_methods, work_of
from latent_core.hypotheses.execution import Execution, PlannedClaim
from latent_core.hypotheses.plan import ASSUMED, Assumptions, Plan, Plans, make_plan
from latent_core.hypotheses.report.page import write_report
from latent_core.hypotheses.study import Study
from latent_core.hypotheses.study_verdict import StudyVerdict
from latent_core.hypotheses.targets import TargetSources
from latent_core.hypotheses.verdict import Verdict
from latent_core.progress import progress_bar
from latent_core.wording import counted

__all__ = ["DEFAULT_FOLDER", "FULL_TEST", "QUICK_TEST", "Claim", "plan", "report", "run"]

DEFAULT_FOLDER: Final = "runs/hypotheses"
"""Where `run` keeps adapters, answers and the journal, if no folder is given."""
QUICK_TEST: Final = {"seeds": 1, "examples": 32, "steps": 300}
"""Sizes of a test that takes minutes on `tiny`. With one seed it is about these adapters only."""
FULL_TEST: Final = {"seeds": 5, "examples": 100, "steps": 400}
"""The least sizes for a claim about a method."""

Claim = Hypothesis | Study
"""What the lab takes, alone or several of them."""


@overload
def plan(
    asked: Hypothesis,
    seeds: int = ...,
    examples: int = ...,
    *,
    target: Any = ...,
    training: Mapping[str, Any] | None = ...,
    effect: float | None = ...,
    pilot: Assumptions | Verdict | None = ...,
    tests: int | None = ...,
    measure: bool = ...,
) -> Plan: ...
@overload
def plan(
    asked: Study,
    seeds: int = ...,
    examples: int = ...,
    *,
    target: Any = ...,
    training: Mapping[str, Any] | None = ...,
    effect: float | None = ...,
    pilot: Assumptions | Verdict | None = ...,
    tests: int | None = ...,
    measure: bool = ...,
) -> Plans: ...
@overload
def plan(
    asked: Sequence[Claim],
    seeds: int = ...,
    examples: int = ...,
    *,
    target: Any = ...,
    training: Mapping[str, Any] | None = ...,
    effect: float | None = ...,
    pilot: Assumptions | Verdict | None = ...,
    tests: int | None = ...,
    measure: bool = ...,
) -> list[Plan | Plans]: ...
def plan(
    asked: Claim | Sequence[Claim],
    seeds: int = 5,
    examples: int = 100,
    *,
    target: Any = None,
    training: Mapping[str, Any] | None = None,
    effect: float | None = None,
    pilot: Assumptions | Verdict | None = None,
    tests: int | None = None,
    measure: bool = True,
) -> Plan | Plans | list[Plan | Plans]:
    """Plan a test: what it runs, how likely it is to settle the claim, and how long it takes.

    Args:
        asked: a hypothesis, a study, or several of them.
        seeds: training seeds; with one, the verdict is about that adapter only.
        examples: per seed and split.
        target: what the test runs on (see the module); without it the time is not known.
        training: arguments of `train`, where adapters have to be trained.
        effect: the true size to find; by default twice the smallest effect.
        pilot: an earlier verdict on the same contrast, or spreads that you assume.
        tests: the number of tests of the family; by default the study's parts, or 1.
        measure: measure the time on this machine, which takes seconds.

    Raises:
        SettingError: for a number out of its range, an effect too small to support the claim, or a
            target that can answer no part of what is asked. The plans of a study name the parts
            that the target cannot answer.

    Example:
        >>> import latent_core as lc
        >>> contrast = lc.Contrast("Comma_2", "Start_6")
        >>> claim = lc.Hypothesis("Comma_2 beats Start_6", "repetition", contrast, "greater", 0.1)
        >>> plan = lc.lab.plan(claim, seeds=5, examples=100)
        >>> 0 < plan.power <= 1
        True
    """
    spreads = Assumptions.of_pilot(pilot.effect) if isinstance(pilot, Verdict) else pilot
    planner = _Planner(
        seeds,
        examples,
        spreads or ASSUMED,
        effect,
        tests,
        None if target is None else TargetSources(target, DEFAULT_FOLDER, training),
        measure,
    )
    if isinstance(asked, Hypothesis | Study):
        return planner.plan(asked)
    return [planner.plan(claim) for claim in asked]


@overload
def run(
    asked: Hypothesis,
    target: Any,
    plan: Plan | None = ...,
    folder: str | Path = ...,
    *,
    training: Mapping[str, Any] | None = ...,
    progress: bool = ...,
) -> Verdict: ...
@overload
def run(
    asked: Study,
    target: Any,
    plan: Mapping[str, Plan] | None = ...,
    folder: str | Path = ...,
    *,
    training: Mapping[str, Any] | None = ...,
    progress: bool = ...,
) -> StudyVerdict: ...
@overload
def run(
    asked: Claim,
    target: Any,
    plan: Plan | Mapping[str, Plan] | None = ...,
    folder: str | Path = ...,
    *,
    training: Mapping[str, Any] | None = ...,
    progress: bool = ...,
) -> Verdict | StudyVerdict: ...
@overload
def run(
    asked: Sequence[Claim],
    target: Any,
    plan: Sequence[Plan | Mapping[str, Plan]] | None = ...,
    folder: str | Path = ...,
    *,
    training: Mapping[str, Any] | None = ...,
    progress: bool = ...,
) -> list[Verdict | StudyVerdict]: ...
def run(
    asked: Claim | Sequence[Claim],
    target: Any,
    plan: Plan | Mapping[str, Plan] | Sequence[Plan | Mapping[str, Plan]] | None = None,
    folder: str | Path = DEFAULT_FOLDER,
    *,
    training: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Verdict | StudyVerdict | list[Verdict | StudyVerdict]:
    """Run what was planned, judge it, and write it into the journal.

    All plans are written into the journal before the first test runs, because tests share records.
    All tests are judged together: Holm's correction counts those of one family.

    Args:
        asked: a hypothesis, a study, or several of them.
        target: what the test runs on; see the module.
        plan: what `plan` gave for the same; by default 5 seeds of 100 examples, or what the target
            has.
        folder: keeps trained adapters, answers and the journal. The same call goes on where an
            earlier one was stopped.
        training: arguments of `train`, for adapters that are trained here.
        progress: show a bar with the time left.

    Raises:
        SettingError: if the target cannot answer a hypothesis, or any part of a study, with the
            reason.

    Example:
        >>> import tempfile
        >>> import latent_core as lc
        >>> contrast = lc.Contrast("Comma_2", "Start_6")
        >>> claim = lc.Hypothesis("Comma_2 beats Start_6", "repetition", contrast, "greater", 0.1)
        >>> runs = ["shipped:tiny/repetition/Comma_2", "shipped:tiny/repetition/Start_6"]
        >>> records = lc.load_runs(runs, records=True)
        >>> verdict = lc.lab.run(claim, records, folder=tempfile.mkdtemp(), progress=False)
        >>> verdict.effect.seeds
        10
    """
    sources = TargetSources(target, folder, training)
    if isinstance(asked, Hypothesis | Study):
        claims = [PlannedClaim(asked, cast("Plan | Mapping[str, Plan] | None", plan))]
        return Execution(claims, sources, Path(folder), progress).verdicts()[0]
    plans = [None] * len(asked) if plan is None else list(cast("Sequence[Any]", plan))
    if len(plans) != len(asked):
        raise SettingError(f"{len(plans)} plans for {len(asked)} claims; expected one for each")
    claims = [PlannedClaim(*pair) for pair in zip(asked, plans, strict=True)]
    return Execution(claims, sources, Path(folder), progress).verdicts()


def report(
    verdict: Verdict | StudyVerdict | Sequence[Verdict | StudyVerdict],
    path: str | Path,
    title: str = "",
) -> Path:
    """Write one self-contained HTML page.

    Args:
        verdict: what `run` gave.
        path: of the file; its folder is made if missing.
        title: of the page; by default the claim, or the study's question.

    Raises:
        LatentError: if the file cannot be written.

    Example:
        >>> import pathlib
        >>> import tempfile
        >>> import latent_core as lc
        >>> contrast = lc.Contrast("Comma_2", "Start_6")
        >>> claim = lc.Hypothesis("Comma_2 beats Start_6", "repetition", contrast, "greater", 0.1)
        >>> runs = ["shipped:tiny/repetition/Comma_2", "shipped:tiny/repetition/Start_6"]
        >>> records = lc.load_runs(runs, records=True)
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> verdict = lc.lab.run(claim, records, folder=folder, progress=False)
        >>> lc.lab.report(verdict, folder / "claim.html").name
        'claim.html'
    """
    if isinstance(verdict, Verdict):
        return write_report(path, title or verdict.hypothesis.claim, [verdict])
    if isinstance(verdict, StudyVerdict):
        study = verdict.study
        return write_report(
            path,
            title or f"{study.key}: {study.title}",
            list(verdict.parts.values()),
            names=list(verdict.parts),
            outcome=verdict.outcome,
            verdict=verdict.title,
            reason=verdict.reason,
            paragraphs=[study.claim, study.prediction, study.explanation],
            not_run=verdict.not_run,
        )
    sections: list[tuple[str, Verdict]] = []
    not_run: dict[str, str] = {}
    for one in verdict:
        if isinstance(one, Verdict):
            sections.append((one.hypothesis.claim, one))
        else:
            sections += [(f"{one.study.key}: {name}", part) for name, part in one.parts.items()]
            not_run |= {f"{one.study.key}: {name}": why for name, why in one.not_run.items()}
    names = [name for name, _ in sections]
    if len(set(names)) < len(names):  # the same claim twice
        names = [f"{number}. {name}" for number, name in enumerate(names, 1)]
    return write_report(
        path,
        title or counted(len(sections), "claim"),
        [part for _, part in sections],
        names=names,
        not_run=not_run,
    )


@dataclass(frozen=True)
class _Planner:
    """Makes the plans of one call of `plan`; the attributes are its arguments."""

    seeds: int
    examples: int
    assumptions: Assumptions
    effect: float | None
    tests: int | None
    target: TargetSources | None
    measure: bool

    def plan(self, claim: Claim) -> Plan | Plans:
        if isinstance(claim, Hypothesis):
            return self._one(claim, self.tests or 1)[0]
        return self._study(claim)

    def _study(self, study: Study) -> Plans:
        plans: dict[str, Plan] = {}
        refused: dict[str, str] = {}
        added: dict[str, float | None] = {}
        seen: dict[WorkKey, float] = {}
        hypotheses = study.hypotheses
        with progress_bar(len(hypotheses), "plan", "claim", shown=False) as bar:
            for name, hypothesis in hypotheses.items():
                bar.set_description(f"plan {name}")
                try:
                    plans[name], work = self._one(hypothesis, self.tests or len(hypotheses))
                except LatentError as error:
                    refused[name] = str(error)
                else:
                    added[name] = None
                    if work is not None:
                        added[name] = sum(work[key] for key in work.keys() - seen.keys())
                        seen |= work
                bar.update(1)
        if not plans:
            reasons = "; ".join(dict.fromkeys(refused.values()))
            raise SettingError(f"no part of {study.key} can be tested: {reasons}")
        return Plans(study.key, plans, refused, added, *self._trained(plans))

    def _trained(self, plans: Mapping[str, Plan]) -> tuple[tuple[str, ...] | None, dict[str, Any]]:
        """The methods that have to be trained, and how."""
        if self.target is None or self.target.records is not None:
            return None, {}
        planned = [plan.hypothesis for plan in plans.values()]
        training = self.target.source(planned[0]).training
        if training is None:
            return None, {}
        return tuple(dict.fromkeys(m for h in planned for m in trained_methods(h))), training

    def _one(self, hypothesis: Hypothesis, tests: int) -> tuple[Plan, dict[WorkKey, float] | None]:
        """The plan of one hypothesis, and the seconds of its work if they were measured."""
        target = self.target
        if target is not None:
            hypothesis = target.resolve(hypothesis)
        made = make_plan(
            hypothesis, self.seeds, self.examples, self.assumptions, effect=self.effect, tests=tests
        )
        source = None
        if target is not None and target.records is None:
            source = target.source(hypothesis)
            source.seeds(hypothesis.contrast.methods, self.seeds)
        training = None if source is None else source.training
        made = replace(made, steps=steps_of(hypothesis, self.seeds, self.examples, training))
        if source is None or not self.measure:
            return made, None
        work = work_of(hypothesis, self.seeds, self.examples, source)
        return replace(made, seconds=sum(work.values())), work
