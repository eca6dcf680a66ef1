"""Interventions on the flow: attention edges that are cut, and hidden states that are patched.

An attention edge goes from a query slot to a key slot. It is known by its two slots, not by its
place in a tensor. So the same edges are cut in a teacher-forced pass, while decoding with a cache,
and in a ragged batch. A slot always sees itself.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from latent_core.backbones.attention import AttentionCall, AttentionHook, attention_shape, hooked
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.layers import pick
from latent_core.errors import SettingError
from latent_core.interventions.base import Indices, Intervention, Slots, at_least
from latent_core.interventions.observer import Observer
from latent_core.interventions.scene import Flow, Scene
from latent_core.slots.notation import EDGES
from latent_core.slots.parts import Argument, Call
from latent_core.slots.pointing import Part
from latent_core.slots.selection import PassSlots, Selection

__all__ = ["Cut", "EdgeRule", "KnockOut", "NearestRule", "NoRule", "PairRule", "numbers"]


class EdgeRule(ABC):
    """Edges, and the layers and heads in which they are cut (None: all)."""

    layers: frozenset[int] | None = None
    heads: tuple[int, ...] | None = None

    @abstractmethod
    def edges(self, slots: PassSlots) -> Tensor:
        """Bool (B, T_new, T), True at an edge of a new slot to be cut; causality is seen to."""

    def acts_in(self, layer: int) -> bool:
        """Whether the rule cuts in a layer."""
        return self.layers is None or layer in self.layers


class NoRule(EdgeRule):
    """Cuts nothing: the row of a batch that stays as it is."""

    layers = frozenset()

    def edges(self, slots: PassSlots) -> Tensor:
        """See `EdgeRule.edges`."""
        shape = (len(slots.group), slots.num_new, slots.group.shape[1])
        return torch.zeros(shape, dtype=torch.bool, device=slots.group.device)


@dataclass(frozen=True, eq=False)
class PairRule(EdgeRule):
    """From each chosen query to each chosen key; with `both`, from keys to queries as well."""

    queries: Selection
    keys: Selection
    layers: frozenset[int] | None = None
    heads: tuple[int, ...] | None = None
    both: bool = False
    from_step: int = 0

    def edges(self, slots: PassSlots) -> Tensor:
        """See `EdgeRule.edges`."""
        queries, keys = self.queries.mask(slots), self.keys.mask(slots)
        new = slice(queries.shape[1] - slots.num_new, None)
        edges = queries[:, new, None] & keys[:, None, :]
        if self.both:
            edges = edges | (keys[:, new, None] & queries[:, None, :])
        late = slots.step[:, new, None] >= self.from_step
        return edges & late & _looks_back(slots)


@dataclass(frozen=True, eq=False)
class NearestRule(EdgeRule):
    """From every slot to all but the `number` nearest occurrences of each chosen group."""

    latents: Selection
    number: int
    from_step: int = 0

    def edges(self, slots: PassSlots) -> Tensor:
        """See `EdgeRule.edges`."""
        chosen = self.latents.mask(slots)
        new = slice(chosen.shape[1] - slots.num_new, None)
        edges = NoRule().edges(slots)
        for group in slots.group[chosen].unique():
            # Members may be chosen one by one, but the nearest occurrence is the whole group's.
            here = slots.group == group
            latest = torch.where(here, slots.occurrence, -1).cummax(dim=1).values
            old = slots.occurrence[:, None, :] <= latest[:, new, None] - self.number
            edges = edges | ((here & chosen)[:, None, :] & old)
        late = slots.step[:, new, None] >= self.from_step
        return edges & late & _looks_back(slots)


class Cut(Flow):
    """Cuts edges: by one rule, or in a batch of B rows by B rules, one a row.

    Attributes:
        rules: one, or B.
        cut_per_row: (B,), to which the edges that are cut are added, counted once for all layers
            and heads; None where nobody counts.
    """

    def __init__(self, rules: Sequence[EdgeRule]) -> None:
        self.rules = tuple(rules)
        self.cut_per_row: Tensor | None = None

    def enter(
        self, stack: contextlib.ExitStack, observer: Observer, backbone: Backbone, run: object
    ) -> None:
        """See `Flow.enter`."""
        stack.enter_context(hooked(backbone, _Cutter(self, observer, run)))

    def edges(self, slots: PassSlots) -> Tensor:
        """Bool (B, T_new, T)."""
        if len(self.rules) == 1:
            edges = self.rules[0].edges(slots)
        else:
            rows = [rule.edges(slots.row(number)) for number, rule in enumerate(self.rules)]
            edges = torch.cat(rows)
        if self.cut_per_row is not None:
            self.cut_per_row = self.cut_per_row + edges.sum(dim=(1, 2))
        return edges


class _Cutter(AttentionHook):
    def __init__(self, cut: Cut, observer: Observer, run: object) -> None:
        self._cut, self._observer, self._run = cut, observer, run
        self._slots: PassSlots | None = None
        self._edges: Tensor | None = None

    def before(self, call: AttentionCall) -> Tensor | None:
        slots = self._observer.slots
        if slots is None or self._observer.run is not self._run:
            return None
        rules = self._cut.rules
        acting = [rule.acts_in(call.layer) for rule in rules]
        if not any(acting):
            return None
        if self._edges is None or slots is not self._slots:
            self._slots, self._edges = slots, self._cut.edges(slots)
        # A sliding layer keeps the newest keys only.
        edges = self._edges[:, None, :, self._edges.shape[-1] - call.num_keys :]
        if not all(acting):
            edges = edges & torch.tensor(acting, device=edges.device)[:, None, None, None]
        if any(rule.heads is not None for rule in rules):
            heads = _heads((rule.heads for rule in rules), call.num_heads).to(edges.device)
            edges = edges & heads[:, :, None, None]
        if self._run is None:
            self._observer.touch(edges)
        return call.without(edges)


def _heads(chosen: Iterable[tuple[int, ...] | None], number: int) -> Tensor:
    """Bool (R, H), one row per rule."""
    every = tuple(range(number))
    rows = [[head in (every if heads is None else heads) for head in every] for heads in chosen]
    return torch.tensor(rows)


def _looks_back(slots: PassSlots) -> Tensor:
    """Bool (T_new, T): edges to earlier slots, the slot itself not among them."""
    length = slots.group.shape[1]
    ones = torch.ones(slots.num_new, length, dtype=torch.bool, device=slots.group.device)
    return ones.tril(length - slots.num_new - 1)


@dataclass(frozen=True)
class KnockOut(Intervention):
    """Cut attention edges: `knock_out(verbal -> Comma.0, layers=0-3, heads=2)`.

    `knock_out(Comma)` is short for `all -> Comma`; `a <-> b` cuts both ways. A slot's edge to
    itself stays. The rest of the attention is renormalised by the softmax (Geva et al. 2023).

    Attributes:
        queries: slots that no longer look there, a selection.
        keys: slots that they no longer see, a selection.
        layers, heads: where, from 0; None for all. A number, or several.
        both: also from `keys` to `queries`.
        from_step: only for queries from so many response tokens on.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> change = lc.interventions.KnockOut("response", "Comma", layers=(0, 1))
        >>> with change.on(model):
        ...     texts = model.generate("1,2,", max_new_tokens=2)
        >>> str(change)
        'knock_out(response -> Comma, layers=0-1)'
    """

    verb: ClassVar[str] = "knock_out"
    queries: Slots
    keys: Slots
    layers: Indices | None = None
    heads: Indices | None = None
    both: bool = False
    from_step: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", numbers(self.layers))
        object.__setattr__(self, "heads", numbers(self.heads))

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        return scene.with_flow(Cut((self.rule(scene),)))

    def rule(self, scene: Scene) -> PairRule:
        """The edges it means in a scene.

        Raises:
            LayoutError, SettingError: if there are no such slots, layers or heads.
        """
        shape = attention_shape(scene.backbone)
        at_least("from_step", self.from_step, 0)
        name = scene.backbone.name
        layers = pick("layer", self.layers, shape.layers, name)
        heads = pick("head", self.heads, range(shape.heads), name)
        return PairRule(
            Selection.parse(self.queries, scene.layout),
            Selection.parse(self.keys, scene.layout),
            None if self.layers is None else frozenset(layers),
            None if self.heads is None else heads,
            self.both,
            self.from_step,
        )

    @classmethod
    def from_call(cls, call: Call) -> Self:
        """See `Intervention.from_call`. The first argument without a name is `queries -> keys`."""
        arguments = list(call.arguments)
        first = next((i for i, a in enumerate(arguments) if a.name is None), None)
        if first is not None:
            text = arguments[first].value
            queries, arrow, keys = EDGES.read(text)
            ends = [str(queries or "all"), str(keys)]
            parts = [Argument(None, Part(e, text.source, text.start, text.length)) for e in ends]
            if arrow == "<->":
                name, yes = (Part(t, arrow.source, arrow.start, 3) for t in ("both", "True"))
                parts.append(Argument(name, yes))
            arguments[first : first + 1] = parts
        return super().from_call(Call(call.verb, tuple(arguments)))

    def arguments(self) -> list[str]:
        """See `Intervention.arguments`."""
        arrow = "<->" if self.both else "->"
        rest = [text for text in super().arguments()[2:] if not text.startswith("both=")]
        return [f"{self.queries} {arrow} {self.keys}", *rest]


def numbers(value: Iterable[int] | int | None) -> tuple[int, ...] | None:
    """Layers or heads as a sorted tuple; None for all.

    Raises:
        SettingError: if there are none.
    """
    if value is None:
        return None
    found = (value,) if isinstance(value, int) else tuple(sorted(set(value)))
    if not found:
        raise SettingError("no layers or heads were given; expected at least one, or None for all")
    return found
