"""The forward passes that a batch with computed latents takes.

A computed latent needs the hidden state of the slot before it, so a pass ends before each one. The
passes share a cache, through which gradients flow. Rows line up by their computed latents, wherever
these stand: pass p goes up to the p-th one of each row, and the last pass takes what is left of all
rows. So there are as many passes as the row with the most computed latents has, and one more.

Rows with fewer new slots leave masked holes in the cache. A sliding window would count these. On
backbones with one, rows line up by their first computed latent, and a pass ends before every column
that has a computed latent in some row: no holes, and more passes where places differ.

Layers that recompute their activations drop the cache. Then each pass starts from the first slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from latent_core.backbones.backbone import Backbone
from latent_core.errors import LatentError
from latent_core.slots.batch import LatentBatch
from latent_core.slots.placement import IGNORE
from latent_core.slots.tables import LatentTables

__all__ = ["FillingModel", "filled_embeddings", "hidden_states_in_passes"]

#: A pass: for each row, the slots of the batch in each of its columns; -1 is padding. (B, W)
Grid = list[list[int]]


class FillingModel(Protocol):
    """What passes ask of a model."""

    @property
    def backbone(self) -> Backbone:
        """Gives the embeddings, and says whether it has a sliding window."""

    @property
    def tables(self) -> LatentTables:
        """Fills the latents."""

    @property
    def virtual_tokens(self) -> int:
        """Keys and values in the cache before the first slot."""

    @property
    def recomputes(self) -> bool:
        """Whether layers recompute their activations, and so drop a cache."""

    def run_slots(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past_key_values: Cache | None = None,
    ) -> Tensor:
        """Last hidden states (B, T, D) of slots whose inputs are known."""


def hidden_states_in_passes(
    model: FillingModel,
    batch: LatentBatch,
    attention_mask: Tensor,
    past_key_values: Cache | None = None,
    before: Tensor | None = None,
) -> Tensor:
    """Last hidden states (B, T, D) of a batch whose computed latents are filled on the way.

    Args:
        model: a model with computed latents.
        batch: the new slots.
        attention_mask: (B, T_past + T), or as a decoder takes it if there is no cache.
        past_key_values: a cache of T_past slots, which is extended in place.
        before: (B, D), the last hidden state of each row's slot before the batch; needed where a
            row begins with a computed latent.
    """
    computed = (model.tables.fillers_at(batch.latent_rows) >= 0).tolist()
    real = batch.attention_mask.bool().tolist()
    # Recomputed from the start, a pass needs no cache; nor can a mask drawn by hand be cut up.
    if past_key_values is None and (model.recomputes or attention_mask.dim() != 2):
        embeds = _filled_from_start(model, batch, attention_mask, before)
        return model.run_slots(embeds, attention_mask, batch.position_ids)
    # Whoever gives a cache counts on a column of it for each column of the batch.
    if past_key_values is not None:
        grids = _by_columns(computed, real, lined_up=False)
    elif model.backbone.has_sliding_window and len(computed) > 1:
        # Padding on the left would stand between virtual tokens and the first slot.
        grids = _by_columns(computed, real, lined_up=not model.virtual_tokens)
    else:
        grids = _by_segments(computed, real)
    if len(grids) == 1:
        embeds = _embeds(model, batch, before)
        return model.run_slots(embeds, attention_mask, batch.position_ids, past_key_values)
    cache = past_key_values
    if cache is None:
        cache = DynamicCache(config=model.backbone.model.config)
    mask = attention_mask[:, : attention_mask.shape[1] - batch.input_ids.shape[1]]
    found: list[Tensor] = []
    whole = [torch.tensor(grid, dtype=torch.long, device=mask.device) for grid in grids]
    for grid in whole:
        part = _part(batch, grid)
        mask = torch.cat([mask, part.attention_mask.to(mask.dtype)], dim=1)
        embeds = _embeds(model, part, before)
        found.append(model.run_slots(embeds, mask, part.position_ids, cache))
        before = _last(found[-1], grid, before)
    return _in_order(torch.cat(found, dim=1), torch.cat(whole, dim=1), len(real[0]))


def filled_embeddings(model: FillingModel, batch: LatentBatch) -> Tensor:
    """Input embeddings (B, T, D) of a batch, computed latents included, for one pass over it."""
    if not model.tables.computes:
        return model.tables.mix(model.backbone.embed(batch.input_ids), batch.latent_rows)
    states = hidden_states_in_passes(model, batch, batch.attention_mask)
    embeds = model.tables.mix(model.backbone.embed(batch.input_ids), batch.latent_rows)
    for due in _in_turn(model.tables.fillers_at(batch.latent_rows)):
        embeds = _fill_due(model, embeds, due, states)
    return embeds


def _filled_from_start(
    model: FillingModel, batch: LatentBatch, attention_mask: Tensor, before: Tensor | None
) -> Tensor:
    """Input embeddings (B, T, D), by a pass over all slots up to each computed latent in turn."""
    numbers = model.tables.fillers_at(batch.latent_rows)
    first = numbers.clone()
    first[:, 1:] = -1
    embeds = model.tables.mix(model.backbone.embed(batch.input_ids), batch.latent_rows)
    embeds = _fill(model, embeds, first, before)
    numbers[:, 0] = -1
    for due in _in_turn(numbers):
        end = int((due >= 0).any(dim=0).nonzero().max())
        mask = attention_mask[..., :end]
        states = model.run_slots(
            embeds[:, :end],
            mask[..., :end, :] if mask.dim() == 4 else mask,
            batch.position_ids[:, :end],
        )
        embeds = _fill_due(model, embeds, due, states)
    return embeds


def _in_turn(numbers: Tensor) -> list[Tensor]:
    """Fillers (B, T) of each row's first computed slot, then of each row's second, and so on."""
    turn = (numbers >= 0).cumsum(dim=1)
    last = int(turn.max()) if numbers.numel() else 0
    return [torch.where(turn == number, numbers, -1) for number in range(1, last + 1)]


def _fill_due(model: FillingModel, embeds: Tensor, due: Tensor, states: Tensor) -> Tensor:
    """Fill the slots that are due, one a row, from the states (B, T', D) of the slots before."""
    places = (due.argmax(dim=1) - 1).clamp(min=0)
    before = states[torch.arange(len(places), device=places.device), places]
    return _fill(model, embeds, due, before)


def _fill(model: FillingModel, embeds: Tensor, numbers: Tensor, before: Tensor | None) -> Tensor:
    if not bool((numbers >= 0).any()):
        return embeds
    if before is None:
        raise LatentError(
            "the batch begins with a computed latent, whose slot before is not in it; expected "
            "before=..., the last hidden states of these slots"
        )
    return model.tables.fill(embeds, numbers, before)


def _embeds(model: FillingModel, part: LatentBatch, before: Tensor | None) -> Tensor:
    """Input embeddings (B, W, D) of a pass, which has one computed latent a row at most."""
    embeds = model.tables.mix(model.backbone.embed(part.input_ids), part.latent_rows)
    return _fill(model, embeds, model.tables.fillers_at(part.latent_rows), before)


def _by_segments(computed: list[list[bool]], real: list[list[bool]]) -> list[Grid]:
    """Passes in which rows line up by their computed latents, padded on the left."""
    rows: list[list[list[int]]] = []
    for is_computed, is_real in zip(computed, real, strict=True):
        segments: list[list[int]] = [[]]
        for slot in (t for t, there in enumerate(is_real) if there):
            if is_computed[slot] and segments[-1]:
                segments.append([])
            segments[-1].append(slot)
        rows.append(segments)
    last = max(map(len, rows)) - 1
    # What is left of a row waits for the last pass, which all rows share.
    passes = [[row[n] if n < len(row) - 1 or n == 0 else [] for row in rows] for n in range(last)]
    passes.append([row[-1] if len(row) > 1 or not last else [] for row in rows])
    return [_padded(slots) for slots in passes]


def _by_columns(computed: list[list[bool]], real: list[list[bool]], lined_up: bool) -> list[Grid]:
    """Passes over columns of the batch, or of the batch lined up by the first computed latents."""
    slots = [[t for t, there in enumerate(row) if there] for row in real]
    firsts = [
        next((n for n, t in enumerate(row) if n and computed[b][t]), 0)
        for b, row in enumerate(slots)
    ]
    if not lined_up:
        grid = [[t if there else -1 for t, there in enumerate(row)] for row in real]
    else:
        grid = [
            [-1] * (max(firsts) - first if first else 0) + row
            for first, row in zip(firsts, slots, strict=True)
        ]
        width = max(map(len, grid))
        grid = [row + [-1] * (width - len(row)) for row in grid]
    width = len(grid[0])
    cuts = [
        column
        for column in range(1, width)
        if any(row[column] >= 0 and computed[b][row[column]] for b, row in enumerate(grid))
    ]
    ends = [*cuts, width]
    return [[row[a:b] for row in grid] for a, b in zip([0, *cuts], ends, strict=True)]


def _padded(slots: Sequence[list[int]]) -> Grid:
    width = max(map(len, slots))
    return [[-1] * (width - len(row)) + row for row in slots]


def _part(batch: LatentBatch, grid: Tensor) -> LatentBatch:
    """The slots of a pass, (B, W)."""
    there, places = grid >= 0, grid.clamp(min=0)

    def taken(tensor: Tensor, padding: int) -> Tensor:
        return torch.where(there, tensor.gather(1, places), padding)

    return LatentBatch(
        input_ids=taken(batch.input_ids, 0),
        latent_rows=taken(batch.latent_rows, -1),
        attention_mask=taken(batch.attention_mask, 0),
        position_ids=taken(batch.position_ids, 0),
        labels=taken(batch.labels, IGNORE),
    )


def _last(states: Tensor, grid: Tensor, before: Tensor | None) -> Tensor:
    """The state of each row's newest slot, (B, D)."""
    newest = states[:, -1]
    if before is None:
        return newest
    return torch.where((grid[:, -1] >= 0).unsqueeze(1), newest, before.to(newest.dtype))


def _in_order(states: Tensor, grid: Tensor, length: int) -> Tensor:
    """States (B, all columns of all passes, D) as those of the batch's slots, (B, length, D)."""
    columns = torch.arange(grid.shape[1], device=grid.device).expand_as(grid)
    # Padding is written to a column of its own, which is cut off.
    where = torch.where(grid >= 0, grid, length)
    places = torch.zeros(len(grid), length + 1, dtype=torch.long, device=grid.device)
    places = places.scatter(1, where, columns)[:, :length]
    return states.gather(1, places.unsqueeze(-1).expand(-1, -1, states.shape[-1]))
