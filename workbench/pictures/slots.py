"""The slots of one example as a strip: verbal tokens as text, latents as coloured chips.

Token text is data: it is escaped, never parsed as HTML. The strip is plain HTML without scripts, so
it stays readable in a saved notebook, and follows JupyterLab's theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from latent_core.generation.generate import Generation
from latent_core.models.latent import LatentModel
from latent_core.slots.views import SlotView, view_slot
from workbench.pictures.palette import colours_of, ink_on
from workbench.pictures.theme import show_spaces

__all__ = ["SlotStrip"]

_CELL = (
    "display:inline-flex;flex-direction:column;align-items:center;"
    "margin:1px 0;padding:0 1px;min-width:1.1em;"
    "font:13px/1.5 var(--jp-code-font-family,monospace);color:var(--jp-ui-font-color1,inherit)"
)
_CHIP = "padding:0 6px;border-radius:10px;color:{ink};background:{colour}"
_BAR = (
    '<span role="separator" aria-label="end of prompt" title="end of prompt" '
    'style="border-left:2px solid var(--jp-ui-font-color2,#777);margin:0 4px"></span>'
)
_POSITION = "font-size:9px;line-height:1.2;color:var(--jp-ui-font-color2,#777)"


@dataclass(frozen=True)
class SlotStrip:
    """Slots in order, each above its position id.

    Attributes:
        slots: what to show.
        prompt_length: verbal tokens of the prompt; a bar is drawn after it. None: no bar.
    """

    slots: tuple[SlotView, ...]
    prompt_length: int | None = None

    @classmethod
    def of(cls, generation: Generation) -> SlotStrip:
        """The slots of a generated response, prompt included."""
        return cls(generation.slots, len(generation.prompt_ids))

    @classmethod
    def place(cls, model: LatentModel, prompt: str, response: str | None = None) -> SlotStrip:
        """Where the model's latents go in a text, nothing generated."""
        slots = model.insert(prompt, response).slots
        views = (view_slot(slot, model.layout, model.backbone.token_text) for slot in slots)
        return cls(tuple(views), len(model.backbone.encode(prompt)))

    def __repr__(self) -> str:
        """Plain text: latents in square brackets."""
        return "".join(
            slot.label if slot.group is None else f"[{slot.label}]" for slot in self.slots
        )

    def _repr_html_(self) -> str:
        colours = colours_of(slot.group for slot in self.slots if slot.group is not None)
        cells = [_cell(slot, colours) for slot in self.slots]
        verbal = [number for number, slot in enumerate(self.slots) if slot.group is None]
        if self.prompt_length is not None:
            cells.insert(verbal[self.prompt_length - 1] + 1, _BAR)
        return (
            '<div role="list" aria-label="slots" style="display:flex;flex-wrap:wrap;'
            f'align-items:stretch">{"".join(cells)}</div>{_legend(self.slots, colours)}'
        )


def _cell(slot: SlotView, colours: dict[str, str]) -> str:
    position = f'<span style="{_POSITION}">{slot.position_id}</span>'
    if slot.group is None:
        label, style = show_spaces(slot.label) or "∅", ""
        title = f"verbal token {slot.token_id}, position id {slot.position_id}"
    else:
        label, style = slot.label, _chip(colours[slot.group])
        title = (
            f"latent {slot.label}, occurrence {(slot.occurrence or 0) + 1}, "
            f"position id {slot.position_id}"
        )
    return (
        f'<span role="listitem" title="{escape(title)}" style="{_CELL}">'
        f'<span style="{style}">{escape(label)}</span>{position}</span>'
    )


def _chip(colour: str) -> str:
    return _CHIP.format(colour=colour, ink=ink_on(colour))


def _legend(slots: Sequence[SlotView], colours: dict[str, str]) -> str:
    counts = {name: sum(slot.group == name for slot in slots) for name in colours}
    verbal = sum(slot.group is None for slot in slots)
    latents = ", ".join(
        f'<span style="color:{colours[name]}">■</span> {escape(name)} {count}'
        for name, count in counts.items()
    )
    return (
        '<div style="font-size:11px;color:var(--jp-ui-font-color2,#777);margin-top:4px">'
        f"{verbal} verbal tokens; latents: {latents or 'none'}. "
        "Small figures: position ids; a latent has that of the verbal token after it.</div>"
    )
