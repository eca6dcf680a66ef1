"""A claim that can fail: what it compares, on which examples, by how much; and its controls.

claim = Hypothesis(
        claim="Comma latents keep the rule alive in long outputs",
        task="generation", split="ood", metric="graded",
        contrast=Contrast(treatment="drop(Comma, after=3)", control="none"),
        direction="less", smallest_effect=0.10)

A hypothesis is a value. `latent_core.hypotheses.lab` plans it, runs it and reports on it.

Controls come with every claim about latents. They are stand-ins for the learned vectors:

| control    | the latents' places hold                                       |
|------------|----------------------------------------------------------------|
| `random`   | random vectors of the same norms                               |
| `shuffled` | the learned vectors, each in another latent's place            |
| `filler`   | full stops' embeddings: as many tokens that are not latents    |

If a claim says that one method beats another, the control replaces the treatment's latents, and the
gain must disappear. If a claim is about an intervention, the control replaces the latents of the
model on both sides, and the effect must disappear. The *specific* effect is the effect minus the
effect under the control, example by example. A claim stands only if the interval of the specific
effect also excludes zero in the stated direction.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

from latent_core.errors import MovedName, SettingError
from latent_core.hypotheses.conditions import CHANCE, Condition, Contrast
from latent_core.interventions.kinds import Patch, parse_intervention
from latent_core.tasks.base import Task, resolve_splits
from latent_core.tasks.table import TASKS, load_task

__all__ = ["CONTROLS", "METRICS", "STAND_INS", "Control", "Hypothesis", "controls_of"]

METRICS = ("graded", "exact", "follows", "donor", "agreement")
"""Scores of a task, and more:

