"""The slots that the current forward pass sees: the new ones, and those in the cache.

Inside a block the row of a latent is a ticket. Under this number the observer keeps which latent it
is (group, member, occurrence, step) and which vector it reads. So a pass through the tables tells
which slots are new. The tickets of cached slots travel in the cache itself, as one more layer,
where they are selected and reordered together with keys and values; so does the number that each
row of the batch had when decoding began.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from latent_core.backbones.backbone import Backbone
from latent_core.errors import LatentError
from latent_core.slots.selection import PADDING, VERBAL, PassSlots

__all__ = ["Observer"]

_FIRST_TICKET = 1 << 20
"""Above every row of a real table, so that slots from outside the block are recognised."""


class Observer:
    """Knows which slots the current forward pass sees. One serves all blocks of a model that nest.

    Attributes:
        slots: of the current pass; None where the backbone runs without the model's tables.
        run: whose pass it is: None for the main run, else the flow that runs the backbone itself.
        new_tickets: (B, T_new) rows of the slots that went through the tables last.
        touched: bool scalar, whether a flow has changed anything in the innermost block.
    """

    def __init__(self) -> None:
        self.slots: PassSlots | None = None
        self.run: object = None
        self.new_tickets: Tensor | None = None
        self.touched: Tensor | None = None
        self._tickets: dict[tuple[int, int, int, int, int], int] = {}
        self._rows: list[int] = []
        self._table: Tensor | None = None
        self._cached: WeakKeyDictionary[Cache, DynamicLayer] = WeakKeyDictionary()
        self._watching = False

    def ticket(self, group: int, member: int, occurrence: int, step: int, row: int) -> int:
        """The number that stands for a latent which reads `row`."""
        key = (group, member, occurrence, step, row)
        if key not in self._tickets:
            self._tickets[key] = _FIRST_TICKET + len(self._tickets)
            self._rows.append(row)
        return self._tickets[key]

    def row_of(self, ticket: int) -> int:
        """The row that a ticket reads."""
        return self._rows[ticket - _FIRST_TICKET]

    @staticmethod
    def mark(step: int) -> int:
        """The number that stands for a verbal token."""
        return -2 - step

    def identities(self, device: torch.device) -> Tensor:
        """(K, 5) int64: group, member, occurrence, step, row of every ticket, in order."""
        known = 0 if self._table is None else len(self._table)
        if self._table is None or known < len(self._tickets):
            new = list(islice(self._tickets, known, None))
            more = torch.tensor(new, dtype=torch.long, device=device).reshape(-1, 5)
            self._table = more if self._table is None else torch.cat([self._table, more])
        return self._table

    def rows(self, tickets: Tensor) -> Tensor:
        """The row that each latent slot reads, (B, T); -1 elsewhere.

        Raises:
            LatentError: for slots that were placed outside the block.
        """
        latent = tickets >= 0
        if bool((latent & (tickets < _FIRST_TICKET)).any()):
            raise LatentError(
                "these slots were placed outside the intervention's block; place them inside "
                "(model.insert, model.place), where the intervention decides on them"
            )
        if not self._tickets:
            return torch.full_like(tickets, -1)
        table = self.identities(tickets.device)
        rows = table[(tickets - _FIRST_TICKET).clamp(min=0), 4]
        return torch.where(latent, rows, -1)

    def touch(self, edges: Tensor) -> None:
        """Remember whether anything was True in `edges`, without waiting for the device."""
        found = edges.any()
        self.touched = found if self.touched is None else self.touched | found

    def was_touched(self) -> bool:
        """Whether `touch` found anything."""
        return self.touched is not None and bool(self.touched)

    @contextlib.contextmanager
    def watching(self, backbone: Backbone) -> Iterator[None]:
        """Keep `slots` up to date while the backbone runs; once is enough, inner blocks share."""
        if self._watching:
            yield
            return
        self._watching = True
        module = backbone.trunk
        before = module.register_forward_pre_hook(self._before, with_kwargs=True)
        after = module.register_forward_hook(self._after, with_kwargs=True)
        try:
            yield
        finally:
            before.remove()
            after.remove()
            self._watching, self.slots = False, None

    def _before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if self.run is not None:
            return
        new, self.slots = self.new_tickets, None
        embeds, cache = kwargs.get("inputs_embeds"), kwargs.get("past_key_values")
        if new is None or embeds is None or new.shape != embeds.shape[:2]:
            self.new_tickets = None
            return
        tickets, example = new, torch.arange(len(new), device=new.device)
        if cache is not None and cache.get_seq_length():
            if cache not in self._cached:
                raise LatentError(
                    "this cache was begun outside the intervention's block, so that its slots are "
                    "not known; begin decoding inside the block"
                )
            past, example = _stored(self._cached[cache])
            tickets = torch.cat([past, new], dim=1)
        self.slots = self._look_up(tickets, new.shape[1], example)

    def _after(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        if self.run is not None:
            return
        cache, new, slots = kwargs.get("past_key_values"), self.new_tickets, self.slots
        if cache is not None and new is not None and slots is not None:
            layer = self._cached.get(cache)
            if layer is None:
                layer = self._cached[cache] = DynamicLayer()
                cache.layers.append(layer)
            examples = slots.example[:, None].expand_as(new)
            layer.update(new[:, None, :, None], examples[:, None, :, None])
        self.new_tickets = self.slots = None

    def _look_up(self, tickets: Tensor, num_new: int, example: Tensor) -> PassSlots:
        latent = tickets >= 0
        columns = [torch.where(latent, 0, -1) for _ in range(4)]
        if self._tickets:
            table = self.identities(tickets.device)
            found = table[(tickets - _FIRST_TICKET).clamp(min=0)]
            columns = [torch.where(latent, found[..., column], -1) for column in range(4)]
        group, member, occurrence, step = columns
        verbal = tickets <= -2
        group = torch.where(latent, group, torch.where(verbal, VERBAL, PADDING))
        step = torch.where(verbal, -2 - tickets, step)
        return PassSlots(group, member, occurrence, step, num_new, example)


def _stored(layer: DynamicLayer) -> tuple[Tensor, Tensor]:
    """The tickets in a cache, (B, T_past), and the rows' first numbers, (B,)."""
    keys, values = layer.keys, layer.values
    assert keys is not None and values is not None
    return keys[:, 0, :, 0], values[:, 0, 0, 0]
