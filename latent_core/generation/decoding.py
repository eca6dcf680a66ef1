"""The decoding loop: rows of slots go through a backbone with a cache until each row has ended.

A verbal token takes one forward pass, which also feeds the latents before or after it. Rows of a
batch are independent of each other. Prompts are padded on the left. Where a row has fewer new slots
than its neighbours, the holes are masked, and dropped when they are many. When rows have ended,
waiting ones take their places: these are fed their prompts by themselves, and join the others.

A computed latent needs the hidden state of the slot before it. So a pass takes slots up to the next
computed latent. One before a trigger costs no pass, since the slot before the trigger was fed when
the trigger was chosen; any other costs one.

A group at `Unsure` stands where the best probability of the next token is below its threshold. Then
its latents are fed before the token is chosen, which costs a pass.

A sliding window counts cache slots, so it would count holes too. On backbones with one, each row of
a batch gets exactly one slot per pass, and there are no holes. Both ways are exact in float32;
the second takes a pass per latent. The caller chooses the tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import torch
from torch import Tensor
from transformers import Cache

from latent_core.backbones.attention import products_where_faster
from latent_core.backbones.backbone import Backbone
from latent_core.errors import PromptError
from latent_core.generation.caching import decoding_cache, is_movable, join, move_together
from latent_core.generation.packing import Packing, packing
from latent_core.progress import heartbeat
from latent_core.slots.batch import LatentBatch, collate
from latent_core.slots.placement import Placement, Slot, SlotStream
from latent_core.threads import fit_threads

__all__ = ["DecodingModel", "Row", "best_of", "can_refill", "decode", "decoding_passes"]

#: New rows begin when this share of a batch is free, so that they read their prompts side by side.
_SHARE: Final = 8


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


@dataclass
class Row:
    """The state of one response while it is decoded.

    Attributes:
        prompt: the prompt's text.
        prompt_ids: its verbal ids.
        limit: verbal tokens of the response at most.
        stream: places the latents.
        queue: slots that the next pass feeds.
        num_fed: slots that were fed.
        num_passes: forward passes that fed them.
        response_ids: the tokens chosen so far.
        hidden: (D,), the hidden state that predicts the next one.
        newest: (D,), the hidden state of the slot that was fed last.
        best: for each response token, the best probability of any, where that decides on latents.
    """

    prompt: str
    prompt_ids: list[int]
    limit: int
    stream: SlotStream
    queue: list[Slot] = field(default_factory=list)
    num_fed: int = 0
    num_passes: int = 0
    response_ids: list[int] = field(default_factory=list)
    hidden: Tensor | None = None
    newest: Tensor | None = None
    best: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue += self.stream.look_ahead()
        self.push(self.prompt_ids)

    def push(self, token_ids: Iterable[int]) -> None:
        """Queue verbal tokens, with the latents before and after each."""
        for token_id in token_ids:
            self.queue += self.stream.push(token_id)
            self.queue += self.stream.look_ahead()

    def take(self, count: int | None) -> list[Slot]:
        """Remove the next slots from the queue: they are fed now.

        Args:
            count: slots; None for all up to the next computed latent that is not the first.
        """
        placement = self.stream.placement
        if count is None and placement.has_computed:
            ends = (n for n, slot in enumerate(self.queue) if n and placement.computes(slot.row))
            count = next(ends, None)
        chunk, self.queue = self.queue[:count], self.queue[count:] if count else []
        self.num_fed += len(chunk)
        self.num_passes += 1
        return chunk


def decode(
    model: DecodingModel,
    rows: Sequence[Row],
    extend: Callable[[Sequence[Row], Tensor], None],
    batch_size: int | None = None,
    on_end: Callable[[Row], None] = lambda row: None,
) -> None:
    """Decode rows side by side to their ends.

    Args:
        model: a backbone with latents, or what else steers it.
        rows: R rows, their prompts queued. They begin in this order.
        extend: called with the rows whose next token is due and with its logits, (rows, V) of the
            backbone's dtype; appends a token to each, and pushes it unless the row ends. A row
            without queued slots leaves the batch.
        batch_size: rows side by side at most; all by default.
        on_end: called with each row that has left.
    """
    size = len(rows) if batch_size is None else batch_size
    refills = len(rows) > size and can_refill(model, [row.stream.placement for row in rows])
    computed = any(row.stream.placement.has_computed for row in rows)
    # One row has no holes. A pass over computed latents is several passes, of other shapes.
    has_holes = min(size, len(rows)) > 1 and not computed
    skips_holes = packing(model.backbone.model, enabled=has_holes)
    with products_where_faster(model.backbone), skips_holes as packed:
        waiting, batch = deque(rows), _Batch(model, [], computed, packed)
        while waiting or batch.rows:
            free = min(size - len(batch.rows), len(waiting))
            if free and (not batch.rows or (refills and free >= min(len(waiting), size // _SHARE))):
                fit_threads()
                fresh = _Batch(model, [waiting.popleft() for _ in range(free)], computed, packed)
                while refills and fresh.is_reading:
                    fresh.advance(extend, on_end)
                batch = batch.joined_by(fresh)
            if batch.rows:
                batch.advance(extend, on_end)


def can_refill(model: DecodingModel, placements: Iterable[Placement]) -> bool:
    """Whether waiting rows may take the places of ended ones while others go on.

    They may not with a sliding window, which counts the holes that a later start leaves. Nor where
    the cache has layers that do not keep all slots, nor inside an intervention, which knows the
    rows of a batch by their numbers. Then a batch ends before the next one begins.

    Args:
        model: what decodes.
        placements: those of the rows.
    """
    backbone = model.backbone
    if backbone.has_sliding_window or backbone.slot_limit is not None:
        return False
    if any(placement.is_edited for placement in placements):
        return False
    return is_movable(decoding_cache(backbone.model.config))


class _Batch:
    """Rows that go through the backbone side by side, with their cache and its mask.

    Args:
        model: what decodes.
        rows: none of them has been fed.
        computed: whether some row, or one that may join, needs the state of the slot before.
        packed: told of each pass.
    """

    def __init__(
        self, model: DecodingModel, rows: Sequence[Row], computed: bool, packed: Packing
    ) -> None:
        self.rows = list(rows)
        self._packed = packed
        self._computed = computed
        self._model = model
        backbone = model.backbone
        self._cache = decoding_cache(backbone.model.config)
        self._mask = torch.ones(len(rows), 0, dtype=torch.long, device=backbone.device)
        self._one_slot_a_pass = backbone.has_sliding_window and len(rows) > 1
        self._first = True

    @property
    def is_reading(self) -> bool:
        """Whether some row has not been fed its whole prompt."""
        return any(not row.response_ids for row in self.rows)

    def joined_by(self, other: _Batch) -> _Batch:
        """The rows of both, to go on with; neither may be used by itself any more."""
        if not self.rows or not other.rows:
            return self if self.rows else other
        self._narrow(least=1)
        self._mask = join(self._cache, self._mask, other._cache, other._mask)
        self.rows += other.rows
        return self

    def advance(
        self,
        extend: Callable[[Sequence[Row], Tensor], None],
        on_end: Callable[[Row], None],
    ) -> None:
        """One pass, and the tokens that are due after it; arguments as in `decode`."""
        heartbeat()
        backbone, active = self._model.backbone, self.rows
        # The first pass takes the whole prompts.
        width = 1 if self._one_slot_a_pass and not self._first else None
        self._first = False
        chunks = [row.take(width) for row in active]
        batch = collate(chunks, "left").to(backbone.device)
        _check_positions(self._model, active)
        self._mask = torch.cat([self._mask, batch.attention_mask], dim=1)
        self._packed.begin(batch.attention_mask)
        before = _before(active)
        hidden_states = self._model.hidden_states(batch, self._mask, self._cache, before)
        for number, (row, chunk) in enumerate(zip(active, chunks, strict=True)):
            if self._computed:
                row.newest = hidden_states[number, -1]
            from_right = row.num_fed - row.stream.predictor
            if 0 < from_right <= len(chunk):
                row.hidden = hidden_states[number, -from_right]
        ready = [row for row in active if not row.queue]
        if ready:
            due = torch.stack([row.hidden for row in ready if row.hidden is not None])
            logits = backbone.logits(due)
            sure = _sure(ready, logits)
            if len(sure) == len(ready):
                extend(ready, logits)
            elif sure:
                extend([ready[number] for number in sure], logits[sure])
        self._drop_ended(on_end)

    def _drop_ended(self, on_end: Callable[[Row], None]) -> None:
        staying = [number for number, row in enumerate(self.rows) if row.queue]
        if len(staying) < len(self.rows):
            ended = [row for row in self.rows if not row.queue]
            self.rows = [self.rows[number] for number in staying]
            kept = torch.tensor(staying, dtype=torch.long)
            self._mask = self._mask[kept.to(self._mask.device)]
            # The indices are on the CPU: layers may lie on several devices.
            self._cache.batch_select_indices(kept)
            for row in ended:
                on_end(row)
        self._narrow(least=max(8, self._mask.shape[1] // 8))

    def _narrow(self, least: int) -> None:
        """Drop the holes, if that makes the cache narrower by so many columns."""
        if not self.rows or self._model.backbone.has_sliding_window:
            return
        needed = max(row.num_fed for row in self.rows)
        if self._mask.shape[1] - needed >= least and is_movable(self._cache):
            self._mask = move_together(self._cache, self._mask)


def decoding_passes(
    placement: Placement,
    prompt_ids: Sequence[int],
    response_ids: Sequence[int],
    best: Sequence[float] = (),
) -> int:
    """Forward passes that `decode` takes for one response on full attention, nothing computed.

    Args:
        placement: where latents go.
        prompt_ids, response_ids: verbal ids.
        best: for each response token, the best probability of any; needed for groups at `Unsure`.
    """
    row = Row("", list(prompt_ids), len(response_ids), SlotStream(placement, len(prompt_ids)))
    for number, token_id in enumerate(response_ids):
        while row.queue:
            row.take(None)
        if best:
            row.queue = row.stream.hesitate(best[number])
            while row.queue:
                row.take(None)
        if number < len(response_ids) - 1:
            row.push([token_id])
    return row.num_passes


def _sure(rows: Sequence[Row], logits: Tensor) -> list[int]:
    """Numbers of the rows whose next token is due; the others get latents first."""
    unsure = [bool(row.stream.placement.thresholds) for row in rows]
    if not any(unsure):
        return list(range(len(rows)))
    found = []
    for number, (row, best) in enumerate(zip(rows, best_of(logits), strict=True)):
        if unsure[number] and len(row.best) == len(row.response_ids):
            row.best.append(best)
            row.queue = row.stream.hesitate(best)
            if row.queue:
                continue  # the last of the latents predicts
        found.append(number)
    return found


def best_of(logits: Tensor) -> list[float]:
    """The best probability of each of (N, V) logits."""
    return logits.float().softmax(dim=-1).amax(dim=-1).tolist()


def _before(rows: Sequence[Row]) -> Tensor | None:
    """The states of the slots that were fed last, (R, D); None before the first pass."""
    newest = [row.newest for row in rows if row.newest is not None]
    return torch.stack(newest) if newest else None


def _check_positions(model: DecodingModel, rows: Sequence[Row]) -> None:
    """Sequential positions count latents too, whose number is known only while decoding."""
    window = model.backbone.context_length
    for row in rows:
        if window is not None and row.stream.next_position > window:
            raise PromptError(
                f"the prompt {row.prompt[:40]!r} and its response have {row.stream.num_slots} "
                f"slots, which positions=sequential numbers beyond the context window of "
                f"{model.backbone.name}, {model.backbone.context_limit}. Shorten it, or lower "
                "max_new_tokens"
            )
