"""The loss of a training batch, with little memory and time: in parts of rows, in chunks of slots.

Two kinds of slots cost time and change no gradient. Padding is one: a batch is as wide as its
longest row. Slots before the first latent are the other: nothing there depends on what trains, so
they need no backward pass. A batch is divided so that both cost least. The sum of the parts' losses
has the gradient of the batch's.

The cross-entropy of labelled slots is computed in chunks, so that the logits of all of them are
never held. Each slot's loss depends on that slot's hidden state alone. So the derivative is
computed beside the loss, chunk by chunk, and the backward pass only scales it. At 49,152 words and
1,000 labels this keeps 0.5 GB of logits and of their gradients out of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from transformers import DynamicCache

from latent_core.backbones.decoder import Decoder
from latent_core.slots.batch import LatentBatch
from latent_core.slots.placement import IGNORE, Placement

__all__ = ["Part", "divide", "losses_in_parts", "parts_of", "token_losses"]

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


# --- parts of a batch -----------------------------------------------------------------------------

#: A forward pass without gradients costs about a third of one with its backward pass.
FORWARD: Final = 1 / 3
#: What one more pass costs beside its slots, counted in slots: `benchmarks/training_parts.py`.
PASS: Final = 100


@dataclass(frozen=True)
class Part:
    """Rows of a batch that go through the backbone together.

    Attributes:
        rows: their numbers in the batch.
        length: slots of the longest of them.
        prefix: leading slots that need no gradient.
    """

    rows: tuple[int, ...]
    length: int
    prefix: int

    @classmethod
    def whole(cls, batch: LatentBatch) -> Part:
        """A batch as one part."""
        rows, length = batch.input_ids.shape
        return cls(tuple(range(rows)), length, 0)

    def of(self, batch: LatentBatch) -> LatentBatch:
        """Return these rows of a batch, without the padding that all of them share."""
        if self == Part.whole(batch):
            return batch

        def cut(tensor: Tensor) -> Tensor:
            return tensor[list(self.rows), : self.length]

        return LatentBatch(**{name: cut(tensor) for name, tensor in batch.as_dict().items()})


def divide(batch: LatentBatch, cut: bool, overhead: float = PASS) -> list[Part]:
    """Divide a batch so that its training step costs least.

    Args:
        batch: the slots, padded on the right.
        cut: whether leading slots without latents may go without gradients.
        overhead: what one more pass costs beside its slots, counted in slots.

    Returns:
        parts that hold every row once.
    """
    width = batch.input_ids.shape[1]
    # The slots of a row end at its last real one; a row without latents has its first at the end.
    lengths = (width - batch.attention_mask.flip(1).argmax(dim=1)).tolist()
    latent = batch.latent_rows >= 0
    firsts = latent.long().argmax(dim=1).where(latent.any(dim=1), width).tolist() if cut else None
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    costs, lasts = [0.0], list[Part]()  # of the n shortest rows: the least cost, and its last part
    for stop in range(1, len(order) + 1):
        length, prefix = lengths[order[stop - 1]], width
        found = []
        for start in reversed(range(stop)):
            prefix = 0 if firsts is None else min(prefix, firsts[order[start]])
            cost, kept = _cost(stop - start, length, prefix, overhead)
            found.append((costs[start] + cost, Part(tuple(order[start:stop]), length, kept)))
        least, part = min(found, key=lambda pair: pair[0])
        costs.append(least)
        lasts.append(part)
    parts = list[Part]()
    while len(order) > sum(len(part.rows) for part in parts):
        parts.append(lasts[len(order) - sum(len(part.rows) for part in parts) - 1])
    return parts


def _cost(rows: int, length: int, prefix: int, overhead: float) -> tuple[float, int]:
    """The cost of a part, in slots with gradients, and the prefix with which it costs least."""
    whole = overhead + rows * length
    if not 0 < prefix < length:  # without any latent, gradients are zero, but have to be there
        return whole, 0
    cut = (1 + FORWARD) * overhead + rows * (length - (1 - FORWARD) * prefix)
    return min((whole, 0), (cut, prefix))


class PartsModel(Protocol):
    """What the losses of parts need of a model."""

    training: bool
    placement: Placement

    @property
    def virtual_tokens(self) -> int:
        """Keys and values in the cache before the first slot."""

    @property
    def backbone(self) -> Decoder:
        """The decoder."""

    def slot_embeddings(self, batch: LatentBatch) -> Tensor:
        """Input embeddings (B, T, D) of a batch's slots."""

    def hidden_states(self, batch: LatentBatch) -> Tensor:
        """Last hidden states (B, T, D) of a batch."""


def parts_of(model: PartsModel, batch: LatentBatch, recomputes: bool) -> list[Part]:
    """Divide a batch for a model: into several parts only while it trains on a processor.

    Args:
        model: the model.
        batch: the slots.
        recomputes: whether its layers recompute activations.
    """
    if not model.training or batch.input_ids.device.type != "cpu":
        return [Part.whole(batch)]
    # Recomputed layers drop their cache, virtual tokens stand before the first slot, and computed
    # latents take passes of their own.
    every = (
        recomputes
        or model.virtual_tokens
        or any(group.computed for group in model.placement.layout.groups)
        or any(weight.requires_grad for weight in model.backbone.model.parameters())
    )
    return divide(batch, cut=not every)


def losses_in_parts(
    model: PartsModel, batch: LatentBatch, parts: Sequence[Part]
) -> tuple[Tensor, Tensor]:
    """Compute the cross-entropy of the labelled slots, part by part.

    Args:
        model: the model.
        batch: the slots.
        parts: as `divide` gave them.

    Returns:
        the sum, a scalar; and the losses (N,), detached, one per label in row-major order.
    """
    labels = batch.labels
    every = torch.zeros(labels.shape, dtype=torch.float32, device=labels.device)
    total = every.new_zeros(())
    for part in parts:
        own = part.of(batch)
        labelled = own.labels != IGNORE
        states = _states_after(part.prefix, model, own) if part.prefix else model.hidden_states(own)
        # Gathered into one block (N, D): the head is slow on strided rows, and few slots need it.
        losses = token_losses(model.backbone, states[labelled], own.labels[labelled])
        total = total + losses.sum()
        kept = every.new_zeros(labelled.shape).masked_scatter(labelled, losses.detach())
        every[list(part.rows), : part.length] = kept
    return total, every[labels != IGNORE]


def _states_after(prefix: int, model: PartsModel, batch: LatentBatch) -> Tensor:
    """Last hidden states (B, T, D), those of the first `prefix` slots without gradients."""
    decoder, embeds = model.backbone, model.slot_embeddings(batch)
    cache = DynamicCache(config=decoder.model.config)
    mask, positions = batch.attention_mask, batch.position_ids
    with torch.no_grad():
        before = decoder.hidden_states(
            embeds[:, :prefix], mask[:, :prefix], positions[:, :prefix], cache
        )
    after = decoder.hidden_states(embeds[:, prefix:], mask, positions[:, prefix:], cache)
    return torch.cat([before, after], dim=1)
