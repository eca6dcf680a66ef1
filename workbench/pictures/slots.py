"""The slots of one example as a value: verbal tokens as text, latents as coloured chips.

Three places draw it, all from `SlotStrip.cells`: the live widget (`TokenStrip`), the HTML of a
saved output, and print (`slots_still`). The HTML has neither scripts nor style sheets, which a
notebook's sanitizer would drop; print needs Matplotlib, since the kernel has no browser.
Token text is data: it is escaped, never parsed as HTML.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from latent_core.generation.generate import Generation
from latent_core.models.latent import LatentModel
from latent_core.slots.views import SlotView, view_slots
from workbench.chances import Chance, ChanceChange, Held
from workbench.pictures.theme import colours_of, ink_on, show_spaces
from workbench.responses import SlotMark
from workbench.templates import render

__all__ = [
    "SIGNS",
    "SlotCell",
    "SlotStrip",
    "group_colours",
    "member_of",
    "slot_cells",
    "slot_name",
    "slot_text",
]

#: A verdict as a sign.
SIGNS: Final[Mapping[SlotMark, str]] = {"right": "✓", "wrong": "✗", "": ""}
#: Colour of a group that has none.
_UNKNOWN: Final = "#999999"


@dataclass(frozen=True)
class SlotCell:
    """One slot as it is drawn.

    Attributes:
        text: what is written, white space visible.
        group: name of the latent's group; None for a verbal token.
        number: of the group's occurrence, from 1, where the group occurs more than once; else None.
        position: the position id below it.
        mark: its verdict.
        chance: the log-probability of a response token, or its change, as text; of a computed
            latent, the likeliest of the tokens that it holds; empty for none.
        words: the same for a tooltip and a screen reader.
        breaks: whether a line ends after it.
    """

    text: str
    group: str | None
    number: int | None
    position: int
    mark: SlotMark
    chance: str
    words: str
    breaks: bool

    @property
    def label(self) -> str:
        """The text, with the number of the occurrence if there are several."""
        return self.text if self.number is None else f"{self.text} #{self.number}"

    def traits(self) -> dict[str, Any]:
        """The cell as the browser reads it."""
        return asdict(self)


def slot_text(slot: SlotView) -> str:
    """A slot's label, white space visible."""
    return slot.label if slot.group is not None else show_spaces(slot.label) or "∅"


def slot_name(slot: SlotView) -> str:
    """A slot's label among others: a token's text, or `Comma.1 #3` for a third occurrence."""
    if slot.group is None:
        return slot_text(slot)
    return f"{slot.label} #{(slot.occurrence or 0) + 1}"


def member_of(slot: SlotView) -> int | None:
    """The number of a latent in its group; None for a verbal token."""
    return None if slot.group is None else int(slot.label.rpartition(".")[2])


def group_colours(slots: Iterable[SlotView]) -> dict[str, str]:
    """A colour for each latent group, in the order of first appearance."""
    return colours_of(slot.group for slot in slots if slot.group is not None)


def slot_cells(
    slots: Sequence[SlotView],
    marks: Sequence[SlotMark] = (),
    chances: Sequence[Chance | ChanceChange | Held | None] = (),
) -> list[SlotCell]:
    """Describe slots.

    Args:
        slots: in order.
        marks, chances: one per slot, or none at all.
    """
    given: Sequence[SlotMark] = marks or [""] * len(slots)
    likely: Sequence[Chance | ChanceChange | Held | None] = chances or [None] * len(slots)
    repeating = {slot.group for slot in slots if slot.occurrence}
    return [
        _cell(slot, mark, chance, slot.group in repeating)
        for slot, mark, chance in zip(slots, given, likely, strict=True)
    ]


def _cell(
    slot: SlotView, mark: SlotMark, chance: Chance | ChanceChange | Held | None, repeats: bool
) -> SlotCell:
    number = (slot.occurrence or 0) + 1
    if slot.group is None:
        what = f"token {json.dumps(slot.label, ensure_ascii=False)}"
    else:
        what = f"latent {slot.label}, occurrence {number}"
    words = f"{what}, position id {slot.position_id}" + (f", {mark}" if mark else "")
    if chance is not None:
        words += f", {chance.words}"
    below = "" if chance is None else show_spaces(chance.short)
    breaks = slot.group is None and "\n" in slot.label
    shown = number if repeats and slot.group is not None else None
    text, position = slot_text(slot), slot.position_id
    return SlotCell(text, slot.group, shown, position, mark, below, words, breaks)


@dataclass(frozen=True)
class SlotStrip:
    """Slots in order, each above its position id.

    Attributes:
        slots: what to show.
        prompt_length: verbal tokens of the prompt; a bar is drawn after it. None: no bar.
        title: lines above it, in print.
        marks: a verdict for each slot, or none at all.
        flagged: index of the slot with a sign `≠`; -1 for none.
        colours: by group; by default in the order of the groups.

    Example:
        >>> import latent_core as lc
        >>> from workbench import SlotStrip
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> (answer,) = model.generate("1+1=", max_new_tokens=2, return_details=True)
        >>> "Start" in SlotStrip(answer.slots)._repr_html_()
        True
    """

    slots: tuple[SlotView, ...]
    prompt_length: int | None = None
    title: str = ""
    marks: tuple[SlotMark, ...] = ()
    flagged: int = -1
    colours: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, generation: Generation) -> SlotStrip:
        """The slots of a generated response, prompt included."""
        return cls(generation.slots, len(generation.prompt_ids))

    @classmethod
    def place(cls, model: LatentModel, prompt: str, response: str | None = None) -> SlotStrip:
        """Where the model's latents go in a text, nothing generated."""
        slots = model.insert(prompt, response).slots
        views = view_slots(slots, model.layout, model.backbone.token_text)
        return cls(views, len(model.backbone.encode(prompt)))

    @property
    def cells(self) -> list[SlotCell]:
        """The slots as they are drawn."""
        return slot_cells(self.slots, self.marks)

    @property
    def bar(self) -> int:
        """Slots up to the last verbal token of the prompt, where the bar stands; -1 for no bar."""
        if self.prompt_length is None:
            return -1
        verbal = [place for place, slot in enumerate(self.slots) if slot.group is None]
        return verbal[self.prompt_length - 1] + 1

    def colour_of(self, group: str) -> str:
        """The colour of a group's chips."""
        return (self.colours or group_colours(self.slots)).get(group, _UNKNOWN)

    def ends_mark(self, index: int) -> bool:
        """Whether a slot is the last of a stretch of one verdict: its sign stands there."""
        if not self.marks or not self.marks[index]:
            return False
        return self.marks[index + 1 : index + 2] != (self.marks[index],)

    def __repr__(self) -> str:
        """Plain text: latents in square brackets."""
        return "".join(
            slot.label if slot.group is None else f"[{slot.label}]" for slot in self.slots
        )

    def _repr_html_(self) -> str:
        names = dict.fromkeys(slot.group for slot in self.slots if slot.group is not None)
        colours = {name: self.colour_of(name) for name in names}
        return render(
            "pictures/slots.html",
            cells=self.cells,
            signs=[
                SIGNS[cell.mark] if self.ends_mark(index) else ""
                for index, cell in enumerate(self.cells)
            ],
            bar=self.bar,
            colours=colours,
            inks={name: ink_on(colour) for name, colour in colours.items()},
            counts={name: sum(slot.group == name for slot in self.slots) for name in names},
            verbal=sum(slot.group is None for slot in self.slots),
        )
