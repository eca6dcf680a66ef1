"""A card of what is known about the slot that was clicked. Token text is only ever text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

from latent_core.generation.generate import SlotView
from workbench.panels.playground.slot_facts import SlotFacts
from workbench.pictures.palette import ink_on

__all__ = ["SlotCard"]

STATIC: Final = Path(__file__).parent
_HINT: Final = "Choose a chip to see its nearest words, its length and its logit lens."


class SlotCard(anywidget.AnyWidget):
    """Facts about one slot.

    Attributes:
        card: what is shown: `title`, `chip`, `colour`, `ink`, `facts` (lines), `nearest` (token and
            cosine), `lens` (layer, and its likeliest tokens with probabilities), `hint`.
    """

    _esm = STATIC / "slot_card.js"
    _css = STATIC / "slot_card.css"

    card = traitlets.Dict({"hint": _HINT}).tag(sync=True)

    def clear(self) -> None:
        """Say what to do."""
        self.card = {"hint": _HINT}

    def wait(self, slot: SlotView, where: str, colour: str) -> None:
        """Show what is known of a latent at once; the rest is on its way."""
        self.card = self._latent(slot, where, colour) | {"hint": "Looking it up …"}

    def show_verbal(self, slot: SlotView, where: str) -> None:
        """Show a verbal token."""
        facts = [
            f"text {slot.label!r}",
            f"token id {slot.token_id}, position id {slot.position_id}",
        ]
        card: dict[str, Any] = {"title": f"verbal token, {where}", "facts": facts}
        self.card = card

    def show(self, facts: SlotFacts, where: str, colour: str) -> None:
        """Show a latent."""
        slot, norm = facts.slot, facts.norm
        lines = [
            f"length {norm['norm']:.3g}: {norm['ratio']:.2g} times the vocabulary's median of "
            f"{norm['vocabulary_median']:.3g}, longer than {norm['share_shorter']:.0%} of its "
            "tokens"
        ]
        if facts.trained != slot.label:
            lines.append(f"reads the vector of {facts.trained}")
        lens = [
            {
                "layer": int(layer),
                "tokens": [
                    [t, float(p)] for t, p in zip(rows.token, rows.probability, strict=True)
                ],
            }
            for layer, rows in facts.lens.sort_values("rank").groupby("layer")
        ]
        near = zip(facts.nearest["token"], facts.nearest["cosine"], strict=True)
        hint = "" if lens else "No logit lens: encoded anew, the text has no such slot."
        shown = self._latent(slot, where, colour)
        shown["facts"] += lines
        shown |= {"nearest": [[t, float(c)] for t, c in near], "lens": lens, "hint": hint}
        self.card = shown

    @staticmethod
    def _latent(slot: SlotView, where: str, colour: str) -> dict[str, Any]:
        return {
            "chip": slot.label,
            "colour": colour,
            "ink": ink_on(colour),
            "title": f"latent of group {slot.group}, {where}",
            "facts": [
                f"occurrence {(slot.occurrence or 0) + 1}, position id {slot.position_id}",
            ],
        }
