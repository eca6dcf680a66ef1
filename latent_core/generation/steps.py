"""The Protocol that decoding asks of a model: slots in, hidden states and logits out."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor
from transformers import Cache

from latent_core.backbones.backbone import Backbone
from latent_core.slots.batch import LatentBatch
from latent_core.slots.placement import Placement

__all__ = ["DecodingModel"]


class DecodingModel(Protocol):
    """A model that responses can be decoded with; `SteeredModel` is one."""

    @property
    def backbone(self) -> Backbone:
        """Gives the tokenizer, the size of the window, and logits of hidden states."""

    @property
    def placement(self) -> Placement:
        """Says where latents go between verbal tokens."""

    def hidden_states(
        self,
        batch: LatentBatch,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        before: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states (B, T, D) of a batch of slots.

        Args:
            batch: the new slots, B rows of T.
            attention_mask: (B, T_past + T), of the cached slots and the new ones.
            past_key_values: a cache of T_past slots, which is extended in place.
            before: (B, D), the last hidden state of each row's slot before the new ones, if a row
                begins with a computed latent.
        """
