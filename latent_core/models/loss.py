"""Cross-entropy of labelled slots, in chunks, so that the logits of all of them are never held.

Each slot's loss depends on that slot's hidden state alone. So the derivative is computed beside the
loss, chunk by chunk, and the backward pass only scales it. At 49,152 words and 1,000 labels this
keeps 0.5 GB of logits and of their gradients out of memory.
"""

from __future__ import annotations

from typing import Any, Final, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from latent_core.backbones.decoder import Decoder

__all__ = ["token_losses"]

#: Elements of a chunk's logits: a few MB in float32, which the processor's caches can hold.
CHUNK_ELEMENTS: Final = 1 << 22


def token_losses(decoder: Decoder, hidden_states: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross-entropy of each label.

    Args:
        decoder: has the output head. Where that trains, all logits are held.
        hidden_states: (N, D), of the slots that predict.
        labels: (N,), the ids to predict.

    Returns:
        (N,) float32, in nats.
    """
    head = decoder.model.get_output_embeddings()
    if torch.is_grad_enabled() and any(weight.requires_grad for weight in head.parameters()):
        return _losses(decoder, hidden_states, labels)
    return cast(Tensor, _ChunkedLosses.apply(hidden_states, labels, decoder))


def _losses(decoder: Decoder, hidden_states: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(decoder.logits(hidden_states).float(), labels, reduction="none")


class _ChunkedLosses(torch.autograd.Function):
    """Losses (N,) whose derivatives by the hidden states are computed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden_states: Tensor, labels: Tensor, decoder: Decoder) -> Tensor:
        rows = max(1, CHUNK_ELEMENTS // decoder.vocabulary_size)
        losses = hidden_states.new_empty(len(labels), dtype=torch.float32)
        needed = ctx.needs_input_grad[0]
        derivatives = torch.empty_like(hidden_states) if needed else None
        for start in range(0, len(labels), rows):
            chunk = slice(start, start + rows)
            with torch.set_grad_enabled(needed):
                states = hidden_states[chunk].detach().requires_grad_(needed)
                found = _losses(decoder, states, labels[chunk])
                if derivatives is not None:
                    (derivatives[chunk],) = torch.autograd.grad(found.sum(), states)
            losses[chunk] = found.detach()
        if derivatives is not None:
            ctx.save_for_backward(derivatives)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (derivatives,) = ctx.saved_tensors
        return (gradient.unsqueeze(-1) * derivatives).to(derivatives.dtype), None, None
