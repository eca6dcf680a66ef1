"""What is to be tested, and on what, before anything is run; and the Python that says the same.

Knows hypotheses; neither widgets nor how they are tested.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latent_core.hypotheses import Hypothesis, Study

__all__ = ["Asked", "Target", "one_part", "own_code"]


@dataclass(frozen=True)
class Target:
    """On what is tested.

    Attributes:
        words: what it is called.
        given: a backbone to train on, models, or folders of runs: what `Hypothesis.test` takes.
        code: Python for the same, an expression.
        training: arguments of `train`; empty where nothing is trained.
    """

    words: str
    given: Any
    code: str
    training: Mapping[str, int]


@dataclass(frozen=True)
class Asked:
    """What is to be tested.

    Attributes:
        title: the question, or the claim.
        key: names the report.
        parts: hypotheses by a short name each, all of one family.
        target: on what.
        seeds, examples: of the plan.
        folder: keeps adapters, partial results, journal and report.
        code: Python whose last line names `claim`, a study or a hypothesis.
        study: the study, if `parts` are all of it.
    """

    title: str
    key: str
    parts: Mapping[str, Hypothesis]
    target: Target
    seeds: int
    examples: int
    folder: Path
    code: str
    study: Study | None = None

    @property
    def report(self) -> Path:
        """Where the report is written."""
        return self.folder / (re.sub(r"[^\w-]+", "-", self.key).strip("-")[:60] + ".html")

    def python(self) -> str:
        """Python that plans, tests and reports the same."""
        trains = f", training={dict(self.target.training)!r}" if self.target.training else ""
        return (
            f"import latent_core as lc\n\n{self.code}\ntarget = {self.target.code}\n"
            f"plan = claim.plan({self.seeds}, {self.examples}, target=target{trains})\n"
            f"verdict = claim.test(target, plan, {str(self.folder)!r}{trains})\n"
            f"verdict.report({str(self.report)!r})\n"
            "verdict\n"
        )


def own_code(hypothesis: Hypothesis, task_code: str) -> str:
    """Python that states a hypothesis as `claim`."""
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


def one_part(study: Study, name: str) -> dict[str, Hypothesis]:
    """One part of a study, still of the study's family."""
    return {name: replace(study.parts[name], family=study.key)}
