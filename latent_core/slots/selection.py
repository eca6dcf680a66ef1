"""Which slots an intervention means: the words a user types, and the slots they choose.

| text              | slots                                                        |
|-------------------|--------------------------------------------------------------|
| `Comma`           | every latent of group Comma                                  |
| `Comma.1`         | its second latent, wherever the group occurs                 |
| `Comma@2`         | the group's third occurrence                                 |
| `Comma.1@2`       | one slot                                                     |
| `latents`         | every latent of every group                                  |
| `Start+Comma.0`   | a union                                                      |
| `verbal`          | every verbal token; `prompt` and `response`: those of either |
| `all`             | every slot                                                   |

Members and occurrences count from 0, as in slot labels. Knows the layout; no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from latent_core.errors import LayoutError, SettingError
from latent_core.slots.layout import LatentLayout
from latent_core.slots.notation import SELECTION, whole_number
from latent_core.slots.parts import TermParts
from latent_core.slots.placement import Slot
from latent_core.wording import meant

__all__ = ["PADDING", "VERBAL", "PassSlots", "Selection"]

VERBAL, PADDING = -1, -2
"""`PassSlots.group` of a verbal token, and of what is no slot."""

_WORDS = ("latents", "verbal", "prompt", "response", "all")


@dataclass(frozen=True, eq=False)
class PassSlots:
    """Every slot that a forward pass can see, for B rows of T cached and new slots.

    Attributes:
        group: (B, T) index of the latent's group in the layout, `VERBAL` or `PADDING`.
        member, occurrence: (B, T), of latents; -1 elsewhere.
        step: (B, T) response tokens that stood when the slot was placed; a verbal token counts
            itself, so those of the prompt have 0.
        num_new: the last T_new slots are the ones that are fed now, the queries.
        example: (B,) which row of the batch each row was when decoding began.
    """

    group: Tensor
    member: Tensor
    occurrence: Tensor
    step: Tensor
    num_new: int
    example: Tensor

    @classmethod
    def of(cls, slots: Sequence[Slot], prompt_length: int) -> PassSlots:
        """One example's slots, all of them new; `prompt_length` counts verbal tokens."""
        steps = [s.verbal_index + (not s.is_latent) - prompt_length for s in slots]
        return cls(
            group=torch.tensor([[s.group for s in slots]]),  # `VERBAL` at a verbal token
            member=torch.tensor([[s.member for s in slots]]),
            occurrence=torch.tensor([[s.occurrence for s in slots]]),
            step=torch.tensor([steps]).clamp(min=0),
            num_new=len(slots),
            example=torch.zeros(1, dtype=torch.long),
        )

    def row(self, number: int) -> PassSlots:
        """One row, with B = 1."""
        one = slice(number, number + 1)
        return PassSlots(
            group=self.group[one],
            member=self.member[one],
            occurrence=self.occurrence[one],
            step=self.step[one],
            num_new=self.num_new,
            example=self.example[one],
        )


class _Term(NamedTuple):
    """A word of the module's table, or latents of the group `word`, which has number `group`."""

    word: str
    group: int = VERBAL  # what the word `verbal` means; other words do not ask for it
    member: int | None = None
    occurrence: int | None = None

    def __str__(self) -> str:
        member = "" if self.member is None else f".{self.member}"
        return self.word + member + ("" if self.occurrence is None else f"@{self.occurrence}")


@dataclass(frozen=True)
class Selection:
    """Slots chosen by a text of the module's table, for one layout."""

    terms: tuple[_Term, ...]

    @classmethod
    def parse(cls, text: str, layout: LatentLayout, latents_only: bool = False) -> Selection:
        """Read a selection.

        Raises:
            LayoutError: for a group that the layout lacks.
            SettingError: for a latent that its group lacks, verbal slots where only latents fit, or
                a text that is no selection.
        """
        terms = SELECTION.read(text).terms
        return cls(tuple(_read(term, layout, latents_only) for term in terms))

    def __str__(self) -> str:
        return "+".join(map(str, self.terms))

    def has(self, group: int, member: int, occurrence: int) -> bool:
        """Whether a latent is chosen."""
        return any(
            term.word in ("latents", "all")
            or (
                term.group == group
                and term.member in (None, member)
                and term.occurrence in (None, occurrence)
            )
            for term in self.terms
        )

    def members(self, layout: LatentLayout) -> list[tuple[int, int]]:
        """(group, member) of every latent that is chosen somewhere."""
        return [
            (number, member)
            for number, group in enumerate(layout.groups)
            for member in range(group.count)
            if any(
                term.word in ("latents", "all")
                or (term.group == number and term.member in (None, member))
                for term in self.terms
            )
        ]

    def mask(self, slots: PassSlots) -> Tensor:
        """Bool (B, T), True at chosen slots."""
        chosen = torch.zeros_like(slots.group, dtype=torch.bool)
        for term in self.terms:
            match term.word:
                case "latents":
                    found = slots.group >= 0
                case "all":
                    found = slots.group != PADDING
                case "prompt":
                    found = (slots.group == VERBAL) & (slots.step == 0)
                case "response":
                    found = (slots.group == VERBAL) & (slots.step > 0)
                case _:
                    found = slots.group == term.group
                    if term.member is not None:
                        found = found & (slots.member == term.member)
                    if term.occurrence is not None:
                        found = found & (slots.occurrence == term.occurrence)
            chosen = chosen | found
        return chosen


def _read(parts: TermParts, layout: LatentLayout, latents_only: bool) -> _Term:
    name, member, occurrence = parts
    names = [group.name for group in layout.groups]
    if name in _WORDS:
        if part := member or occurrence:
            raise part.fault(
                SettingError, f"{name!r} is no group, so it has no {part}", f"write {name} alone"
            )
        if latents_only and name != "latents":
            raise name.fault(
                SettingError,
                f"{name!r} means verbal slots too",
                "expected latents: a group, one of its latents such as Comma.0, or 'latents' for "
                "all",
            )
        return _Term(str(name))
    if name not in names:
        raise name.fault(
            LayoutError,
            f"layout {layout} has no group {name!r}",
            meant(name, [*names, *_WORDS]) or f"its groups: {', '.join(names) or 'none'}",
        )
    number = names.index(name)
    group = layout.groups[number]
    chosen = None
    if member is not None:
        chosen = whole_number(member, "a latent", SettingError, 0)
        if chosen >= group.count:
            raise member.fault(
                SettingError,
                f"group {name!r} has no latent {str(parts)!r}",
                f"its {group.count} latents are {name}.0 to {name}.{group.count - 1}",
            )
    where = (
        None if occurrence is None else whole_number(occurrence, "an occurrence", SettingError, 0)
    )
    return _Term(str(name), number, chosen, where)
