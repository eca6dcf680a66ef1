"""The input of a computed latent, from the hidden state of the slot before it.

`latent_core.slots.filling` names the fillings. A filler asks a decoder for logits, for the mean
embedding under weights, and for the median norm of its embeddings. Knows nothing of Transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from latent_core.slots.filling import Fused, Hidden, Mix
from latent_core.slots.layout import LatentGroup

__all__ = ["Filler", "HiddenMap", "Vocabulary", "fill", "token_weights"]


class Vocabulary(Protocol):
    """What a filler asks of a decoder."""

    @property
    def embedding_norm(self) -> float:
        """Median norm of the input embeddings."""

    def logits(self, hidden_states: Tensor) -> Tensor:
        """Next-token logits (..., V) of last hidden states (..., D)."""

    def mean_embedding(self, weights: Tensor) -> Tensor:
        """Input embeddings averaged by weights: (..., V) -> (..., D)."""


class HiddenMap(nn.Module):
    """A trained map of hidden states of low rank, which starts at zero.

    Args:
        down: (rank, D), its first values.
        up: (D, rank); zero at the start of training.
    """

    def __init__(self, down: Tensor, up: Tensor) -> None:
        super().__init__()
        self.down = nn.Parameter(down.detach().to(torch.float32).clone())
        self.up = nn.Parameter(up.detach().to(torch.float32).clone())

    def forward(self, states: Tensor) -> Tensor:
        """Map states (N, D) to (N, D), in float32 at least."""
        return states @ self.down.to(states.dtype).T @ self.up.to(states.dtype).T


class Filler(nn.Module):
    """Computes the inputs of a group's latents.

    Args:
        group: a group with a computed filling.
        vocabulary: the decoder's.
        hidden_map: the trained map, where the filling has one.
    """

    def __init__(
        self, group: LatentGroup, vocabulary: Vocabulary, hidden_map: HiddenMap | None = None
    ) -> None:
        super().__init__()
        self.group = group
        self.hidden_map = hidden_map
        self._vocabulary = vocabulary

    def forward(self, states: Tensor) -> Tensor:
        """Inputs (N, D) of latents, from the last hidden states (N, D) of the slots before them."""
        match self.group.filling:
            case Hidden() as hidden:
                return self._scaled(states, hidden)
            case Mix() as mix:
                return self._mixture(states, mix)
            case Fused(weight, hidden, mix):
                mixture = _wide(self._mixture(states, mix))
                return weight * _wide(self._scaled(states, hidden)) + (1 - weight) * mixture
        raise AssertionError(self.group)

    def _scaled(self, states: Tensor, hidden: Hidden) -> Tensor:
        match hidden.scaling:
            case "raw":
                return states
            case "norm":
                wide = _wide(states)
                norms = wide.norm(dim=-1, keepdim=True).clamp(min=1e-12)
                return wide * (self._vocabulary.embedding_norm / norms)
            case "proj":
                assert self.hidden_map is not None
                return _wide(states) + self.hidden_map(_wide(states))
        raise AssertionError(hidden)

    def _mixture(self, states: Tensor, mix: Mix) -> Tensor:
        return self._vocabulary.mean_embedding(token_weights(self._vocabulary.logits(states), mix))


def token_weights(logits: Tensor, mix: Mix) -> Tensor:
    """The weights of tokens in a mixture, (N, V): probabilities, of which the least may be cut."""
    weights = (_wide(logits) / mix.temperature).softmax(dim=-1)
    if mix.top_p == 1:
        return weights
    ordered, order = weights.sort(dim=-1, descending=True)
    before = ordered.cumsum(dim=-1) - ordered  # the first token always stays
    kept = torch.zeros_like(weights, dtype=torch.bool).scatter(-1, order, before < mix.top_p)
    weights = weights * kept
    return weights / weights.sum(dim=-1, keepdim=True)


def fill(
    inputs_embeds: Tensor, numbers: Tensor, states: Tensor, fillers: Sequence[nn.Module]
) -> Tensor:
    """Put what fillers compute in the slots that they fill.

    Args:
        inputs_embeds: (B, T, D).
        numbers: (B, T), the number of the filler of a computed slot, -1 elsewhere; a row has one
            computed slot at most.
        states: (B, D), the last hidden state of the slot before it; unused in other rows.
        fillers: by number, (N, D) -> (N, D).
    """
    of_row = numbers.amax(dim=1)  # (B,)
    vectors = torch.zeros_like(inputs_embeds[:, 0])
    for number in sorted(set(of_row.tolist()) - {-1}):
        rows = (of_row == number).nonzero().squeeze(1)
        filled = fillers[number](states[rows]).to(vectors.dtype)
        vectors = vectors.index_copy(0, rows, filled)
    return torch.where((numbers >= 0).unsqueeze(-1), vectors.unsqueeze(1), inputs_embeds)


def _wide(tensor: Tensor) -> Tensor:
    """In float32, or in float64 if it is."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
