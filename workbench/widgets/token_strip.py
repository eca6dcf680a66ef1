"""A live strip of slots: verbal tokens as text, latents as coloured chips, linked to other views.

`selected` and `hovered` go both ways: the user's mouse and keyboard set them, and so may code.
Token text is data: the browser is given it as text, never as HTML. `workbench.pictures.slots`
describes what is drawn, here and in saved outputs and in print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

from latent_core.slots.views import SlotView
from workbench.chances import Chance, ChanceChange, Held
from workbench.pictures.slots import group_colours, slot_cells
from workbench.pictures.theme import ink_on
from workbench.responses import SlotMark
from workbench.templates import joined

__all__ = ["TokenStrip"]

STATIC: Final = Path(__file__).parent


class TokenStrip(anywidget.AnyWidget):
    """Slots in order, each above its position id.

    One tab stop: arrow keys move from slot to slot and from line to line, Enter or Space selects,
    Escape selects nothing.

    Attributes:
        slots: what is drawn of each slot, as `SlotCell.traits` describes it.
        prompt_length: slots that belong to the prompt, a bar stands after them; -1 for no bar.
        selected: index of the slot that is chosen; -1 for none.
        hovered: index of the slot that is pointed at, here or in another view; -1 for none.
        paired: index of a second slot that is pointed at, as the key beside a query; -1 for none.
        shades: how strongly each slot is coloured, from 0 to 1; below 0 for not at all. Empty for
            none.
        flagged: index of a slot to draw attention to; -1 for none.
        flag: what there is to say of it, in words.
        colours: hex colour by group name.
        inks: colour of the text on each of them.
        label: what a screen reader calls the strip.
        streaming: whether more slots are coming; until then the strip does not become lower.
        show_positions: whether position ids stand under the slots.
    """

    _esm = joined("reveal.js", "token_strip.js")
    _css = STATIC / "token_strip.css"

    slots = traitlets.List(traitlets.Dict()).tag(sync=True)
    prompt_length = traitlets.Int(-1).tag(sync=True)
    selected = traitlets.Int(-1).tag(sync=True)
    hovered = traitlets.Int(-1).tag(sync=True)
    paired = traitlets.Int(-1).tag(sync=True)
    shades = traitlets.List(traitlets.Float()).tag(sync=True)
    flagged = traitlets.Int(-1).tag(sync=True)
    flag = traitlets.Unicode("the first difference").tag(sync=True)
    colours = traitlets.Dict(key_trait=traitlets.Unicode(), value_trait=traitlets.Unicode()).tag(
        sync=True
    )
    inks = traitlets.Dict(key_trait=traitlets.Unicode(), value_trait=traitlets.Unicode()).tag(
        sync=True
    )
    label = traitlets.Unicode("slots").tag(sync=True)
    streaming = traitlets.Bool(False).tag(sync=True)
    show_positions = traitlets.Bool(True).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._added = False
        self.on_msg(self._hear)

    @classmethod
    def of(
        cls,
        slots: Sequence[SlotView],
        prompt_length: int = -1,
        marks: Sequence[SlotMark] = (),
        colours: Mapping[str, str] | None = None,
        **traits: Any,
    ) -> TokenStrip:
        """A strip of these slots.

        Args:
            slots: as `Generation.slots` has them.
            prompt_length: slots that belong to the prompt; -1 for no bar.
            marks: one per slot, or none at all.
            colours: by group name; by default those of `group_colours`.
            traits: any other trait.
        """
        strip = cls(prompt_length=prompt_length, **traits)
        strip.show(slots, marks, colours)
        return strip

    def show(
        self,
        slots: Sequence[SlotView],
        marks: Sequence[SlotMark] = (),
        colours: Mapping[str, str] | None = None,
        chances: Sequence[Chance | ChanceChange | Held | None] = (),
    ) -> None:
        """Show these slots instead; those that stand there already are not drawn again."""
        if colours is None:
            colours = group_colours(slots)
        wanted = [cell.traits() for cell in slot_cells(slots, marks, chances)]
        if self._added and wanted == self.slots:  # no change, but the browser's model lacks them
            self.send_state("slots")
        self._added = False
        with self.hold_sync():
            self.colours = dict(colours)
            self.inks = {name: ink_on(colour) for name, colour in colours.items()}
            self.slots = wanted
            self.shades = []
            for name in ("selected", "hovered", "paired", "flagged"):
                if getattr(self, name) >= len(slots):
                    setattr(self, name, -1)

    def add(self, slots: Sequence[SlotView]) -> None:
        """Add slots at the end; only these travel to the browser."""
        start, more = len(self.slots), [cell.traits() for cell in slot_cells(slots)]
        self.slots.extend(more)  # in place, so that the list is not sent as a whole
        self._added = True
        self.send({"kind": "add", "start": start, "slots": more})

    def _hear(self, widget: Any, content: dict[str, str], buffers: list[bytes]) -> None:
        if content.get("kind") == "missed":  # a view that opened while slots were added
            self.send_state("slots")
