"""The cache of a batch while it decodes: it grows in place, drops holes, and takes in new rows.

Every column of the cache holds one slot of each row. A row that had none to feed in a pass, or
began later than its neighbours, has a hole there, which the mask hides. Holes cost time in every
further pass. So the slots of a row are moved together, to the right end, once that makes the cache
narrower. Keys carry their positions in them, so that a slot may stand in any column.

Only attention over all slots may be changed so. A sliding window counts columns.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

__all__ = ["decoding_cache", "is_movable", "join", "move_together"]

#: Further columns that are kept free, so that most passes copy nothing.
_SPARE = 32


class _GrowingLayer(DynamicLayer):
    """Keys and values in tensors with room for more; a pass writes its own and copies none.

    It keeps no gradients. `keys` and `values` are those so far, as in any `DynamicLayer`. Whoever
    replaces them gets new room at the next pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys, self._values = _Room(), _Room()

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """See `DynamicLayer.update`."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._keys.append(self.keys, key_states)
        self.values = self._values.append(self.values, value_states)
        return self.keys, self.values


class _Room:
    """A tensor (B, H, capacity, D), whose first columns are in use."""

    def __init__(self) -> None:
        self._whole: Tensor | None = None
        self._used: Tensor | None = None

    def append(self, old: Tensor | None, new: Tensor) -> Tensor:
        """`old` (B, H, T, D), or empty, and `new` after it.

        It is a view of the room where `old` is what this gave last.
        """
        length = 0 if old is None or not old.numel() else old.shape[-2]
        end = length + new.shape[-2]
        whole = self._whole
        if whole is None or old is not self._used or end > whole.shape[-2]:
            whole = new.new_empty(*new.shape[:-2], end + _SPARE, new.shape[-1])
            if old is not None and length:
                whole[..., :length, :] = old
        whole[..., length:end, :] = new
        self._whole, self._used = whole, whole[..., :end, :]
        return self._used


def decoding_cache(config: PreTrainedConfig) -> DynamicCache:
    """An empty cache for decoding with a model of this config, without gradients."""
    cache = DynamicCache(config=config)
    cache.layers = [_GrowingLayer() if type(one) is DynamicLayer else one for one in cache.layers]
    return cache


def is_movable(cache: Cache) -> bool:
    """Whether every layer keeps all slots, so that columns may be moved, dropped and added."""
    return bool(cache.layers) and all(
        type(layer) in (DynamicLayer, _GrowingLayer) for layer in cache.layers
    )


def move_together(cache: Cache, mask: Tensor) -> Tensor:
    """Move each row's slots to the right end, in their order, and drop columns without any.

    Args:
        cache: a movable one; changed in place.
        mask: (B, T), 1 at slots and 0 at holes. The cache may have further columns before these,
            without holes, such as those of a prefix.

    Returns:
        the mask of what is left, (B, the slots of the longest row).
    """
    width = int(mask.sum(dim=1).max())
    places = mask.sort(dim=1, stable=True).indices[:, mask.shape[1] - width :]  # holes come first
    before = cache.get_seq_length() - mask.shape[1]
    first = torch.arange(before, device=mask.device).expand(len(mask), before)
    columns = torch.cat([first, before + places], dim=1)
    rows = torch.arange(len(mask), device=mask.device).unsqueeze(1)
    for layer in _layers(cache):
        layer.keys, layer.values = (
            states.transpose(1, 2)[rows.to(states.device), columns.to(states.device)]
            .transpose(1, 2)
            .contiguous()
            for states in _states(layer)
        )
    return mask.gather(1, places)


def join(cache: Cache, mask: Tensor, other: Cache, other_mask: Tensor) -> Tensor:
    """Take the rows of another cache in, below one's own.

    Args:
        cache: a movable one; changed in place.
        mask: (B, T), as in `move_together`.
        other, other_mask: those of the rows to take in, of the same model: (B', T').

    Returns:
        the mask of all rows, (B + B', the larger of T and T'). Rows of the narrower cache have
        holes on the left, after the columns of a prefix.
    """
    before = cache.get_seq_length() - mask.shape[1]
    width = max(mask.shape[1], other_mask.shape[1])
    for own, new in zip(_layers(cache), _layers(other), strict=True):
        own.keys, own.values = (
            torch.cat([_widened(one, before, width) for one in pair])
            for pair in zip(_states(own), _states(new), strict=True)
        )
    return torch.cat([_widened_mask(mask, width), _widened_mask(other_mask, width)])


def _layers(cache: Cache) -> list[DynamicLayer]:
    """Those that hold something; a layer that reads the keys of another one holds nothing."""
    layers = [one for one in cache.layers if isinstance(one, DynamicLayer)]
    return [one for one in layers if one.keys is not None]


def _states(layer: DynamicLayer) -> tuple[Tensor, Tensor]:
    assert layer.keys is not None and layer.values is not None
    return layer.keys, layer.values


def _widened(states: Tensor, before: int, width: int) -> Tensor:
    """States (B, H, before + T, D) with holes, zeros, after the first columns."""
    count = before + width - states.shape[-2]
    if not count:
        return states
    holes = states.new_zeros(*states.shape[:-2], count, states.shape[-1])
    return torch.cat([states[..., :before, :], holes, states[..., before:, :]], dim=-2)


def _widened_mask(mask: Tensor, width: int) -> Tensor:
    return torch.cat([mask.new_zeros(len(mask), width - mask.shape[1]), mask], dim=1)
