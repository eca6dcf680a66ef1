"""The record of a capture: attention onto chosen key slots, with the name of every slot.

Attention says where a model looks, not what it uses. Set these views beside the effect of cutting
the same edges. Axes: L layers, H heads, T slots as queries, M key slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from latent_core.attention.files import read_record, write_record
from latent_core.attention.rollout import attention_flow, attention_rollout
from latent_core.backbones.layers import pick
from latent_core.errors import SettingError
from latent_core.slots.views import SlotView

__all__ = ["AttentionRecord"]

TENSORS = ("weights", "totals", "norms", "gradients")


@dataclass(frozen=True, eq=False)
class AttentionRecord:
    """Attention of one example onto chosen key slots.

    Attributes:
        weights: (L, H, T, M) fp32 on the CPU; 0 where a query may not look.
        totals: (L, H, T) fp32, the weight on all T slots: 1, less where an attention sink takes
            some (GPT-OSS).
        norms: (L, H, M) fp32, length of each key's value after the output projection; None where
            the family or the route does not give it.
        gradients: (L, H, T, M) fp32, derivative of `gradient_of` by each weight; None if not asked.
        slots: all T slots: label, group, occurrence, position id, token id.
        keys: M indices into `slots`, the captured columns.
        layers, heads: indices of what was captured.
        num_layers, num_heads: how many layers of the backbone attend, and their heads.
        prompt_length: slots up to and with the prompt's last verbal token; the others follow it.
        layout, backbone: what was looked at.
        gradient_of: what `gradients` derives.
        route: `columns`, or `eager` where the family's attention could only be had from
            `output_attentions=True`, with its full maps.
        note: what else a reader should know, such as that no latents were placed.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_1")
        >>> record = lc.capture_attention(model, "a=1,b=2,", "1.")
        >>> record.weights.shape  # (L, H, T, M)
        torch.Size([4, 4, 14, 3])
        >>> record.mass().columns.tolist()
        ['layer', 'head', 'source', 'target', 'mass']
    """

    weights: Tensor
    totals: Tensor
    norms: Tensor | None
    gradients: Tensor | None
    slots: tuple[SlotView, ...]
    keys: tuple[int, ...]
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    num_layers: int
    num_heads: int
    prompt_length: int
    layout: str
    backbone: str
    gradient_of: str | None = None
    route: str = "columns"
    note: str = ""

    def __post_init__(self) -> None:
        rows = (len(self.layers), len(self.heads))
        shape = (*rows, len(self.slots), len(self.keys))
        wanted = {"weights": shape, "totals": shape[:3], "gradients": shape}
        wanted["norms"] = (*rows, len(self.keys))
        for name, expected in wanted.items():
            tensor = getattr(self, name)
            if tensor is not None and tuple(tensor.shape) != expected:
                raise ValueError(f"{name}: expected {expected}, got {tuple(tensor.shape)}")

    # --- names ------------------------------------------------------------------------------------

    @property
    def labels(self) -> tuple[str, ...]:
        """Label of each slot: `Comma.1` at a latent, the token's text elsewhere."""
        return tuple(slot.label for slot in self.slots)

    @property
    def groups(self) -> tuple[str, ...]:
        """Latent groups among the key slots, in order of appearance."""
        return tuple(dict.fromkeys(g for k in self.keys if (g := self.slots[k].group) is not None))

    @property
    def is_latent(self) -> NDArray[np.bool_]:
        """(T,), whether each slot holds a latent."""
        return np.array([slot.group is not None for slot in self.slots], dtype=bool)

    @property
    def _latent_columns(self) -> NDArray[np.bool_]:
        """(M,)."""
        return self.is_latent[list(self.keys)]

    def select(
        self, layers: Sequence[int] | int | None = None, heads: Sequence[int] | int | None = None
    ) -> AttentionRecord:
        """The same record with fewer layers and heads, by their indices in the backbone.

        Raises:
            SettingError: if one was not captured.
        """
        kept = pick("layer", layers, self.layers, "this record")
        shown = pick("head", heads, self.heads, "this record")
        rows = [self.layers.index(layer) for layer in kept]
        columns = [self.heads.index(head) for head in shown]
        tensors = {name: getattr(self, name) for name in TENSORS}
        chosen: dict[str, Any] = {
            n: None if t is None else t[rows][:, columns] for n, t in tensors.items()
        }
        return replace(self, layers=kept, heads=shown, **chosen)

    # --- views, each (L, H, T, M) -----------------------------------------------------------------

    def value_weighted(self) -> Tensor:
        """Length of what each key adds to each query's residual stream: ||a_ij v_j W_O||.

        Kobayashi et al. 2020 (arXiv 2004.10102), eq. 5, per head. A norm that some families put
        after the output projection (Gemma 2, OLMo 2) is left out, as there.

        Raises:
            SettingError: if the record has no value norms.
        """
        if self.norms is None:
            raise SettingError(
                f"no value norms in this record: {self.backbone} has no plain output projection "
                f"that is known here, or took the {self.route!r} route"
            )
        return self.weights * self.norms.unsqueeze(2)

    def gradient_weighted(self) -> Tensor:
        """Gradient x attention: a_ij times d `gradient_of` / d a_ij, signed.

        To first order, minus what `gradient_of` would change by if the weight went to zero, the
        others staying. Its absolute value is the saliency of Michel et al. 2019 (arXiv 1905.10650)
        and Wang et al. 2023 (arXiv 2305.14160, eq. 1).

        Raises:
            SettingError: if the record was captured without gradients.
        """
        if self.gradients is None:
            raise SettingError(
                "no gradients in this record; capture it with gradient='loss' or with gradient=i "
                "for the logit of response token i"
            )
        return self.weights * self.gradients

    # --- across layers ----------------------------------------------------------------------------

    def rollout(self, residual: float = 0.5) -> NDArray[np.float64]:
        """(L, T, T), share of each input slot in each slot after each layer.

        Abnar & Zuidema 2020 (arXiv 2005.00928), eq. 1; see `attention_rollout`.

        Raises:
            SettingError: unless every slot, layer and head was captured.
        """
        return attention_rollout(self._maps("rollout"), residual)

    def flow(self, query: int, residual: float = 0.5) -> NDArray[np.float64]:
        """(T,), maximum flow from slot `query` after the last layer to each input slot.

        Abnar & Zuidema 2020, section 3.2; see `attention_flow`.

        Raises:
            SettingError: unless every slot, layer and head was captured, and `query` is a slot.
        """
        if not 0 <= query < len(self.slots):
            raise SettingError(f"slot {query} does not exist; there are {len(self.slots)} slots")
        return attention_flow(self._maps("flow"), query, residual)

    def _maps(self, view: str) -> NDArray[np.float64]:
        complete = (
            self.keys == tuple(range(len(self.slots)))
            and len(self.layers) == self.num_layers
            and len(self.heads) == self.num_heads
        )
        if not complete:
            raise SettingError(
                f"{view} follows attention through every slot, layer and head; capture with "
                "of='all' and all layers and heads"
            )
        return self.weights.double().numpy()

    # --- tables -----------------------------------------------------------------------------------

    def mass(self) -> pd.DataFrame:
        """Weight from text and from latents onto latents and onto text, per layer and head.

        Columns `layer`, `head`, `source` and `target` (`text` or `latent`), `mass`: the mean over
        the source's query slots of the weight that each puts on all target slots together. NaN
        where there is no such query. Over both targets it sums to 1, less what sinks take.

        Raises:
            SettingError: if some latent was not among the captured keys.
        """
        if missing := set(np.flatnonzero(self.is_latent)) - set(self.keys):
            raise SettingError(
                f"mass needs every latent slot as a key; slot {min(missing)} "
                f"({self.labels[min(missing)]}) was not captured: use of='latents' or of='all'"
            )
        onto_latents = self.weights.numpy()[..., self._latent_columns].sum(axis=-1)  # (L, H, T)
        rows = []
        for source, queries in (("text", ~self.is_latent), ("latent", self.is_latent)):
            latent = _mean_over_queries(onto_latents, queries)
            total = _mean_over_queries(self.totals.numpy(), queries)
            rows += [(source, "latent", latent), (source, "text", total - latent)]
        return self._stack(("source", "target"), rows)

    def by_group(self) -> pd.DataFrame:
        """Weight of verbal slots onto each latent group, per layer and head.

        Columns `layer`, `head`, `group`, `mass` (mean over verbal queries of the weight that each
        puts on the group's captured slots together), `share` (of all groups' mass).
        """
        key_groups = np.array([self.slots[key].group or "" for key in self.keys], dtype=object)
        return self._shares("group", [(name, key_groups == name) for name in self.groups])

    def by_distance(self, edges: Sequence[int] = (1, 2, 4, 8, 16, 32, 64)) -> pd.DataFrame:
        """Weight of verbal slots onto the captured keys by distance, query minus key, in slots.

        Columns `layer`, `head`, `distance` (`0`, `1`, `2-3`, ...), `mass` (mean over verbal queries
        of the weight that each puts on keys so far back), `share` (of all distances' mass).

        Args:
            edges: where buckets after the first begin, ascending, from at least 1.
        """
        if not edges or list(edges) != sorted(set(edges)) or edges[0] < 1:
            raise SettingError(f"edges={edges}; expected ascending whole numbers from at least 1")
        starts = [0, *edges]
        stops: list[float] = [*starts[1:], np.inf]
        distance = np.arange(len(self.slots))[:, None] - np.array(self.keys, dtype=int)[None, :]
        parts = []
        for start, stop in zip(starts, stops, strict=True):
            name = f"{start}+" if stop == np.inf else f"{start}-{int(stop) - 1}"
            name = str(start) if stop == start + 1 else name
            parts.append((name, (distance >= start) & (distance < stop)))
        return self._shares("distance", parts)

    def to_frame(self) -> pd.DataFrame:
        """One row per layer, head, query slot and key slot that is not after it.

        Columns: `layer`, `head`, `query`, `query_label`, `query_group`, `key`, `key_label`,
        `key_group`, `key_occurrence`, `distance` (query - key in slots), `weight`, and
        `value_weighted` and `gradient_weighted` where the record has them. Groups are missing at
        verbal slots. Use `select` first where L x H x T x M is more than memory holds.
        """
        keys = np.array(self.keys, dtype=np.int64)
        query, column = np.nonzero(np.arange(len(self.slots))[:, None] >= keys[None, :])
        pairs, (num_layers, num_heads) = len(query), self.weights.shape[:2]
        maps = num_layers * num_heads
        labels = pd.Categorical(list(self.labels))
        groups = pd.Categorical([slot.group for slot in self.slots])
        occurrence = pd.array([slot.occurrence for slot in self.slots], dtype="Int32")
        key = keys[column]
        values = {"weight": self.weights}
        if self.norms is not None:
            values["value_weighted"] = self.value_weighted()
        if self.gradients is not None:
            values["gradient_weighted"] = self.gradient_weighted()
        queries, sources = np.tile(query, maps), np.tile(key, maps)
        return pd.DataFrame(
            {
                "layer": np.repeat(np.array(self.layers, dtype=np.int64), num_heads * pairs),
                "head": np.tile(np.repeat(np.array(self.heads, dtype=np.int64), pairs), num_layers),
                "query": queries,
                "query_label": labels[queries],
                "query_group": groups[queries],
                "key": sources,
                "key_label": labels[sources],
                "key_group": groups[sources],
                "key_occurrence": occurrence[sources],
                "distance": queries - sources,
            }
            | {name: view.numpy()[:, :, query, column].reshape(-1) for name, view in values.items()}
        )

    def _shares(self, name: str, parts: Sequence[tuple[str, NDArray[np.bool_]]]) -> pd.DataFrame:
        """Mass of verbal queries on parts of the columns, each a mask (M,) or (T, M)."""
        weights, queries = self.weights.numpy(), ~self.is_latent
        rows = [
            (label, _mean_over_queries((weights * part).sum(axis=-1), queries))
            for label, part in parts
        ]
        frame = self._stack((name,), rows)
        total = frame.groupby(["layer", "head"])["mass"].transform("sum")
        return frame.assign(share=frame["mass"] / total)

    def _stack(self, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
        """Rows (value of each name, ..., masses (L, H)) as a tidy frame."""
        records = [
            (layer, head, *values, masses[number, column])
            for *values, masses in rows
            for number, layer in enumerate(self.layers)
            for column, head in enumerate(self.heads)
        ]
        frame = pd.DataFrame(records, columns=["layer", "head", *names, "mass"])
        return frame.astype({"mass": np.float64})

    # --- files ------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write one safetensors file; whoever reads sees the old file or the new one, never half.

        Raises:
            SettingError: if it cannot be written.
        """
        tensors = {
            name: tensor.contiguous()
            for name in TENSORS
            if (tensor := getattr(self, name)) is not None
        }
        notes = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in TENSORS}
        return write_record(path, tensors, notes)

    @classmethod
    def load(cls, path: str | Path) -> AttentionRecord:
        """Read what `save` wrote.

        Raises:
            SettingError: if it is missing, damaged, or another kind of file.
        """
        tensors, notes = read_record(path)
        content: dict[str, Any] = {name: tensors.get(name) for name in TENSORS}
        try:
            slots = tuple(SlotView(*slot) for slot in notes.pop("slots"))
            content |= {n: tuple(v) if isinstance(v, list) else v for n, v in notes.items()}
            return cls(slots=slots, **content)
        except (KeyError, TypeError, ValueError) as error:
            raise SettingError(f"{path} holds no whole attention record: {error}") from error

    def __str__(self) -> str:
        shape = "L={} H={} T={} M={}".format(*self.weights.shape)
        note = f"; {self.note}" if self.note else ""
        return f"AttentionRecord({self.layout} on {self.backbone}: {shape}, {self.route}{note})"

    __repr__ = __str__


def _mean_over_queries(values: NDArray[Any], queries: NDArray[np.bool_]) -> NDArray[Any]:
    """(L, H, T) -> (L, H), NaN without any query."""
    if not queries.any():
        return np.full(values.shape[:2], np.nan)
    return values[:, :, queries].mean(axis=-1)
