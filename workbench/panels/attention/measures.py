"""The quantities of the attention panel, as arrays: measures of edges, by head and by slot.

Axes as in `AttentionRecord`: L layers, H heads, T slots as queries, M key slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latent_core.attention.record import AttentionRecord
from latent_core.attention.rollout import attention_rollout
from latent_core.errors import SettingError
from latent_core.slots.views import SlotView

__all__ = [
    "DIRECTIONS",
    "MEASURES",
    "AttentionMaps",
    "Cell",
    "Direction",
    "FloatArray",
    "Measure",
    "aligned",
    "difference",
]

FloatArray = NDArray[np.float32]
SlotKind = Literal["text", "latent"]


class Measure(NamedTuple):
    """A number for each edge from a query slot to a key slot.

    Attributes:
        name: what one value is called.
        meaning: what it means, in a sentence.
        signed: whether it may be below zero.
        all_slots: whether it needs every slot as a key.
        gradient: whether it needs a backward pass.
        has_heads: whether each head has a map of its own.
    """

    name: str
    meaning: str
    signed: bool = False
    all_slots: bool = False
    gradient: bool = False
    has_heads: bool = True


class Direction(NamedTuple):
    """A set of edges: queries of one kind, keys of one kind.

    Attributes:
        source, target: the kinds of query and key.
        group: only edges of this latent group: of its latents as keys, or as queries onto text.
            None for all.
        skip_first: whether the text's first slot is left out as a key. It takes most weight in many
            heads, whatever it holds.
    """

    source: SlotKind
    target: SlotKind
    group: str | None = None
    skip_first: bool = False

    def __str__(self) -> str:
        group = self.group or "latent"
        rest = " without the first slot" if self.skip_first else ""
        if self.target == "latent":
            return f"{self.source} → {group}{rest}"
        return f"{group} → {self.target}{rest}"


MEASURES: Final[Mapping[str, Measure]] = {
    "raw": Measure("weight", "Raw: the attention weight of a query slot on a key slot."),
    "value-weighted": Measure(
        "norm",
        "Value-weighted: the norm of the vector that a key adds to a query's residual stream "
        "(Kobayashi et al. 2020). A large weight on a value of small norm adds little.",
    ),
    "rollout": Measure(
        "share",
        "Rollout: how much each input slot contributes to a slot after this layer. The attention "
        "is averaged over heads and multiplied over layers (Abnar & Zuidema 2020).",
        all_slots=True,
        has_heads=False,
    ),
    "gradient x attention": Measure(
        "weight x gradient",
        "Gradient x attention: a first-order estimate of how much the edge raises the loss on the "
        "response (Michel et al. 2019). Below zero, the edge lowers the loss.",
        signed=True,
        gradient=True,
    ),
}

DIRECTIONS: Final[Mapping[str, Direction]] = {
    "text → latent": Direction("text", "latent"),
    "latent → text": Direction("latent", "text"),
    "latent → latent": Direction("latent", "latent"),
}


class Cell(NamedTuple):
    """One map: a layer and a head as the backbone counts them; None for all heads."""

    layer: int
    head: int | None


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """A record, and the measures computed from it.

    Attributes:
        record: the attention.
        whole: the maps that these are a part of, if they hold some of its slots alone.
        some: those slots.
    """

    record: AttentionRecord
    whole: AttentionMaps | None = None
    some: tuple[int, ...] = ()
    _overviews: dict[tuple[str, Direction], FloatArray] = field(default_factory=dict)
    _parts: dict[tuple[int, ...], AttentionMaps] = field(default_factory=dict)

    @property
    def places(self) -> tuple[int, ...]:
        """The slots of the capture that these maps hold."""
        return tuple(range(len(self.record.slots))) if self.whole is None else self.some

    @cached_property
    def _rollout(self) -> FloatArray:
        """(L, 1, T, T). The heads' mean is taken first: in float64 all heads would be large."""
        mean = self.record.weights.mean(dim=1, keepdim=True).double().numpy()
        return attention_rollout(mean).astype(np.float32)[:, None]

    def prepare(self, measure: str, direction: Direction) -> None:
        """Compute the slow part now, so that drawing is quick."""
        self.overview(measure, direction)

    def is_prepared(self, measure: str) -> bool:
        """Whether drawing a measure is quick."""
        if self.whole is not None:
            return self.whole.is_prepared(measure)
        return measure != "rollout" or "_rollout" in vars(self)

    def layer(self, measure: str, layer: int) -> FloatArray:
        """(H, T, M) of one layer; H is 1 where heads are taken together.

        Raises:
            SettingError: if the record lacks what the measure needs.
        """
        if self.whole is not None:  # a measure may rest on slots that are left out
            wanted = {self.some[key] for key in self.record.keys}
            columns = [n for n, key in enumerate(self.whole.record.keys) if key in wanted]
            return self.whole.layer(measure, layer)[:, list(self.some)][:, :, columns]
        if measure == "rollout":
            return self._rollout[self.record.layers.index(layer)]
        one = self.record.select(layers=[layer])
        if measure == "value-weighted":
            return np.asarray(one.value_weighted()[0].numpy())
        if measure == "gradient x attention":
            return np.asarray(one.gradient_weighted()[0].numpy())
        return np.asarray(one.weights[0].numpy())

    def edges(self, direction: Direction) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The slots of a direction's queries, and the columns of its keys."""
        latent = self.record.is_latent
        chosen = latent
        if direction.group is not None:
            chosen = np.array([slot.group == direction.group for slot in self.record.slots], bool)
        if direction.target == "latent":
            queries, keys = latent if direction.source == "latent" else ~latent, chosen
        else:
            queries, keys = chosen, ~latent
        if direction.skip_first:
            keys = keys.copy()
            keys[0] = False
        return np.flatnonzero(queries), np.flatnonzero(keys[list(self.record.keys)])

    def overview(self, measure: str, direction: Direction) -> FloatArray:
        """(L, H): the measure summed over target slots, averaged over source slots."""
        if (measure, direction) not in self._overviews:
            queries, columns = self.edges(direction)
            layers = [self.layer(measure, layer) for layer in self.record.layers]
            if len(queries) and len(columns):
                means = [m[:, queries[:, None], columns].sum(-1).mean(-1) for m in layers]
            else:
                means = [np.full(len(m), np.nan, np.float32) for m in layers]
            self._overviews[measure, direction] = np.stack(means)
        return self._overviews[measure, direction]

    def head(
        self, measure: str, cell: Cell, direction: Direction | None
    ) -> tuple[FloatArray, tuple[int, ...], tuple[int, ...]]:
        """One map: values (Q, K), NaN where a key is after its query, slots of queries and of keys.

        Args:
            measure: one of `MEASURES`.
            cell: which map.
            direction: only its edges; None for all slots.
        """
        maps = self.layer(measure, cell.layer)
        values = maps[0 if cell.head is None else self.record.heads.index(cell.head)]
        everything = np.arange(len(self.record.slots)), np.arange(len(self.record.keys))
        queries, columns = everything if direction is None else self.edges(direction)
        keys = np.array(self.record.keys, dtype=np.int64)[columns]
        chosen = values[np.ix_(queries, columns)].copy()
        chosen[keys[None, :] > queries[:, None]] = np.nan
        return chosen, tuple(queries.tolist()), tuple(keys.tolist())

    def by_group(self, direction: Direction) -> pd.DataFrame:
        """Raw weight by latent group: columns `group`, `layer`, `head`, `mass`.

        From text onto each group (as `AttentionRecord.by_group`), from latents onto each group, or
        from each group onto text. The direction's own group does not matter.
        """
        record = self.record
        queries, columns = self.edges(direction._replace(group=None, skip_first=False))
        weights = record.weights.numpy()
        names = [slot.group for slot in record.slots]
        rows = []
        for group in record.groups:
            if direction.target == "latent":
                chosen_queries = queries
                chosen = np.array([c for c in columns if names[record.keys[c]] == group], int)
            else:
                chosen_queries = np.array([q for q in queries if names[q] == group], int)
                chosen = columns
            # Both at once: only these edges are copied, of what may be hundreds of megabytes.
            mass = weights[:, :, chosen_queries[:, None], chosen].sum(-1).mean(-1)  # (L, H)
            rows += [
                (group, layer, head, float(mass[i, j]))
                for i, layer in enumerate(record.layers)
                for j, head in enumerate(record.heads)
            ]
        return pd.DataFrame(rows, columns=["group", "layer", "head", "mass"])

    def only(self, places: Sequence[int]) -> AttentionMaps:
        """The same without the slots that are not among `places`, which ascend."""
        some = tuple(places)
        if len(some) == len(self.record.slots):
            return self
        if some not in self._parts:
            self._parts[some] = AttentionMaps(_only(self.record, some), self, some)
        return self._parts[some]


