"""What every intervention is: a value with a text form that changes a model inside a block.

Knows nothing of single interventions.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast, final

from latent_core.errors import whole_number
from latent_core.interventions.arguments import read_arguments
from latent_core.interventions.running import running
from latent_core.interventions.scene import Scene
from latent_core.slots.parts import Call
from latent_core.slots.writing import format_value

if TYPE_CHECKING:
    from latent_core.models.latent import LatentModel

__all__ = ["Combined", "Intervention", "at_least"]


class Intervention(ABC):
    """A change to a model's latents or attention, for the length of a block.

    `str()` gives the one-line text form, which `parse_intervention` reads back; `a & b` is both,
    `b` on what `a` has made. Subclasses are frozen dataclasses whose fields are the arguments.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> change = lc.parse_intervention("drop(Comma)") & lc.interventions.Scale("Start", 0.5)
        >>> with change.on(model):
        ...     texts = model.generate("1,2,", max_new_tokens=2)
        >>> str(change)
        'drop(Comma) & scale(Start, 0.5)'
    """

    verb: ClassVar[str]

    @abstractmethod
    def apply(self, scene: Scene) -> Scene:
        """What a model that does `scene` does under the intervention.

        Raises:
            LayoutError, SettingError: if the scene lacks what the intervention names.
        """

    @final
    def on(self, model: LatentModel) -> AbstractContextManager[LatentModel]:
        """`with intervention.on(model): ...`: inside the block the model behaves so.

        Generation, evaluation and attention capture all follow, since the model itself does. On
        leaving, also by an exception, the model is exactly as it was. Blocks nest. Slots belong
        to the block they were placed in.

        Warns:
            InterventionWarning: on leaving, if the model ran and nothing was different, or if no
                latent was left.

        Raises:
            LayoutError, SettingError: if the model lacks what the intervention names.
        """
        return running(model, self.apply, str(self))

    @final
    def __and__(self, other: Intervention) -> Combined:
        return Combined((*self.parts, *other.parts))

    @property
    def parts(self) -> tuple[Intervention, ...]:
        """The single interventions it is made of."""
        return (self,)

    @classmethod
    def from_call(cls, call: Call) -> Self:
        """The intervention that a `verb(...)` of the text form means.

        Raises:
            LayoutError, SettingError: with the column of an argument that cannot be read.
        """
        return cls(**read_arguments(cls, call))

    def arguments(self) -> list[str]:
        """The arguments of the text form, without those that have their default."""
        found = []
        for field in _fields(type(self)):
            value = getattr(self, field.name)
            if field.default is dataclasses.MISSING:
                found.append(format_value(value))
            elif value != field.default:
                found.append(f"{field.name}={format_value(value)}")
        return found

    def __str__(self) -> str:
        return f"{self.verb}({', '.join(self.arguments())})"


@final
@dataclass(frozen=True)
class Combined(Intervention):
    """Several interventions, each on what the ones before it have made; none of them: no change.

    Example:
        >>> import latent_core as lc
        >>> change = lc.parse_intervention("drop(Start) & scale(Comma, 2)")
        >>> len(change.members)
        2
    """

    verb: ClassVar[str] = "&"
    members: tuple[Intervention, ...] = ()

    @property
    def parts(self) -> tuple[Intervention, ...]:
        """The single interventions it is made of."""
        return self.members

    def apply(self, scene: Scene) -> Scene:
        """Each in turn."""
        for member in self.members:
            scene = member.apply(scene)
        return scene

    def __str__(self) -> str:
        return " & ".join(map(str, self.members)) or "none"


def at_least(name: str, value: int | None, least: int) -> None:
    """Check a whole number.

    Raises:
        SettingError: if it is no whole number, or smaller.
    """
    if value is not None:
        whole_number(name, value, least)


def _fields(cls: type[Intervention]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cast(Any, cls))
