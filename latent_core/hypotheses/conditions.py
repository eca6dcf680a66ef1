"""What a hypothesis compares: two conditions, on one set of examples or as an interaction.

| condition                                  | what answers the examples                           |
|--------------------------------------------|-----------------------------------------------------|
| `none`                                     | the model as it is                                  |
| `drop(Comma, after=3)`                     | the model under an intervention                     |
| `Start_1+Comma_1`                          | a method: a layout, a position scheme, a baseline   |
| `Start_1+Comma_1 under swap(Start, Comma)` | a method's adapter under an intervention            |
| `matched(Start_1+Comma_1, compute, end)`   | the control that costs what a layout does, or       |
|                                            | `parameters`: see `latent_core.models.matching`     |
| `adapter:runs/first`                       | one saved adapter, also with `under ...`            |
| `chance`                                   | nothing: an agreement of 0, for metric `agreement`  |

Knows the text forms of methods and interventions; runs neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.interventions.kinds import VERBS, parse_intervention
from latent_core.models.matching import AGAINST, matched
from latent_core.models.methods import Method
from latent_core.slots.notation import split
from latent_core.tasks.base import Task

__all__ = ["ADAPTER", "CHANCE", "Condition", "Contrast"]

ADAPTER = "adapter:"
CHANCE = "chance"
MATCHED = "matched("


@dataclass(frozen=True, slots=True)
class Condition:
    """One side of a contrast.

    Attributes:
        method: a method's name or `adapter:FOLDER`; empty for the model that is tested.
        intervention: text form; `none` for the model as it is.
        within: an intervention around that one, which a control puts there: it is the model that
            `intervention` finds, also as the clean run of a patch.
    """

    method: str = ""
    intervention: str = "none"
    within: str = "none"

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read the text form of the module's table.

        Raises:
            SettingError: for an intervention that does not exist.
            LayoutError: for what is no method either.
        """
        text = text.strip()
        if text == CHANCE:
            return cls(intervention=CHANCE)
        method, under, intervention = text.partition(" under ")
        first = text.partition("(")[0].strip()
        if not under and (text == "none" or first in VERBS):
            method, intervention = "", text
        if not intervention:
            intervention = "none"
        method = method.strip()
        if method.startswith(MATCHED):
            _matched_arguments(method)
        elif method and not method.startswith(ADAPTER):
            Method.parse(method)
        return cls(method, str(parse_intervention(intervention)))

    @property
    def latents_placed(self) -> bool:
        """Whether the method places latents; unknown of an adapter, so taken for granted."""
        if not self.method or self.method.startswith((ADAPTER, MATCHED)):
            return True
        return bool(Method.parse(self.method).layout.groups)

    def __str__(self) -> str:
        changes = [text for text in (self.within, self.intervention) if text != "none"]
        if not self.method:
            return " within ".join(reversed(changes)) or "none"
        return " under ".join(
            [self.method, *([" within ".join(reversed(changes))] * bool(changes))]
        )


@dataclass(frozen=True, slots=True)
class Contrast:
    """The difference treatment - control, example by example.

    Attributes:
        treatment, control: conditions in the text form of the module's table.
        minus_split: makes it an interaction: from the difference on the hypothesis's split, the
            difference on this one is taken away. `minus_split="id"` asks whether a gain is larger
            out of distribution than in it.
    """

    treatment: str
    control: str = "none"
    minus_split: str | None = None

    def __post_init__(self) -> None:
        if str(Condition.parse(self.treatment)) == str(Condition.parse(self.control)):
            raise SettingError(
                f"treatment and control are both {self.control!r}; expected two conditions that "
                "differ"
            )

    @property
    def conditions(self) -> tuple[Condition, Condition]:
        """Treatment and control."""
        return Condition.parse(self.treatment), Condition.parse(self.control)

    @property
    def is_causal(self) -> bool:
        """Whether both sides are one model that differs by an intervention."""
        treatment, control = self.conditions
        return treatment.method == control.method

    @property
    def needs_backbone(self) -> bool:
        """Whether a side has to be matched to the other first."""
        return MATCHED in self.treatment + self.control

    def resolved(self, backbone: Backbone | str, task: Task) -> Contrast:
        """The same contrast, `matched(...)` replaced by the method that it comes to."""
        return Contrast(
            _resolved(self.treatment, backbone, task),
            _resolved(self.control, backbone, task),
            self.minus_split,
        )

    def __str__(self) -> str:
        plain = f"{self.treatment} - {self.control}"
        return plain if self.minus_split is None else f"({plain}), less on {self.minus_split}"


def _matched_arguments(method: str) -> tuple[str, Literal["parameters", "compute"], str]:
    """Layout, by and against of a `matched(...)`."""
    parts = split(method.removeprefix(MATCHED).removesuffix(")"), ",")
    parts += ["start"] * (len(parts) == 2)
    if len(parts) == 3 and parts[2] in AGAINST and method.endswith(")"):
        if parts[1] == "parameters":
            return parts[0], "parameters", parts[2]
        if parts[1] == "compute":
            return parts[0], "compute", parts[2]
    raise SettingError(
        f"cannot read {method!r}; expected matched(LAYOUT, parameters or compute, "
        f"{' or '.join(AGAINST)}), such as matched(Start_1+Comma_1, compute, start)"
    )


def _resolved(text: str, backbone: Backbone | str, task: Task) -> str:
    if not text.startswith(MATCHED):
        return text
    method, under, intervention = text.partition(" under ")
    layout, by, against = _matched_arguments(method)
    found = matched(layout, by, against, backbone=backbone, task=task).name
    return f"{found}{under}{intervention}"
