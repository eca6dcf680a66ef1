"""The execution of planned tests: all are run, then judged together and kept in the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from latent_core.errors import LatentError, SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.costs import conditions_of
from latent_core.hypotheses.evidence import (
    Evidence,
    evidence_from_records,
    gather_evidence,
)
from latent_core.hypotheses.journal import Journal
from latent_core.hypotheses.plan import ASSUMED, Plan, Plans, make_plan
from latent_core.hypotheses.study import Study
from latent_core.hypotheses.study_verdict import StudyVerdict
from latent_core.hypotheses.targets import TargetSources
from latent_core.hypotheses.verdict import Verdict, judge
from latent_core.progress import Progress, as_part_of
from latent_core.statistics.inference import holm

__all__ = ["Execution", "PlannedClaim"]

_USUAL_EXAMPLES: Final = 100
#: Seconds below which conditions are counted instead.
_WORTH_TIMING: Final = 5.0


@dataclass(frozen=True)
class PlannedClaim:
    """A claim that is to be tested, with its plan.

    Attributes:
        claim: a hypothesis, or a study.
        plan: of a hypothesis its plan, of a study the plans of its parts; None for the usual size.
    """

    claim: Hypothesis | Study
    plan: Plan | Mapping[str, Plan] | None

    def __post_init__(self) -> None:
        if self.plan is None or isinstance(self.plan, Plan) == isinstance(self.claim, Hypothesis):
            return
        raise SettingError(
            f"the plan of a {type(self.claim).__name__} is a {type(self.plan).__name__}; make one "
            "with lc.lab.plan(...) of the same claim"
        )

    @property
    def label(self) -> str:
        """Names the claim in errors."""
        return self.claim.key if isinstance(self.claim, Study) else self.claim.claim

    @property
    def hypotheses(self) -> Mapping[str, Hypothesis]:
        """The hypotheses by name; the only one of a hypothesis has no name."""
        return self.claim.hypotheses if isinstance(self.claim, Study) else {"": self.claim}

    def plans(self) -> dict[str, Plan | None]:
        """Return the plan of each hypothesis that is to be tested; None for the usual size.

        Raises:
            SettingError: if a plan is for another hypothesis.
        """
        if self.plan is None:
            return dict.fromkeys(self.hypotheses)
        plans = {"": self.plan} if isinstance(self.plan, Plan) else dict(self.plan)
        for name, plan in plans.items():
            mine = self.hypotheses.get(name)
            planned = plan.hypothesis
            if mine is not None and mine.contrast.needs_backbone:
                planned = replace(planned, contrast=mine.contrast)  # the plan may have resolved it
            if planned != mine:
                raise SettingError(
                    f"the plan is for another hypothesis, {plan.hypothesis.claim!r}; make one with "
                    "lc.lab.plan(...) of the same claim"
                )
        return dict(plans)

    @property
    def refused(self) -> dict[str, str]:
        """The parts that were refused when the plans were made."""
        return dict(self.plan.refused) if isinstance(self.plan, Plans) else {}


@dataclass(frozen=True)
class _Test:
    """One test: the plan of one hypothesis, `name` of claim number `claim`."""

    claim: int
    name: str
    plan: Plan


class Execution:
    """Tests that are run one after the other and judged together.

    Args:
        claims: the claims with their plans.
        target: what the tests run on.
        folder: keeps answers and the journal.
        progress: show a bar for each test.
    """

    def __init__(
        self, claims: Sequence[PlannedClaim], target: TargetSources, folder: Path, progress: bool
    ) -> None:
        self._claims, self._target = claims, target
        self._folder, self._journal, self._progress = folder, Journal(folder), progress
        self._not_run = [claim.refused for claim in claims]

    def verdicts(self) -> list[Verdict | StudyVerdict]:
        """Run all tests, and return the verdict of each claim.

        Raises:
            SettingError: if a hypothesis cannot be tested, or no part of a study.
        """
        tests = [replace(t, plan=self._journal.write_plan(t.plan)) for t in self._prepared()]
        joint = _JointProgress([self._size(test) for test in tests])
        found: dict[tuple[int, str], Evidence] = {}
        for number, test in enumerate(tests):
            try:
                with joint.test(number):
                    found[test.claim, test.name] = self._evidence(test.plan)
            except SettingError as error:
                self._refuse(test.claim, test.name, error)
        for number in range(len(self._claims)):
            self._require_some(number, [name for claim, name in found if claim == number])
        judged = dict(zip(found, self._judged(list(found.values())), strict=True))
        return [self._verdict(number, judged) for number in range(len(self._claims))]

    def _prepared(self) -> list[_Test]:
        """The tests that the target can answer."""
        tests = []
        for number, claim in enumerate(self._claims):
            for name, plan in claim.plans().items():
                try:
                    made = plan or self._usual_plan(claim.hypotheses[name], len(claim.hypotheses))
                    made = replace(made, hypothesis=self._target.resolve(made.hypothesis))
                    if self._target.records is None:
                        source = self._target.source(made.hypothesis)
                        source.seeds(made.hypothesis.contrast.methods, made.seeds)
                except LatentError as error:
                    self._refuse(number, name, error)
                else:
                    tests.append(_Test(number, name, made))
            self._require_some(number, [test.name for test in tests if test.claim == number])
        return tests

    def _usual_plan(self, hypothesis: Hypothesis, tests: int) -> Plan:
        """Plan 5 seeds of 100 examples, or what the target has."""
        records, examples = self._target.records, _USUAL_EXAMPLES
        if records is None:
            seeds = self._target.source(hypothesis).usual_seeds(hypothesis.contrast.methods)
        elif not {"method", "seed", "split"} <= set(records):
            seeds = 1  # the test says which columns are missing
        else:
            own = records[records["split"].isin(list(hypothesis.terms))]
            seeds = max(1, int(own["seed"].nunique()))
            sizes = own.groupby(["method", "seed", "split"]).size()
            examples = int(sizes.min()) if len(sizes) else examples
        return make_plan(hypothesis, seeds, examples, ASSUMED, tests=tests)

    def _refuse(self, number: int, name: str, error: LatentError) -> None:
        """Note that a part cannot be tested; a hypothesis that cannot be tested ends the run."""
        if isinstance(self._claims[number].claim, Hypothesis):
            raise error
        self._not_run[number][name] = str(error)

    def _require_some(self, number: int, names: Sequence[str]) -> None:
        if not names:
            reasons = "; ".join(f"{name}: {why}" for name, why in self._not_run[number].items())
            raise SettingError(f"no part of {self._claims[number].label} could be run: {reasons}")

    def _size(self, test: _Test) -> _Size:
        claim = self._claims[test.claim]
        names = [claim.label] * (len(self._claims) > 1) + [test.name] * bool(test.name)
        conditions = len(conditions_of(test.plan.hypothesis)) * test.plan.seeds
        seconds = test.plan.seconds
        if isinstance(claim.plan, Plans):
            seconds = claim.plan.added_seconds.get(test.name)
        return _Size(": ".join(names), conditions, seconds)

    def _evidence(self, plan: Plan) -> Evidence:
        if self._target.records is not None:
            return evidence_from_records(plan, self._target.records)
        source = self._target.source(plan.hypothesis)
        return gather_evidence(plan, source, self._folder, self._progress)

    def _judged(self, evidence: Sequence[Evidence]) -> list[Verdict]:
        """Judge what was run together, and write it down."""
        together = {one.hypothesis.digest + one.records_digest for one in evidence}
        verdicts = []
        for one in evidence:
            family = one.hypothesis.family_name
            mates = [
                other.effect.p
                for other in evidence
                if other is not one and other.hypothesis.family_name == family
            ]
            p_values = [one.effect.p, *mates, *self._journal.family(one, together)]
            history = self._journal.history(one)
            verdicts.append(judge(one, holm(p_values)[0], len(p_values), history))
        for verdict in verdicts:
            self._journal.write_verdict(verdict)
        return verdicts

    def _verdict(
        self, number: int, judged: Mapping[tuple[int, str], Verdict]
    ) -> Verdict | StudyVerdict:
        parts = {name: verdict for (claim, name), verdict in judged.items() if claim == number}
        claim = self._claims[number].claim
        if isinstance(claim, Hypothesis):
            return parts[""]
        return StudyVerdict(claim, parts, self._not_run[number])


class _Size(NamedTuple):
    """How much a test has to do.

    Attributes:
        name: the test's name; empty if it is the only one.
        conditions: conditions to be answered, over all seeds.
        seconds: the time that it adds to the tests before it; None if not known.
    """

    name: str
    conditions: int
    seconds: float | None


class _JointProgress:
    """Turns the progress of one test into the progress of all.

    Args:
        sizes: of the tests, in the order in which they run.
    """

    def __init__(self, sizes: list[_Size]) -> None:
        known = [size.seconds for size in sizes if size.seconds is not None]
        self._timed = len(known) == len(sizes) and sum(known) >= _WORTH_TIMING
        self._sizes = [
            (size.seconds or 0.0) if self._timed else float(size.conditions) for size in sizes
        ]
        self._names = [size.name for size in sizes]
        self._conditions = Progress("", 0, 1, "condition")

    def test(self, number: int) -> AbstractContextManager[None]:
        """Return the context in which test `number` runs."""
        before = sum(self._sizes[:number])
        size, total = self._sizes[number], max(1, round(sum(self._sizes)))
        name = self._names[number]
        self._conditions = Progress("", 0, 1, "condition")

        def joint(progress: Progress) -> Progress:
            within, label = 0.0, progress.description
            if progress.unit == "condition":
                self._conditions = progress
            elif progress.total:  # training happens within a condition and does not complete it
                within = 0.9 * progress.done / progress.total
                label = f"{label} {progress.done}/{progress.total}"
            share = (self._conditions.done + within) / max(1, self._conditions.total)
            done = min(total, round(before + size * min(1.0, share)))
            unit = "planned second" if self._timed else "condition"
            return Progress(f"{name}, {label}" if name else label, done, total, unit)

        return as_part_of(joint)
