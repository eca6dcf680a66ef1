"""Slots of several examples become one `LatentBatch` of tensors.

Axes: B examples, T slots of the longest example. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor

from latent_core.slots.placement import IGNORE, Slot, Slots

__all__ = ["LatentBatch", "collate"]


@dataclass(frozen=True)
class LatentBatch:
    """What a model needs of B examples, each T slots long with its padding.

    Attributes:
        input_ids: (B, T) int64, verbal ids; 0 at latents and padding.
        latent_rows: (B, T) int64, the latent's row in the concatenated tables; -1 elsewhere.
        attention_mask: (B, T) int64, 1 at slots and 0 at padding. Always passed on to the backbone:
            without one, Transformers reads repeated position ids as the start of another packed
            sequence.
        position_ids: (B, T) int64.
        labels: (B, T) int64, the id that this very slot predicts (not shifted), -100 elsewhere.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> batch = model.batch([model.insert("1+1="), model.insert("1+12=")])
        >>> batch.input_ids.shape  # (B, T): two latents, and four or five verbal tokens
        torch.Size([2, 7])
        >>> batch.attention_mask.sum(dim=1).tolist()
        [6, 7]
    """

    input_ids: Tensor
    latent_rows: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        shapes = {field.name: tuple(getattr(self, field.name).shape) for field in fields(self)}
        if len(set(shapes.values())) != 1 or self.input_ids.dim() != 2:
            raise ValueError(f"expected tensors of one shape (B, T); got {shapes}")

    def to(self, device: torch.device | str) -> LatentBatch:
        """The same batch on `device`."""
        return LatentBatch(**{name: tensor.to(device) for name, tensor in self.as_dict().items()})

    def as_dict(self) -> dict[str, Tensor]:
        """The tensors by name, as Transformers' Trainer passes them to a model."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def collate(
    examples: Sequence[Slots | Sequence[Slot]],
    padding_side: Literal["left", "right"] = "right",
    length: int | None = None,
) -> LatentBatch:
    """Pad examples to one length and make tensors of them.

    Args:
        examples: B examples; a bare sequence of slots has no labels.
        padding_side: `right` for training; `left` for decoding, where new slots follow on.
        length: slots to pad to; that of the longest example by default.
    """
    rows = [e if isinstance(e, Slots) else Slots(tuple(e), (IGNORE,) * len(e)) for e in examples]
    width = max(len(row.slots) for row in rows) if length is None else length

    def padded(values: list[int], fill: int) -> list[int]:
        padding = [fill] * (width - len(values))
        return padding + values if padding_side == "left" else values + padding

    def tensor(columns: list[list[int]], fill: int) -> Tensor:
        return torch.tensor([padded(values, fill) for values in columns], dtype=torch.long)

    return LatentBatch(
        input_ids=tensor([[max(s.token_id, 0) for s in row.slots] for row in rows], 0),
        latent_rows=tensor([[s.row for s in row.slots] for row in rows], -1),
        attention_mask=tensor([[1] * len(row.slots) for row in rows], 0),
        position_ids=tensor([[s.position_id for s in row.slots] for row in rows], 0),
        labels=tensor([list(row.labels) for row in rows], IGNORE),
    )
