"""Conditions and contrasts: the two sides that a claim compares, as text.

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

A contrast is measured on one set of examples, or as an interaction of two. The method that
`matched(...)` stands for depends on the backbone; `latent_core.hypotheses.targets` finds it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NamedTuple, cast, get_args

from latent_core.errors import SettingError
from latent_core.interventions.kinds import intervention_of
from latent_core.models.matching import AGAINST, By
from latent_core.slots.layout import LatentLayout
from latent_core.slots.methods import Method
from latent_core.slots.notation import CONDITION
from latent_core.slots.parts import MatchedParts, MethodParts
from latent_core.slots.pointing import Part
from latent_core.wording import meant

__all__ = ["ADAPTER", "CHANCE", "Condition", "Contrast", "MatchedControl", "matched_control"]

ADAPTER = "adapter:"
CHANCE = "chance"
MATCHED = "matched("


@dataclass(frozen=True, slots=True)
class Condition:
    """One side of a contrast.

    Attributes:
        method: a method's name or `adapter:FOLDER`; empty for the model that is tested.
        intervention: its text form; `none` for the unchanged model.
        within: a control's intervention, which applies first. `intervention` then changes the model
            that results, and a patch takes its clean run from it.
    """

    method: str = ""
    intervention: str = "none"
    within: str = "none"

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read the text form of the module's table.

        Raises:
            SettingError: with the column, for a text that is no condition, or for an intervention
                that does not exist.
            LayoutError: for a method that does not exist.
        """
        side, change, within, chance = CONDITION.read(text)
        if chance:
            return cls(intervention=CHANCE)
        return cls(_method(side), *(str(intervention_of(calls)) for calls in (change, within)))

    @property
    def latents_placed(self) -> bool:
        """Whether the method places latents; assumed of a saved adapter, which is not opened."""
        if not self.method or self.method.startswith((ADAPTER, MATCHED)):
            return True
        return bool(Method.parse(self.method).layout.groups)

    def __str__(self) -> str:
        changes = [text for text in (self.within, self.intervention) if text != "none"]
        if not self.method:
            return " within ".join(reversed(changes)) or "none"
        return " under ".join(
            [_written(self.method), *([" within ".join(reversed(changes))] * bool(changes))]
        )


@dataclass(frozen=True, slots=True)
class Contrast:
    """The difference treatment - control, example by example.

    Attributes:
        treatment, control: conditions in the text form of the module's table.
        minus_split: makes the contrast an interaction: the difference on this split is subtracted
            from the difference on the hypothesis's split. `minus_split="id"` asks whether a gain is
            larger out of distribution than in distribution.

    Example:
        >>> import latent_core as lc
        >>> lc.Contrast("drop(Comma, after=3)").control
        'none'
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
    def methods(self) -> list[str]:
        """The methods whose adapters answer, each once; empty for the model that is tested."""
        return list(dict.fromkeys(c.method for c in self.conditions if c.intervention != CHANCE))

    @property
    def is_causal(self) -> bool:
        """Whether both sides are the same model and differ by an intervention only."""
        treatment, control = self.conditions
        return treatment.method == control.method

    @property
    def needs_backbone(self) -> bool:
        """Whether a side names a matched control, which depends on the backbone."""
        return any(condition.method.startswith(MATCHED) for condition in self.conditions)

    def __str__(self) -> str:
        plain = f"{self.treatment} - {self.control}"
        if self.minus_split is None:
            return plain
        return f"({plain}) minus the same difference on {self.minus_split}"


class MatchedControl(NamedTuple):
    """What a `matched(...)` says.

    Attributes:
        layout: the layout that the control is matched to, or a method with a companion.
        by: what both have in common: trainable parameters, or computation.
        against: the kind of method that the control is; see `latent_core.models.matching.AGAINST`.
    """

    layout: LatentLayout | Method
    by: By
    against: str


def matched_control(text: str) -> MatchedControl | None:
    """Return the matched control that a condition's text names, or None if it names none."""
    side = CONDITION.read(text).side
    return _matched(side) if isinstance(side, MatchedParts) else None


def _method(side: MethodParts | MatchedParts | Part | None) -> str:
    """What answers the examples, in its one spelling."""
    match side:
        case None:
            return ""
        case MethodParts():
            return Method.of(side).name
        case MatchedParts():
            return f"matched({', '.join(map(str, _matched(side)))})"
        case _:
            return ADAPTER + side


def _matched(parts: MatchedParts) -> MatchedControl:
    method, by, against = parts
    if by not in get_args(By):
        raise by.fault(
            SettingError, f"cannot match by {by!r}", f"expected {' or '.join(get_args(By))}"
        )
    if against is not None and against not in AGAINST:
        known = f"expected {' or '.join(AGAINST)}"
        raise against.fault(
            SettingError, f"cannot match against {str(against)!r}", meant(against, AGAINST) or known
        )
    assert method.layout is not None
    found = Method.of(method)
    plain = found.companion is None and found.init == "vocab"
    layout = LatentLayout.of(method.layout) if plain else found
    return MatchedControl(layout, cast(By, str(by)), str(against or "start"))


def _written(method: str) -> str:
    """A condition's method as its text has it: a folder in quotes where it would be misread."""
    folder = method.removeprefix(ADAPTER)
    if folder == method or (
        folder == folder.strip() and folder[:1] != '"' and not re.search(r"\sunder\s", folder)
    ):
        return method
    return ADAPTER + json.dumps(folder, ensure_ascii=False)
