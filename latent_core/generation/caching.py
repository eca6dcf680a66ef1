"""The cache of a batch while it decodes: it grows in place, drops holes, and takes in new rows.

Every column of the cache holds one slot of each row. A row that had none to feed in a pass, or
began later than its neighbours, has a hole there, which the mask hides. Holes cost time in every
further pass. So the slots of a row are moved together, to the right end, once that makes the cache
narrower. Keys carry their positions in them, so that a slot may stand in any column.

Only attention over all slots may be changed so. A sliding window counts columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

from latent_core.backbones.kernels import tell_room

__all__ = ["decoding_cache", "is_movable", "join", "move_together"]

#: Columns that new room has to spare, so that most passes copy nothing.
_SPARE = 16


class _GrowingLayer(DynamicLayer):
    """Keys and values in tensors with room for more; a pass writes its own and copies none.

    It keeps no gradients. `keys` and `values` are those so far, as in any `DynamicLayer`. Whoever
    replaces them gets new room at the next pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._rooms = _Room(), _Room()

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """See `DynamicLayer.update`."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, values = self._rooms
        self.keys = keys.append(self.keys, key_states)
        self.values = values.append(self.values, value_states)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """See `DynamicLayer.batch_select_indices`."""
        if self.is_initialized:
            self._replace(lambda room, states: room.select(states, indices.to(states.device)))

    def pick(self, columns: Tensor) -> None:
        """Of each row keep the slots at these columns, (B, T), in this order."""
        self._replace(lambda room, states: room.pick(states, columns.to(states.device)))

    def join(self, other: _GrowingLayer, before: int, width: int) -> None:
        """Take the rows of another layer in, below one's own; see the function `join`."""
        assert self.keys is not None and self.values is not None
        assert other.keys is not None and other.values is not None
        keys, values = self._rooms
        self.keys = keys.join([self.keys, other.keys], before, width)
        self.values = values.join([self.values, other.values], before, width)

    def _replace(self, changed: Callable[[_Room, Tensor], Tensor]) -> None:
        keys, values = self._rooms
        assert self.keys is not None and self.values is not None
        self.keys, self.values = changed(keys, self.keys), changed(values, self.values)


class _Room:
    """A tensor (B, H, capacity, D), whose first columns are in use.

    Methods take what this gave last, or something that somebody put in its place, and give a view
    of the room.
    """

    def __init__(self) -> None:
        self._whole: Tensor | None = None
        self._used: Tensor | None = None

    def append(self, old: Tensor | None, new: Tensor) -> Tensor:
        """`old` (B, H, T, D), or empty, and `new` after it."""
        length = 0 if old is None or not old.numel() else old.shape[-2]
        end = length + new.shape[-2]
        whole = self._whole
        if whole is None or old is not self._used or end > whole.shape[-2]:
            whole = new.new_empty(*new.shape[:-2], end + _SPARE, new.shape[-1])
            if old is not None and length:
                whole[..., :length, :] = old
        whole[..., length:end, :] = new
        return self._use(whole, end)

    def select(self, old: Tensor, rows: Tensor) -> Tensor:
        """Some rows, (R,), of `old`."""
        whole = self._of(old).index_select(0, rows)
        return self._use(whole, old.shape[-2])

    def pick(self, old: Tensor, columns: Tensor) -> Tensor:
        """Of each row of `old` the slots at some columns, (B, T)."""
        whole = self._of(old)
        rows, heads, capacity, size = whole.shape
        length = columns.shape[1]
        columns = torch.nn.functional.pad(columns, (0, _SPARE))  # what is there, nobody reads
        firsts = torch.arange(rows * heads, device=old.device).view(rows, heads, 1) * capacity
        places = (firsts + columns[:, None]).flatten()
        found = whole.view(-1, size).index_select(0, places)  # far faster than `gather`
        return self._use(found.view(rows, heads, -1, size), length)

    def join(self, parts: Sequence[Tensor], before: int, width: int) -> Tensor:
        """Rows of several tensors (B, H, before + T, D), with zeros before the last T columns."""
        first, end = parts[0], before + width
        count = sum(map(len, parts))
        whole = first.new_zeros(count, first.shape[1], end + _SPARE, first.shape[-1])
        for rows, part in zip(whole.split([len(part) for part in parts]), parts, strict=True):
            rows[:, :, :before] = part[:, :, :before]
            rows[:, :, end - (part.shape[-2] - before) : end] = part[:, :, before:]
        return self._use(whole, end)

    def _of(self, used: Tensor) -> Tensor:
        """The room that this is a view of, or a copy of it."""
        if self._whole is None or used is not self._used:
            return used.contiguous()
        return self._whole

    def _use(self, whole: Tensor, end: int) -> Tensor:
        self._whole, self._used = whole, whole[..., :end, :]
        tell_room(self._used, whole)
        return self._used


def decoding_cache(config: PreTrainedConfig) -> DynamicCache:
    """An empty cache for decoding with a model of this config, without gradients."""
    cache = DynamicCache(config=config)
    cache.layers = [_GrowingLayer() if type(one) is DynamicLayer else one for one in cache.layers]
    return cache


def is_movable(cache: Cache) -> bool:
    """Whether every layer keeps all slots, so that columns may be moved, dropped and added."""
    return bool(cache.layers) and all(type(layer) is _GrowingLayer for layer in cache.layers)


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
    for layer in _layers(cache):
        layer.pick(columns)
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
        own.join(new, before, width)
    return torch.cat([_widened_mask(mask, width), _widened_mask(other_mask, width)])


def _layers(cache: Cache) -> list[_GrowingLayer]:
    """Those that hold something; a layer that reads the keys of another one holds nothing."""
    layers = [one for one in cache.layers if isinstance(one, _GrowingLayer)]
    return [one for one in layers if one.keys is not None]


def _widened_mask(mask: Tensor, width: int) -> Tensor:
    return torch.cat([mask.new_zeros(len(mask), width - mask.shape[1]), mask], dim=1)
