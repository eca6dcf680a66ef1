"""The quantities of the attention panel, as arrays: measures of edges, by head and by slot.

Axes as in `AttentionRecord`: L layers, H heads, T slots as queries, M key slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Literal, NamedTuple

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
    """A record, and the measures computed from it."""

    record: AttentionRecord
    _overviews: dict[tuple[str, Direction], FloatArray] = field(default_factory=dict)
    _shorter: dict[int, AttentionMaps] = field(default_factory=dict)

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
        return measure != "rollout" or "_rollout" in vars(self)

    def layer(self, measure: str, layer: int) -> FloatArray:
        """(H, T, M) of one layer; H is 1 where heads are taken together.

        Raises:
            SettingError: if the record lacks what the measure needs.
        """
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

    def first(self, count: int) -> AttentionMaps:
        """The same without the slots from `count` on; attention never looks ahead."""
        if count not in self._shorter:
            self._shorter[count] = AttentionMaps(_first(self.record, count))
        return self._shorter[count]


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
    return a.first(common), b.first(common), note


def _common(one: tuple[SlotView, ...], other: tuple[SlotView, ...]) -> int:
    """The number of slots that both begin with."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (x, y) in enumerate(pairs) if x != y), min(len(one), len(other)))


def _first(record: AttentionRecord, count: int) -> AttentionRecord:
    """Queries and keys below `count`."""
    keys = tuple(key for key in record.keys if key < count)
    width = len(keys)  # keys ascend, so those that stay come first
    gradients, norms = record.gradients, record.norms
    return replace(
        record,
        weights=record.weights[:, :, :count, :width],
        totals=record.totals[:, :, :count],
        norms=None if norms is None else norms[:, :, :width],
        gradients=None if gradients is None else gradients[:, :, :count, :width],
        slots=record.slots[:count],
        keys=keys,
        prompt_length=min(record.prompt_length, count),
    )