`follows`: whether the answers before and after one edit of the prompt are both right.
`donor`: the graded score of the response as an answer to the example whose hidden states
`patch(..., by=example)` gives; see `latent_core.tasks.donors`.
`agreement`: Spearman's correlation, over a group's layers and heads, of the attention that latents
get with the causal effect of cutting it.
"""

CONTROLS = ("random", "shuffled", "filler")
"""Stand-ins for the learned latents; see `latent_core.hypotheses.claim`."""


@dataclass(frozen=True)
class Hypothesis:
    """A claim, its contrast, and what would count for and against it.

    Attributes:
        claim: one sentence.
        task: a task's name, a .jsonl file, or a `Task`.
        contrast: the two conditions that are compared.
        direction: whether the treatment should score `less` or `greater` than the control.
        smallest_effect: the smallest difference that matters, above 0 in either direction.
        split: the split on which the contrast is measured; `ood` averages all OOD levels.
        metric: one of `METRICS`.
        family: the tests that Holm's correction counts together. By default the claim is a family
            of its own, so only repeated tests of it count.
        controls: stand-ins for the learned latents that must not show the same effect.

    Example:
        >>> import latent_core as lc
        >>> claim = lc.Hypothesis(
        ...     claim="Comma_2 beats prompt tuning",
        ...     task="repetition",
        ...     contrast=lc.Contrast("Comma_2", "Start_6"),
        ...     direction="greater",
        ...     smallest_effect=0.1,
        ... )
        >>> claim.split, claim.metric
        ('ood', 'graded')
    """

    claim: str
    task: str | Task
    contrast: Contrast
    direction: Literal["less", "greater"]
    smallest_effect: float
    split: str = "ood"
    metric: str = "graded"
    family: str = ""
    controls: tuple[str, ...] = CONTROLS

    def __post_init__(self) -> None:
        if not self.claim.strip():
            raise SettingError("the claim is empty; expected a sentence that can be false")
        if self.direction not in ("less", "greater"):
            raise SettingError(f"direction is {self.direction!r}; expected 'less' or 'greater'")
        if not 0 < self.smallest_effect <= 1:
            raise SettingError(
                f"smallest_effect is {self.smallest_effect}; expected a size above 0 and up to 1. "
                f"Its sign is the direction's: {self.direction!r} here"
            )
        if self.metric not in METRICS:
            raise SettingError(
                f"task {self.loaded_task.name!r} has no metric {self.metric!r}; expected "
                f"{' or '.join(METRICS)}"
            )
        if unknown := set(self.controls) - set(CONTROLS):
            raise SettingError(
                f"no control {', '.join(sorted(unknown))}; expected some of {', '.join(CONTROLS)}"
            )
        by_chance = CHANCE in (self.contrast.treatment, self.contrast.control)
        if by_chance and self.metric != "agreement":
            raise SettingError(
                f"'{CHANCE}' can be compared only by the metric agreement; expected two conditions "
                f"for the metric {self.metric!r}"
            )
        if self.metric == "follows" and type(self.loaded_task).edited is Task.edited:
            raise SettingError(
                f"task {self.loaded_task.name!r} has no edits that change an answer; expected a "
                "task such as hops or reach for the metric follows"
            )
        if self.metric == "donor":
            _ = self.donor_seed
        other = self.contrast.minus_split
        if other is not None and set(self.splits_of(other)) & set(self.splits_of(self.split)):
            raise SettingError(
                f"minus_split {other!r} shares examples with split {self.split!r}; expected two "
                "splits that have no example in common, such as ood and id"
            )
        self.splits_of(self.split)

    @cached_property
    def loaded_task(self) -> Task:
        """The task itself."""
        return self.task if isinstance(self.task, Task) else load_task(self.task)

    @property
    def donor_seed(self) -> int:
        """The draw of the donors that the metric `donor` compares responses with.

        Raises:
            SettingError: if the contrast gives latents no other example's states, or those of two.
        """
        seeds = {
            part.seed
            for condition in self.contrast.conditions
            for part in parse_intervention(condition.intervention).parts
            if isinstance(part, Patch) and part.by == "example"
        }
        if len(seeds) != 1:
            raise SettingError(
                f"the metric donor compares responses with the other example's answer, and the "
                f"contrast {self.contrast} has {len(seeds)} draws of other examples; expected one "
                "in its interventions, such as patch(Comma, by=example)"
            )
        return seeds.pop()

    def splits_of(self, name: str) -> tuple[str, ...]:
        """Return the single splits that a name stands for.

        Raises:
            TaskError: for a split that the task does not have.
        """
        return resolve_splits(self.loaded_task, name)

    @property
    def terms(self) -> dict[str, float]:
        """Every split of the estimate, with its weight."""
        own = self.splits_of(self.split)
        weights = dict.fromkeys(own, 1 / len(own))
        if self.contrast.minus_split is not None:
            away = self.splits_of(self.contrast.minus_split)
            weights |= dict.fromkeys(away, -1 / len(away))
        return weights

    @property
    def sign(self) -> int:
        """+1 where the treatment should score greater, -1 where less."""
        return 1 if self.direction == "greater" else -1

    @property
    def family_name(self) -> str:
        """The family that Holm's correction counts."""
        return self.family or self.claim

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain values, for the journal."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        task = self.loaded_task
        if TASKS.get(task.name) is not type(task):  # two files may have one name
            found["task_fingerprint"] = task.fingerprint
        return found | {
            "task": task.name,
            "contrast": asdict(self.contrast),
            "controls": list(self.controls),
            "family": self.family_name,
        }

    @property
    def digest(self) -> str:
        """Names the comparison: equal for equal contrasts on the same task, split and metric.

        Direction and smallest effect are left out, so the journal shows if they were changed after
        a test.
        """
        body = {k: v for k, v in self.to_dict().items() if k in _COMPARED}
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]

    plan = MovedName("lc.lab.plan(hypothesis, seeds, examples, target=...)")
    test = MovedName("lc.lab.run(hypothesis, target, plan)")


_COMPARED = ("task", "task_fingerprint", "split", "metric", "contrast")


STAND_INS: Final[dict[str, str]] = {
    "random": "replace(latents, random)",
    "shuffled": "shuffle(latents)",
    "filler": "replace(latents, text:.)",
}


class Control(NamedTuple):
    """A contrast whose latents are replaced.

    Attributes:
        name: the name of the stand-in.
        treatment, control: the two conditions.
    """

    name: str
    treatment: Condition
    control: Condition


def controls_of(hypothesis: Hypothesis, num_latents: int | None = None) -> list[Control]:
    """Return the controls that a hypothesis asks for and that can differ from it.

    Args:
        hypothesis: the claim.
        num_latents: the number of latent vectors of the treatment's model, if known; a single
            vector cannot be shuffled.
    """
    treatment, control = hypothesis.contrast.conditions
    if not treatment.latents_placed or num_latents == 0 or hypothesis.metric == "agreement":
        return []
    found = []
    for name in hypothesis.controls:
        if name == "shuffled" and num_latents is not None and num_latents < 2:
            continue
        stand_in = STAND_INS[name]
        if stand_in in (treatment.intervention, control.intervention):
            continue  # the contrast is that control
        other = replace(control, within=stand_in) if hypothesis.contrast.is_causal else control
        found.append(Control(name, replace(treatment, within=stand_in), other))
    return found
