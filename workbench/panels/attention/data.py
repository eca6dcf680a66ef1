"""What the attention panel shows, as arrays: measures, directions, overviews, maps, differences.

Axes as in `AttentionRecord`: L layers, H heads, T slots as queries, M key slots. Knows no widgets,
no models and no jobs.
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

__all__ = ["DIRECTIONS", "MEASURES", "Captured", "Cell", "Direction", "Measure", "difference"]

Array = NDArray[np.float32]
Kind = Literal["text", "latent"]


class Measure(NamedTuple):
    """A number for each edge from a query slot to a key slot.

    Attributes:
        name: what one value is called.
        says: what it means, in a sentence.
        signed: whether it may be below zero.
        all_slots: whether it takes every slot as a key to compute.
        gradient: whether it takes a backward pass.
        has_heads: whether each head has a map of its own.
    """

    name: str
    says: str
    signed: bool = False
    all_slots: bool = False
    gradient: bool = False
    has_heads: bool = True


class Direction(NamedTuple):
    """The edges that are looked at: queries of one kind, keys of one kind.

    Attributes:
        source, target: the kinds of query and key.
        group: of the latents that are looked at, or that look at text, those of this group; None
            for all.
    """

    source: Kind
    target: Kind
    group: str | None = None

    def __str__(self) -> str:
        group = self.group or "latent"
        if self.target == "latent":
            return f"{self.source} → {group}"
        return f"{group} → {self.target}"


MEASURES: Final[Mapping[str, Measure]] = {
    "raw": Measure(
        "weight", "Raw: the share of its attention that a query slot gives to a key slot."
    ),
    "value-weighted": Measure(
        "length",
        "Value-weighted: how long the vector is that a key adds to a query's residual stream "
        "(Kobayashi et al. 2020); a bright raw weight on a short value adds little.",
    ),
    "rollout": Measure(
        "share",
        "Rollout: the share of each input slot in a slot after this layer, attention of all heads "
        "averaged and multiplied through the layers (Abnar & Zuidema 2020).",
        all_slots=True,
        has_heads=False,
    ),
    "gradient x attention": Measure(
        "weight x gradient",
        "Gradient x attention: to first order, minus what the loss on the response would change "
        "by without the edge; below zero, the edge lowers the loss (Michel et al. 2019).",
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
class Captured:
    """A record, and the views of it that a panel draws."""

    record: AttentionRecord
    _overviews: dict[tuple[str, Direction], Array] = field(default_factory=dict)
    _shorter: dict[int, Captured] = field(default_factory=dict)

    @cached_property
    def _rollout(self) -> Array:
        """(L, 1, T, T). The heads' mean is taken first: in float64 all heads would be large."""
        mean = self.record.weights.mean(dim=1, keepdim=True).double().numpy()
        return attention_rollout(mean).astype(np.float32)[:, None]

    def prepare(self, measure: str, direction: Direction) -> None:
        """Compute what takes long, so that it is at hand afterwards."""
        self.overview(measure, direction)

    def is_prepared(self, measure: str) -> bool:
        """Whether whatever is drawn of a measure is quick."""
        return measure != "rollout" or "_rollout" in vars(self)

    def maps(self, measure: str, layer: int) -> Array:
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
        """Slots of the direction's queries, and columns of its keys."""
        latent = self.record.is_latent
        chosen = latent
        if direction.group is not None:
            chosen = np.array([slot.group == direction.group for slot in self.record.slots], bool)
        if direction.target == "latent":
            queries, keys = latent if direction.source == "latent" else ~latent, chosen
        else:
            queries, keys = chosen, ~latent
        return np.flatnonzero(queries), np.flatnonzero(keys[list(self.record.keys)])

    def overview(self, measure: str, direction: Direction) -> Array:
        """(L, H): what a source's query slot puts on all target slots together, on average."""
        if (measure, direction) not in self._overviews:
            queries, columns = self.edges(direction)
            layers = [self.maps(measure, layer) for layer in self.record.layers]
            if len(queries) and len(columns):
                means = [m[:, queries[:, None], columns].sum(-1).mean(-1) for m in layers]
            else:
                means = [np.full(len(m), np.nan, np.float32) for m in layers]
            self._overviews[measure, direction] = np.stack(means)
        return self._overviews[measure, direction]

    def head(
        self, measure: str, cell: Cell, direction: Direction | None
    ) -> tuple[Array, tuple[int, ...], tuple[int, ...]]:
        """One map: values (Q, K), NaN where a key is after its query, slots of queries and of keys.

        Args:
            measure: one of `MEASURES`.
            cell: which map.
            direction: only its edges; None for all slots.
        """
        maps = self.maps(measure, cell.layer)
        values = maps[0 if cell.head is None else self.record.heads.index(cell.head)]
        everything = np.arange(len(self.record.slots)), np.arange(len(self.record.keys))
        queries, columns = everything if direction is None else self.edges(direction)
        keys = np.array(self.record.keys, dtype=np.int64)[columns]
        chosen = values[np.ix_(queries, columns)].copy()
        chosen[keys[None, :] > queries[:, None]] = np.nan
        return chosen, tuple(queries.tolist()), tuple(keys.tolist())

    def by_group(self, direction: Direction) -> pd.DataFrame:
        """Raw weight by the latents' group: `group`, `layer`, `head`, `mass`.

        Of text onto each group (as `AttentionRecord.by_group`), of latents onto each group, or of
        each group onto text; the direction's own group does not matter.
        """
        record = self.record
        queries, columns = self.edges(direction._replace(group=None))
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

    def first(self, count: int) -> Captured:
        """The same capture without the slots from `count` on; attention never looks ahead."""
        if count not in self._shorter:
            self._shorter[count] = Captured(_first(self.record, count))
        return self._shorter[count]


def difference(a: Captured, b: Captured) -> tuple[Captured, Captured, str]:
    """Two captures cut to the slots that both have, so that their maps may be subtracted.

    Returns:
        both, and what was left out, if anything.

    Raises:
        SettingError: if no slot of one is a slot of the other; with the reason.
    """
    one, other = a.record, b.record
    if one.layout != other.layout:
        raise SettingError(
            f"A - B is not defined slot by slot: A places {one.layout or 'no latents'}, B "
            f"{other.layout or 'no latents'}, so a slot of one is not a slot of the other. Choose "
            "two adapters of the same layout, or compare the overviews"
        )
    common = _common(one.slots, other.slots)
    if common == len(one.slots) == len(other.slots):
        return a, b, ""
    if not common:
        raise SettingError("A - B is not defined: the two share no slot from the start on")
    note = (
        f"A and B wrote different responses: the first {common} slots, which both have, are "
        f"compared; {len(one.slots) - common} of A and {len(other.slots) - common} of B are not."
    )
    return a.first(common), b.first(common), note


def _common(one: tuple[SlotView, ...], other: tuple[SlotView, ...]) -> int:
    """How many slots both begin with."""
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
