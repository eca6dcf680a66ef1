"""What every intervention is: a value with a text form that changes a model inside a block.

The arguments of the text form are read as the fields of the class. The type of a field says how its
text is read: a number, one of a `Literal`, or a type that carries its reader. Interventions on
tokens share how they find the latents that they hit, and how they make new rows for those. Knows
nothing of single interventions.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    Union,
    cast,
    final,
    get_args,
    get_origin,
    get_type_hints,
)

from latent_core.errors import SettingError, whole_number
from latent_core.interventions.running import running
from latent_core.interventions.scene import Scene
from latent_core.slots.layout import LatentGroup
from latent_core.slots.notation import NAME, SELECTION, format_value, parse_numbers
from latent_core.slots.notation import whole_number as read_whole_number
from latent_core.slots.parts import Call
from latent_core.slots.placement import RowOf
from latent_core.slots.pointing import Part, clipped
from latent_core.slots.selection import Selection
from latent_core.wording import meant

if TYPE_CHECKING:
    from latent_core.models.latent import LatentModel

__all__ = [
    "Combined",
    "Group",
    "Hit",
    "Indices",
    "Intervention",
    "Place",
    "Slots",
    "at_least",
    "borrow",
    "edited",
    "hit_by",
    "read_arguments",
    "refuse_computed",
]


def _place(part: Part) -> str:
    LatentGroup.at(part, 1)
    return str(part)


Slots = Annotated[str, lambda part: str(SELECTION.read(part))]
"""A selection such as `Start+Comma.1`."""

Group = Annotated[str, lambda part: str(NAME.read(part))]
"""The name of a group."""

Place = Annotated[str, _place]
"""A place such as `8` or `Start@verbal`."""

Indices = Annotated[tuple[int, ...] | int, parse_numbers]
"""Layers or heads: `0-3|7`."""


def read_arguments(cls: type, call: Call) -> dict[str, Any]:
    """The fields of `cls`, a dataclass, that a `verb(...)` gives.

    Raises:
        SettingError: for an argument that is unknown, missing, given twice, or no such value.
        LayoutError: for a place that does not exist.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    hints, order = _hints(cls), iter(fields)
    required = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    optional = [f"{name}=..." for name in fields if name not in required]
    form = f"expected {call.verb}({', '.join([*required, *optional])})"
    found: dict[str, Any] = {}
    for name, value in call.arguments:
        field = next(order, None) if name is None else str(name)
        if field is None:
            raise value.fault(SettingError, f"{call.verb} takes no {clipped(value)}", form)
        if field not in fields:
            raise (name or value).fault(
                SettingError,
                f"{call.verb} has no argument {clipped(field)}",
                meant(field, fields) or form,
            )
        if field in found:
            raise (name or value).fault(SettingError, f"{field} is given twice", "give it once")
        found[field] = _read(field, hints[field], value)
    if missing := [name for name in required if name not in found]:
        raise call.verb.fault(SettingError, f"{call.verb} lacks {' and '.join(missing)}", form)
    return found


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _read(name: str, hint: Any, part: Part) -> Any:
    """An argument's text as the type of its field."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(option for option in get_args(hint) if option is not type(None))
    if get_origin(hint) is Annotated:
        return hint.__metadata__[0](part)
    if hint is int:
        return read_whole_number(part, name, SettingError)
    try:
        if hint is float:
            return float(part)
        if hint is bool:
            return {"True": True, "False": False}[part]
    except (ValueError, KeyError):
        what = "a number" if hint is float else "True or False"
        raise part.fault(SettingError, f"{name} is {clipped(part)}", f"expected {what}") from None
    if get_origin(hint) is Literal and part not in get_args(hint):
        choices = " or ".join(one for one in get_args(hint) if one)
        raise part.fault(SettingError, f"{name} is {clipped(part)}", f"expected {choices}")
    return str(part)


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


Hit = Callable[[int, int, int, int], bool]
"""Whether an intervention means a latent: by group number, member, occurrence and step."""


def hit_by(scene: Scene, latents: str, from_step: int, after: int | None = None) -> Hit:
    """The latents of a selection, from a step and after some occurrences on."""
    at_least("from_step", from_step, 0)
    at_least("after", after, 0)
    has = Selection.parse(latents, scene.layout, latents_only=True).has
    first = after or 0

    def hit(group: int, member: int, occurrence: int, step: int) -> bool:
        return step >= from_step and occurrence >= first and has(group, member, occurrence)

    return hit


def refuse_computed(scene: Scene, latents: str, what: str) -> None:
    """Refuse an intervention that changes vectors, of latents that have none.

    Raises:
        SettingError: if a selected latent is computed.
    """
    for group, member in Selection.parse(latents, scene.layout, latents_only=True).members(
        scene.layout
    ):
        if scene.layout.groups[group].computed and scene.computes(scene.rows(group, member, 0, 0)):
            raise SettingError(
                f"{what} changes vectors, but those of {scene.layout.groups[group]} are computed "
                "while the model runs; expected drop, replace or knock_out, or learned latents"
            )


def edited(scene: Scene, hit: Hit, edit: RowOf) -> Scene:
    """The scene in which `edit` gives the rows of the latents that are hit, unless dropped."""
    rows = scene.rows

    def new(group: int, member: int, occurrence: int, step: int) -> int | None:
        row = rows(group, member, occurrence, step)
        if row is None or not hit(group, member, occurrence, step):
            return row
        return edit(group, member, occurrence, step)

    return scene.with_rows(new)


def borrow(rows: RowOf, other: int, count: int) -> RowOf:
    """Rows of another group's latents, which repeat where it has fewer."""
    return lambda group, member, occurrence, step: rows(other, member % count, occurrence, step)
