"""The text form of an intervention as switches, and back: groups removed, recounted, moved.

A group's switch is a part such as `drop(Comma)`, `recount(Comma, 1)` or `move(Comma, 8)`, with no
further conditions. All other parts stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from latent_core.interventions.base import Combined, Intervention
from latent_core.interventions.kinds import parse_intervention
from latent_core.interventions.places import Drop, Move, Recount
from latent_core.slots.layout import LatentGroup
from latent_core.slots.notation import SELECTION, format_value
from latent_core.tasks.table import TASKS

__all__ = [
    "OPERATIONS",
    "ArgumentField",
    "Switch",
    "joined",
    "operation",
    "read_switches",
    "write_switch",
]


@dataclass(frozen=True)
class Switch:
    """The state of one group.

    Attributes:
        on: whether it is placed at all.
        count: latents per occurrence; None as trained.
        place: where it goes, in the notation of layouts; empty for its own place.
    """

    on: bool = True
    count: int | None = None
    place: str = ""


def read_switches(text: str, groups: Sequence[str]) -> dict[str, Switch]:
    """Read the states of these groups from an intervention."""
    found = dict.fromkeys(groups, Switch())
    for part in _parts(text, groups):
        name = _switched(part, groups)
        if name is None:
            continue
        if isinstance(part, Drop):
            found[name] = replace(found[name], on=False)
        elif isinstance(part, Recount):
            found[name] = replace(found[name], count=part.count)
        elif isinstance(part, Move):
            found[name] = replace(found[name], place=part.to)
    return found


def write_switch(text: str, groups: Sequence[str], group: str, switch: Switch) -> str:
    """Change the state of one group in an intervention.

    Raises:
        LayoutError: for a text that names no place.
    """
    if switch.place:
        LatentGroup.at(switch.place, 1)
    parts = _parts(text, groups)
    wanted: dict[type[Intervention], Intervention | None] = {
        Drop: None if switch.on else Drop(group),
        Recount: None if switch.count is None else Recount(group, switch.count),
        Move: Move(group, switch.place) if switch.place else None,
    }
    for kind, part in wanted.items():
        places = [
            i for i, p in enumerate(parts) if type(p) is kind and _switched(p, groups) == group
        ]
        if part is not None and places:
            parts[places[0]] = part
            places = places[1:]
        elif part is not None and kind is Move:
            parts.append(part)  # a moved group has another name from there on
        elif part is not None:
            parts.insert(0, part)
        for place in reversed(places):
            del parts[place]
    return str(Combined(tuple(parts)))


def joined(text: str, more: Intervention) -> str:
    """Add an intervention, before the switches that move groups and so rename them."""
    parts = list(parse_intervention(text).parts)
    at = len(parts)
    while at and isinstance(parts[at - 1], Move):
        at -= 1
    return str(Combined((*parts[:at], *more.parts, *parts[at:])))


def _parts(text: str, groups: Sequence[str]) -> list[Intervention]:
    """The parts, `drop(A+B)` and `drop(latents)` taken apart into one for each group."""
    found: list[Intervention] = []
    for part in parse_intervention(text).parts:
        if isinstance(part, Drop) and part == Drop(part.latents):
            names = (
                list(groups)
                if part.latents == "latents"
                else [str(term) for term in SELECTION.read(part.latents).terms]
            )
            if set(names) <= set(groups):
                found += map(Drop, names)
                continue
        found.append(part)
    return found


def _switched(part: Intervention, groups: Sequence[str]) -> str | None:
    """The group whose switch a part is, if it is one."""
    match part:
        case Drop(latents=name) if part == Drop(name):
            pass
        case Recount(group=name) | Move(group=name):
            pass
        case _:
            return None
    return name if name in groups else None


# --- operations -----------------------------------------------------------------------------------


class ArgumentField(NamedTuple):
    """An argument that the user sets.

    Attributes:
        name: of the argument, as in the text form.
        kind: `slots` (a selection), `group`, `place`, `number`, `whole`, `choice` or `text`.
        value: what it starts with; `slots` and `group` start with the first group.
        choices: of a `choice`; suggestions elsewhere.
        label: its name on the screen.
    """

    name: str
    kind: Literal["slots", "group", "number", "whole", "choice", "text"]
    value: str | int | float = ""
    choices: tuple[str, ...] = ()
    label: str = ""


class Operation(NamedTuple):
    """An intervention's verb and its arguments. Arguments without a value are left out."""

    verb: str
    fields: tuple[ArgumentField, ...]


