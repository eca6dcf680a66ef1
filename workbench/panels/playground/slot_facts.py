"""Facts about one latent in its slot: its nearest tokens, its norm, and its logit lens.

Nearest tokens and norm are those of the trained vector. Of a computed latent they are those of what
it holds, in its example and under the intervention that is applied, as the lens always is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import pandas as pd

from latent_core.analysis.geometry import latent_norms, logit_lens, nearest_tokens
from latent_core.analysis.tokens import latent_contents
from latent_core.interventions.base import Intervention
from latent_core.models.latent import LatentModel
from latent_core.slots.views import SlotView
from workbench.panels.recent import Recent
from workbench.responses import fingerprint

__all__ = ["FactFinder", "SlotFacts"]

#: Nearest tokens, and most likely tokens of the lens at each layer.
_NEAREST: Final = 8
_LIKELIEST: Final = 5


@dataclass(frozen=True)
class SlotFacts:
    """One latent.

    Attributes:
        slot: its label, group and position.
        trained: the latent whose vector it reads, such as `Comma.1`; of a computed latent, itself.
        nearest: its nearest tokens, with `token` and `cosine`.
        norm: `norm`, `vocabulary_median`, `ratio`, `share_shorter`, as `latent_norms` gives them.
        predicted: of a computed latent, the tokens that the slot before predicts, with `token` and
            `value`, a probability; empty for others.
        lens: `layer`, `rank`, `token`, `probability`; empty if the slot is not in the text.
    """

    slot: SlotView
    trained: str
    nearest: pd.DataFrame
    norm: pd.Series
    predicted: pd.DataFrame
    lens: pd.DataFrame


@dataclass(frozen=True)
class FactFinder:
    """Finds facts of slots, and keeps them by model and by text."""

    _tables: Recent[tuple[pd.DataFrame, pd.DataFrame]] = field(default_factory=lambda: Recent(16))
    _contents: Recent[pd.DataFrame] = field(default_factory=lambda: Recent(16))
    _lenses: Recent[pd.DataFrame] = field(default_factory=lambda: Recent(16))

    def find(
        self,
        model: LatentModel,
        slot: SlotView,
        prompt: str,
        response: str | None,
        intervention: Intervention,
    ) -> SlotFacts:
        """Look up a latent slot.

        Args:
            model: the model.
            slot: a latent of prompt and response.
            prompt, response: the text. Re-encoding the response may change its tokens, so that the
                slot is not found.
            intervention: it has to fit the model.
        """
        key = fingerprint(model)
        nearest, norms = self._tables.get(
            key, lambda: (nearest_tokens(model, _NEAREST), latent_norms(model))
        )
        with intervention.on(model):
            layout = model.placement.layout
            lens = self._lenses.get(
                (key, prompt, response, str(intervention)),
                lambda: logit_lens(model, prompt, response, count=_LIKELIEST),
            )
        # If the group was moved or recounted, its latents use its own vectors in turn.
        names = [group.name for group in layout.groups]
        group = model.layout.groups[names.index(str(slot.group))]
        member = int(slot.label.rpartition(".")[2])
        trained = f"{group.name}.{member % group.count}"
        here = (
            (lens["group"] == slot.group)
            & (lens["member"] == member)
            & (lens["occurrence"] == slot.occurrence)
        )
        own = norms[norms["label"] == trained]
        if len(own):
            shown = nearest[nearest["label"] == trained]
            return SlotFacts(slot, trained, shown, own.iloc[0], shown[:0], lens[here])
        with intervention.on(model):
            contents = self._contents.get(
                (key, prompt, response, str(intervention)),
                lambda: latent_contents(model, prompt, response, count=_NEAREST),
            )
        held = contents[
            (contents["group"] == slot.group)
            & (contents["member"] == member)
            & (contents["occurrence"] == slot.occurrence)
        ]
        near = held[held["measure"] == "cosine"].rename(columns={"value": "cosine"})
        norm = near.iloc[0] if len(near) else pd.Series({"norm": math.nan})
        return SlotFacts(
            slot, slot.label, near, norm, held[held["measure"] == "probability"], lens[here]
        )
