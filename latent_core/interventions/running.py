"""A model behaves as a scene says, inside a block, and is exactly as it was after it.

Inside the block the model has another placement, and its tables are stood in for by
`EditedTables`. Each latent's row there is a ticket: a number under which the observer keeps which
latent it is (group, member, occurrence, step) and which vector it reads. So a pass through the
tables tells which slots are new, and the tickets of cached slots travel in the cache itself, as one
more layer, where they are selected and reordered together with keys and values.

Knows nothing of single interventions.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from latent_core.backbones import Backbone
from latent_core.embedding import LatentTables
from latent_core.errors import LatentError
from latent_core.insertion import Placement
from latent_core.interventions.scene import Scene
from latent_core.interventions.selection import PADDING, VERBAL, PassSlots

if TYPE_CHECKING:
    from latent_core.model import LatentModel

__all__ = ["EditedTables", "InterventionWarning", "Observer", "running"]

_FIRST_TICKET = 1 << 20
"""Above every row of a real table, so that slots from outside the block are recognised."""


class InterventionWarning(UserWarning):
    """An intervention made no difference, or left no latents."""


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
        self._table: Tensor | None = None
        self._cached: WeakKeyDictionary[Cache, DynamicLayer] = WeakKeyDictionary()
        self._watching = False

    def ticket(self, group: int, member: int, occurrence: int, step: int, row: int) -> int:
        """The number that stands for a latent which reads `row`."""
        key = (group, member, occurrence, step, row)
        return self._tickets.setdefault(key, _FIRST_TICKET + len(self._tickets))

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
        module = backbone.model.base_model
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
        tickets = new
        if cache is not None and cache.get_seq_length():
            if cache not in self._cached:
                raise LatentError(
                    "this cache was begun outside the intervention's block, so that its slots are "
                    "not known; begin decoding inside the block"
                )
            tickets = torch.cat([_stored(self._cached[cache]), new], dim=1)
        self.slots = self._look_up(tickets, new.shape[1])

    def _after(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        if self.run is not None:
            return
        cache, new = kwargs.get("past_key_values"), self.new_tickets
        if cache is not None and new is not None:
            layer = self._cached.get(cache)
            if layer is None:
                layer = self._cached[cache] = DynamicLayer()
                cache.layers.append(layer)
            states = new[:, None, :, None]
            layer.update(states, states)
        self.new_tickets = self.slots = None

    def _look_up(self, tickets: Tensor, num_new: int) -> PassSlots:
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
        return PassSlots(group, member, occurrence, step, num_new)


def _stored(layer: DynamicLayer) -> Tensor:
    """The tickets in a cache, (B, T_past)."""
    keys = layer.keys
    assert keys is not None
    return keys[:, 0, :, 0]


class EditedTables(nn.Module):
    """Stands in for a model's `LatentTables` inside a block; reads the scene's vectors.

    The vectors stand still there: they belong to the block, and nothing can train them.
    """

    def __init__(self, base: LatentTables, scene: Scene, observer: Observer) -> None:
        super().__init__()
        self.scene = scene
        self.observer = observer
        self._base = (base,)  # not a submodule: its parameters would seem to train
        self.names = base.names
        self.hidden_size = base.hidden_size

    def rows(self) -> Tensor:
        """The model's own latent vectors, (num_latents, D), without the block's edits."""
        return self._base[0].rows()

    def named(self) -> dict[str, Tensor]:
        """The model's own tables, so that saving inside a block saves the adapter as it is."""
        return self._base[0].named()

    def assign(self, rows: Any) -> None:
        """Refused.

        Raises:
            LatentError: always.
        """
        raise LatentError("the tables stand still inside an intervention's block; assign after it")

    def mix(self, inputs_embeds: Tensor, latent_rows: Tensor) -> Tensor:
        """As `LatentTables.mix`, for slots that were placed inside the block."""
        self.observer.new_tickets = latent_rows
        rows = self.observer.rows(latent_rows)
        return mix(inputs_embeds, rows, self.scene.vectors)