def difference(a: AttentionMaps, b: AttentionMaps) -> tuple[AttentionMaps, AttentionMaps, str]:
    """Cut two captures to the slots that both have, so that their maps may be subtracted.

    Returns:
        both, and a note on the slots that were left out, if any.

    Raises:
        SettingError: if the two have no slots in common; with the reason.
    """
    one, other = a.record, b.record
    if one.layout != other.layout:
        raise SettingError(
            f"A - B is not defined slot by slot: A places {one.layout or 'no latents'}, B "
            f"{other.layout or 'no latents'}, so their slots differ. Choose two adapters of the "
            "same layout, or compare the overviews"
        )
    common = _common(one.slots, other.slots)
    if common == len(one.slots) == len(other.slots):
        return a, b, ""
    if not common:
        raise SettingError("A - B is not defined: A and B differ at the first slot already")
    note = (
        f"A and B generated different responses. Only the first {common} slots are compared, which "
        f"both have; {len(one.slots) - common} of A and {len(other.slots) - common} of B are left "
        "out."
    )
    return a.only(range(common)), b.only(range(common)), note


def aligned(a: AttentionMaps, b: AttentionMaps) -> tuple[AttentionMaps, AttentionMaps, str]:
    """Cut two captures of one text, under different interventions, to the slots that both have.

    Returns:
        both, and a note on the slots that were left out, if any.
    """
    sides = [_by_name(one.record.slots) for one in (a, b)]
    shared = [name for name in sides[0] if name in sides[1]]
    places = [[side[name] for name in shared] for side in sides]
    out = [len(side) - len(kept) for side, kept in zip(sides, places, strict=True)]
    note = ""
    if any(out):
        note = (
            f"Slots that one run lacks are left out: {out[0]} of the intervened run and {out[1]} "
            "of the clean one."
        )
    return a.only(places[0]), b.only(places[1]), note


