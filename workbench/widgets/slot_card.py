"""A card with facts about the slot that was clicked. Token text is only ever text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

from workbench.pictures.theme import ink_on

__all__ = ["CardText", "SlotCard"]

STATIC: Final = Path(__file__).parent
_HINT: Final = "Click a latent to see its nearest tokens, its norm and its logit lens."


@dataclass(frozen=True)
class CardText:
    """The content of a card.

    Attributes:
        title: one line.
        facts: short lines.
        chip: label of a latent; empty for a verbal token.
        colour: of the chip, `#rrggbb`.
        nearest: tokens and their cosine similarity.
        predicted: of a computed latent, the tokens that the slot before predicts, and their
            probabilities.
        lens: by layer, its most likely tokens and their probabilities.
        hint: a remark, such as why something is missing.
    """

    title: str
    facts: Sequence[str] = ()
    chip: str = ""
    colour: str = ""
    nearest: Sequence[tuple[str, float]] = ()
    predicted: Sequence[tuple[str, float]] = ()
    lens: Sequence[tuple[int, Sequence[tuple[str, float]]]] = ()
    hint: str = ""

    def traits(self) -> dict[str, Any]:
        """The same as the browser reads it."""
        return {
            "title": self.title,
            "facts": list(self.facts),
            "chip": self.chip,
            "colour": self.colour,
            "ink": ink_on(self.colour) if self.colour else "",
            "nearest": [list(pair) for pair in self.nearest],
            "predicted": [list(pair) for pair in self.predicted],
            "lens": [
                {"layer": layer, "tokens": [list(pair) for pair in tokens]}
                for layer, tokens in self.lens
            ],
            "hint": self.hint,
        }


class SlotCard(anywidget.AnyWidget):
    """Facts about one slot.

    Attributes:
        card: the content, as `CardText.traits` gives it; a `hint` alone while no slot is chosen.
    """

    _esm = STATIC / "slot_card.js"
    _css = STATIC / "slot_card.css"

    card = traitlets.Dict({"hint": _HINT}).tag(sync=True)

    def clear(self) -> None:
        """Say what to click."""
        self.card = {"hint": _HINT}

    def show(self, text: CardText) -> None:
        """Show this content instead."""
        self.card = text.traits()
