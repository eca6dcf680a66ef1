"""The arguments of an intervention's text form, read as the fields of its class.

The type of a field says how its text is read: a number, one of a `Literal`, or one of the types
below, each of which carries its reader. Knows no single intervention.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from latent_core.errors import SettingError
from latent_core.slots.layout import LatentGroup
from latent_core.slots.notation import NAME, SELECTION, whole_number
from latent_core.slots.parts import Call
from latent_core.slots.pointing import Part, clipped
from latent_core.slots.writing import parse_numbers
from latent_core.wording import meant

__all__ = ["Group", "Indices", "Place", "Slots", "read_arguments"]


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
        return whole_number(part, name, SettingError)
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