def _common(one: tuple[SlotView, ...], other: tuple[SlotView, ...]) -> int:
    """The number of slots that both begin with."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (x, y) in enumerate(pairs) if x != y), min(len(one), len(other)))


def _by_name(slots: Sequence[SlotView]) -> dict[tuple[int, str], int]:
    """The place of each slot by the number of the next verbal token and its own label."""
    found, verbal = {}, 0
    for place, slot in enumerate(slots):
        found[verbal, slot.label if slot.group is not None else ""] = place
        verbal += slot.group is None
    return found


def _only(record: AttentionRecord, places: tuple[int, ...]) -> AttentionRecord:
    """The slots at `places`, as queries and as keys."""
    number = {place: n for n, place in enumerate(places)}
    columns: Any = [n for n, key in enumerate(record.keys) if key in number]
    rows: Any = list(places)
    if places == tuple(range(len(places))):  # of the first slots nothing is copied
        rows, columns = slice(0, len(places)), slice(0, len(columns))
    gradients, norms = record.gradients, record.norms
    return replace(
        record,
        weights=record.weights[:, :, rows][..., columns],
        totals=record.totals[:, :, rows],
        norms=None if norms is None else norms[:, :, columns],
        gradients=None if gradients is None else gradients[:, :, rows][..., columns],
        slots=tuple(record.slots[place] for place in places),
        keys=tuple(number[key] for key in record.keys if key in number),
        prompt_length=sum(place < record.prompt_length for place in places),
    )