def mix(inputs_embeds: Tensor, rows: Tensor, vectors: Tensor) -> Tensor:
    """`inputs_embeds` (B, T, D) with `vectors` (N, D) where `rows` (B, T) is not negative."""
    if not len(vectors):
        return inputs_embeds
    latents = F.embedding(rows.clamp(min=0), vectors.to(inputs_embeds.dtype))
    return torch.where((rows >= 0).unsqueeze(-1), latents, inputs_embeds)


@contextlib.contextmanager
def running(
    model: LatentModel,
    change: Callable[[Scene], Scene],
    name: str,
    tell: Callable[[str], None] | None = None,
) -> Iterator[LatentModel]:
    """Make the model do what `change` makes of its present scene; see `Intervention.on`.

    Args:
        model: the model.
        change: from its present scene to the one inside the block.
        name: of the change, for what is said about it.
        tell: told instead of a warning that the change made no difference or left no latents.
    """
    tables = cast(nn.Module, model.tables)
    outer = tables if isinstance(tables, EditedTables) else None
    observer = Observer() if outer is None else outer.observer
    base = model.tables if outer is None else outer._base[0]
    before = _present(model) if outer is None else outer.scene
    scene = replace(change(replace(before, clean=before)), clean=None)
    count = _Count()
    own, touched = model.placement, observer.touched
    observer.touched = None
    with contextlib.ExitStack() as stack:
        stack.callback(setattr, model, "placement", own)
        stack.callback(setattr, model, "tables", tables)
        model.placement = _placement(scene, before, observer, count)
        model.tables = cast(LatentTables, EditedTables(base, scene, observer))
        new_flows = scene.flows[len(before.flows) :]
        if new_flows:
            stack.enter_context(observer.watching(scene.backbone))
        for flow in new_flows:
            flow.enter(stack, observer, scene.backbone, None)
        yield model
    changed = observer.was_touched()
    observer.touched = touched
    if scene.layout != before.layout:
        count.edited += count.placed
    said = count.verdict(name, changed)
    if said is not None and tell is not None:
        tell(said)
    elif said is not None:
        warnings.warn(said, InterventionWarning, stacklevel=3)


class _Count:
    """What became of the latents that were about to be placed in a block."""

    def __init__(self) -> None:
        self.tokens = self.placed = self.dropped = self.edited = 0

    def verdict(self, name: str, flows_changed: bool) -> str | None:
        """What a person ought to know, if anything."""
        if not self.tokens or name == "none":
            return None
        if not self.placed and self.dropped:
            return f"{name} left no latents: the model ran as the backbone alone"
        if not self.placed:
            return (
                f"{name} changed nothing: no latent was placed, since neither prompts nor "
                "responses had a token that triggers one"
            )
        if not self.dropped and not self.edited and not flows_changed:
            return (
                f"{name} changed nothing: {self.placed} latents were placed, and it met none of "
                "them, or none of their edges, in these prompts and responses"
            )
        return None


def _present(model: LatentModel) -> Scene:
    """The scene of a model outside all blocks."""
    placement = model.placement
    first_rows = placement.layout.first_rows

    def rows(group: int, member: int, occurrence: int, step: int) -> int | None:
        return first_rows[group] + member

    return Scene(
        backbone=model.backbone,
        layout=placement.layout,
        triggers=placement.triggers,
        rows=rows if placement.rows is None else placement.rows,
        vectors=model.tables.rows().detach().float().clone(),
    )


def _placement(scene: Scene, before: Scene, observer: Observer, count: _Count) -> Placement:
    """The placement of a scene: rows become tickets."""
    same_layout = scene.layout == before.layout

    def rows(group: int, member: int, occurrence: int, step: int) -> int | None:
        row = scene.rows(group, member, occurrence, step)
        if row is None:
            count.dropped += 1
            return None
        count.placed += 1
        if same_layout:
            count.edited += row != before.rows(group, member, occurrence, step)
        return observer.ticket(group, member, occurrence, step, row)

    def mark(step: int) -> int:
        count.tokens += 1
        return observer.mark(step)

    return Placement(scene.layout, scene.triggers, rows, mark)
