"""Where a model is not sure of the next token of a given response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.turns import turn
from latent_core.generation.decoding import best_of
from latent_core.slots.batch import LatentBatch
from latent_core.slots.placement import IGNORE, Placement, Slots

__all__ = ["best_probabilities"]


class HesitatingModel(Protocol):
    """What is asked of a model."""

    method: str

    @property
    def backbone(self) -> Backbone:
        """Gives logits."""

    @property
    def placement(self) -> Placement:
        """Says below which probabilities latents stand."""

    @property
    def batch(self) -> Callable[[Sequence[Slots]], LatentBatch]:
        """Makes tensors of slots."""

    @property
    def hidden_states(self) -> Callable[[LatentBatch], Tensor]:
        """Last hidden states (B, T, D)."""


@torch.no_grad()
def best_probabilities(
    model: HesitatingModel, prompt_ids: Sequence[int], response_ids: Sequence[int]
) -> list[float]:
    """For each response token, the best probability of any in its place, as decoding finds it.

    Latents before one token change the probabilities of all that follow. So this takes a pass over
    prompt and response for each place with latents, and one more.

    Args:
        model: has groups at `Unsure`.
        prompt_ids, response_ids: verbal ids.
    """
    threshold = max(model.placement.thresholds)
    best = [1.0] * len(response_ids)  # sure of what is not known yet
    known = 0
    with turn(model.backbone.model, f"places of latents of {model.method}"):
        while known < len(best):
            slots = model.placement.insert(prompt_ids, response_ids, best)
            batch = model.batch([slots])
            states = model.hidden_states(batch)[0, batch.labels[0] != IGNORE]
            found = best_of(model.backbone.logits(states))
            for index in range(known, len(best)):
                best[index] = found[index]
                known = index + 1
                if found[index] < threshold:
                    break
    return best
