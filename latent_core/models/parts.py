"""Parts of a training batch: rows of like length together, and the slots that need no gradient.

Two kinds of slots cost time and change no gradient. Padding is one: a batch is as wide as its
longest row. Slots before the first latent are the other: nothing there depends on what trains, so
they need no backward pass. A batch is divided so that both cost least. The sum of the parts' losses
has the gradient of the batch's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from transformers import DynamicCache

from latent_core.backbones.decoder import Decoder
from latent_core.slots.batch import LatentBatch

__all__ = ["Part", "divide", "states_after"]

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


def states_after(prefix: int, decoder: Decoder, embeds: Tensor, batch: LatentBatch) -> Tensor:
    """Compute the last hidden states (B, T, D), those of a prefix without gradients.

    Args:
        prefix: leading slots that need none.
        decoder: frozen, so that nothing in the prefix depends on what trains.
        embeds: (B, T, D), input embeddings of the slots.
        batch: the slots.
    """
    cache = DynamicCache(config=decoder.model.config)
    mask, positions = batch.attention_mask, batch.position_ids
    with torch.no_grad():
        before = decoder.hidden_states(
            embeds[:, :prefix], mask[:, :prefix], positions[:, :prefix], cache
        )
    after = decoder.hidden_states(embeds[:, prefix:], mask, positions[:, prefix:], cache)
    return torch.cat([before, after], dim=1)