_LATENTS = ArgumentField("latents", "slots", label="Latents")
_SEED = ArgumentField("seed", "whole", 0, label="Seed")
_REPLACEMENTS = ("zero", "mean", "random", "vocab", "gaussian")
_ELSEWHERE = (*(f"data:{name}" for name in TASKS), "prompt:")
_SHUFFLED = ("members", "occurrences")
_SCHEMES = ("sequential", "shared")
_SLOTS = ("all", "verbal", "prompt", "response", "latents")
_SOME_LAYERS = ("0-3", "0|5|7")

OPERATIONS: Final[Mapping[str, Operation]] = {
    "scale vectors": Operation(
        "scale", (_LATENTS, ArgumentField("factor", "number", 0.5, label="Factor"))
    ),
    "replace vectors": Operation(
        "replace",
        (_LATENTS, ArgumentField("by", "choice", "zero", _REPLACEMENTS, "Replacement"), _SEED),
    ),
    "replace computed vectors": Operation(
        "replace",
        (_LATENTS, ArgumentField("by", "text", _ELSEWHERE[0], _ELSEWHERE, "Data set or prompt")),
    ),
    "freeze after n latents": Operation(
        "freeze",
        (
            ArgumentField("group", "group", label="Group"),
            ArgumentField("after", "whole", 1, label="n"),
        ),
    ),
    "shuffle vectors": Operation(
        "shuffle",
        (_LATENTS, ArgumentField("of", "choice", "members", _SHUFFLED, "Shuffle among"), _SEED),
    ),
    "swap groups": Operation(
        "swap",
        (
            ArgumentField("a", "group", label="First group"),
            ArgumentField("b", "group", label="Second group"),
        ),
    ),
    "drop after n occurrences": Operation(
        "drop", (_LATENTS, ArgumentField("after", "whole", 1, label="n"))
    ),
    "see only the n nearest occurrences": Operation(
        "drop", (_LATENTS, ArgumentField("nearest", "whole", 1, label="n"))
    ),
    "knock out attention": Operation(
        "knock_out",
        (
            ArgumentField("queries", "slots", "response", _SLOTS, "Queries"),
            ArgumentField("keys", "slots", label="Keys"),
            ArgumentField("layers", "text", "", _SOME_LAYERS, "Layers (empty: all)"),
            ArgumentField("heads", "text", "", ("0", "0-2"), "Heads (empty: all)"),
        ),
    ),
    "patch hidden states": Operation(
        "patch",
        (
            _LATENTS,
            ArgumentField("layers", "text", "0", _SOME_LAYERS, "After layers (empty: all)"),
            ArgumentField("source", "text", "none", label="Source intervention"),
        ),
    ),
    "renumber positions": Operation(
        "positions", (ArgumentField("scheme", "choice", "sequential", _SCHEMES, "Position ids"),)
    ),
}


def operation(kind: str, values: Mapping[str, object]) -> Intervention:
    """Make the intervention of a key of `OPERATIONS` and values for its fields.

    Raises:
        SettingError: for a value that cannot be read.
    """
    given = {name: value for name, value in values.items() if value != ""}
    named = ", ".join(f"{name}={format_value(value)}" for name, value in given.items())
    return parse_intervention(f"{OPERATIONS[kind].verb}({named})")
