"""The claim that the panel's fields describe, the target of its test, and the same as Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.study import Study
from workbench.panels.code import path_code

__all__ = ["Asked", "Target", "own_code"]


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
