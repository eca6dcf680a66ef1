"""A slot as it is shown to a reader: its label, its group and its position id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from latent_core.slots.layout import LatentLayout
from latent_core.slots.placement import Slot

__all__ = ["SlotView", "token_labels", "view_slots"]

#: What bytes decode to that are no character.
_NO_CHARACTER: Final = "\ufffd"
#: Tokens that a character may take at most: emoji of several code points take many.
_MOST_PARTS: Final = 8


class SlotView(NamedTuple):
    """One slot as a reader wants it.

    Attributes:
        label: `Comma.1` for the second latent of group Comma; the token's text for a verbal token.
            Tokens that are one character together are numbered: `世·1/3`.
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


def view_slots(
    slots: Iterable[Slot], layout: LatentLayout, token_text: Callable[..., str]
) -> tuple[SlotView, ...]:
    """Label slots and name their groups; `token_text` decodes verbal ids together."""
    given = tuple(slots)
    labels = iter(token_labels([s.token_id for s in given if not s.is_latent], token_text))
    return tuple(
        _latent(slot, layout)
        if slot.is_latent
        else SlotView(next(labels), None, None, slot.position_id, slot.token_id)
        for slot in given
    )


def token_labels(ids: Sequence[int], token_text: Callable[..., str]) -> list[str]:
    """Label tokens by their texts, so that the parts of one character are told apart.

    Args:
        ids: of tokens that follow each other.
        token_text: decodes ids together, as `Backbone.token_text` does.

    Returns:
        one per token: its text; `世·1/3` for the first of three that are one character; the sign of
        no character and the id, such as `\ufffd·163`, where the others are missing.
    """
    found: list[str] = []
    while len(found) < len(ids):
        start = len(found)
        text = token_text(ids[start])
        if _NO_CHARACTER not in text:
            found.append(text)
            continue
        for count in range(2, min(_MOST_PARTS, len(ids) - start) + 1):
            whole = token_text(*ids[start : start + count])
            if _NO_CHARACTER not in whole:
                found += [f"{whole}·{part}/{count}" for part in range(1, count + 1)]
                break
        else:
            found.append(f"{text}·{ids[start]}")
    return found


def _latent(slot: Slot, layout: LatentLayout) -> SlotView:
    name = layout.groups[slot.group].name
    return SlotView(f"{name}.{slot.member}", name, slot.occurrence, slot.position_id, None)
