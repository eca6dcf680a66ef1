"""How likely each token of a response was, and what each computed latent holds, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from latent_core.analysis.tokens import latent_contents, token_probabilities
from latent_core.models.latent import LatentModel
from latent_core.slots.views import SlotView

__all__ = ["Chance", "ChanceChange", "Held", "slot_chances"]

#: Tokens that are named of what a computed latent holds.
_HELD: Final = 3


class Chance(NamedTuple):
    """How likely a token was.

    Attributes:
        log_probability: natural.
        alternatives: the likeliest tokens in its place, and their probabilities.
    """

    log_probability: float
    alternatives: tuple[tuple[str, float], ...]

    @property
    def short(self) -> str:
        """The log-probability in at most four signs, as a position id has."""
        digits = 1 if self.log_probability > -9.95 else 0
        return f"{self.log_probability:.{digits}f}".replace("-0.0", "0")

    @property
    def words(self) -> str:
        """The same in a line."""
        return f"log-probability {self.log_probability:.2f}; most likely: {self.likely}"

    @property
    def likely(self) -> str:
        """The alternatives in a line."""
        return ", ".join(f"{text!r} {share:.1%}" for text, share in self.alternatives)


class ChanceChange(NamedTuple):
    """How likely the same token was under an intervention and without it."""

    changed: Chance
    clean: Chance

    @property
    def difference(self) -> float:
        """Of log-probabilities: below zero, the intervention made the token less likely."""
        return self.changed.log_probability - self.clean.log_probability

    @property
    def short(self) -> str:
        """The difference in at most four signs."""
        size = abs(self.difference)
        text = f"{self.difference:+.{1 if size < 9.95 else 0}f}"
        return "0" if size < 0.05 else text

    @property
    def words(self) -> str:
        """The same in a line."""
        return (
            f"log-probability {self.clean.log_probability:.2f} clean, "
            f"{self.changed.log_probability:.2f} intervened, difference {self.difference:+.2f}; "
            f"most likely clean: {self.clean.likely}; intervened: {self.changed.likely}"
        )


class Held(NamedTuple):
    """What a computed latent holds, in words: the tokens that the slot before it predicts.

    Attributes:
        predicted: the likeliest tokens and their probabilities; of a mixture, its weights.
    """

    predicted: tuple[tuple[str, float], ...]

    @property
    def short(self) -> str:
        """The likeliest token."""
        return self.predicted[0][0]

    @property
    def words(self) -> str:
        """All of them in a line."""
        return "holds " + ", ".join(f"{text!r} {share:.1%}" for text, share in self.predicted)


def slot_chances(
    model: LatentModel, prompt: str, slots: Sequence[SlotView], response_ids: Sequence[int]
) -> tuple[Chance | Held | None, ...]:
    """The chance of each response token, what each computed latent holds; None elsewhere."""
    found: list[Chance | Held | None] = [None] * len(slots)
    if response_ids:
        frame = token_probabilities(model, prompt, list(response_ids))
        places = [place for place, slot in enumerate(slots) if slot.group is None]
        pairs = zip(frame["log_probability"], frame["alternatives"], strict=True)
        response = places[-len(response_ids) :]
        for place, (chance, likely) in zip(response, pairs, strict=False):
            found[place] = Chance(float(chance), likely)
    if model.placement.layout.computed:
        held = latent_contents(model, prompt, list(response_ids), count=_HELD)
        held = held[held["measure"] == "probability"]
        known = {
            key: Held(tuple(zip(rows["token"], map(float, rows["value"]), strict=True)))
            for key, rows in held.groupby(["label", "occurrence"])
        }
        for place, slot in enumerate(slots):
            if slot.group is not None:
                found[place] = known.get((slot.label, slot.occurrence))
    return tuple(found)
