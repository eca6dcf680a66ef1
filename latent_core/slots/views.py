"""A slot as it is shown to a reader: its label, its group and its position id."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from latent_core.slots.layout import LatentLayout
from latent_core.slots.placement import Slot

__all__ = ["SlotView", "view_slot"]


class SlotView(NamedTuple):
    """One slot as a reader wants it.

    Attributes:
        label: `Comma.1` for the second latent of group Comma; the token's text for a verbal token.
        group: name of the latent's group; None for a verbal token.
        occurrence: which occurrence of its group, 0-based; None for a verbal token.
        position_id: the position id that the backbone gets.
        token_id: the verbal token's id; None for a latent.
    """

    label: str
    group: str | None
    occurrence: int | None
    position_id: int
    token_id: int | None


def view_slot(slot: Slot, layout: LatentLayout, token_text: Callable[[int], str]) -> SlotView:
    """Label a slot and name its group; `token_text` decodes a verbal id."""
    if not slot.is_latent:
        return SlotView(token_text(slot.token_id), None, None, slot.position_id, slot.token_id)
    name = layout.groups[slot.group].name
    return SlotView(f"{name}.{slot.member}", name, slot.occurrence, slot.position_id, None)
