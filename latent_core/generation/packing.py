"""Linear layers that skip the holes of a pass.

Where a row has fewer new slots than its neighbours, a pass has holes: in nearly every pass some row
is at a comma and feeds latents too, while the others feed one token. On a processor most of the
time of a pass goes into linear layers, which compute each slot by itself. So they are given the
slots alone. Attention still sees all rows in one tensor, with zeros in the holes, which its mask
hides. On a GPU a narrow pass takes no less time than a wide one, so nothing is changed there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

__all__ = ["Packing", "packing"]

#: Holes are skipped where slots are at most this share of a pass.
_WORTH: Final = 0.85

#: A layer with fewer weights takes no longer than finding the slots does.
_SMALL: Final = 2**18


class Packing:
    """Which places of the current pass hold slots; made by `packing`.

    Args:
        enabled: whether holes are skipped at all. If not, a pass costs nothing more.
    """

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled
        self._shape: torch.Size | None = None
        self._places: Tensor | None = None

    def begin(self, mask: Tensor) -> None:
        """The next pass has slots where a mask (B, m) is 1, and holes elsewhere."""
        if not self._enabled:
            return  # to count slots would wait for a GPU in every pass
        places = mask.flatten().nonzero().squeeze(1)
        worth = len(places) <= _WORTH * mask.numel()
        self._shape = mask.shape if worth else None
        self._places = places

    def forward(self, layer: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
        """What a layer gives for states (B, m, D), with zeros in the holes."""
        if self._places is None or states.shape[:-1] != self._shape:
            return layer(states)
        slots = states.reshape(-1, states.shape[-1]).index_select(0, self._places)
        found = layer(slots)
        whole = found.new_zeros(states.shape[:-1].numel(), found.shape[-1])
        return whole.index_copy_(0, self._places, found).view(*states.shape[:-1], -1)


@contextlib.contextmanager
def packing(model: nn.Module, enabled: bool = True) -> Iterator[Packing]:
    """In the block, linear layers of a model skip the holes of each pass that was announced.

    Args:
        model: a backbone's model. Nothing is changed unless all of it is on the CPU.
        enabled: whether anything is changed at all.
    """
    enabled &= all(weight.device.type == "cpu" for weight in model.parameters())
    found = Packing(enabled)
    with contextlib.ExitStack() as stack:
        if enabled:
            for layer in model.modules():
                if isinstance(layer, (nn.Linear, Conv1D)) and _weights(layer) >= _SMALL:
                    stack.callback(_restore, layer, vars(layer).get("forward"))
                    layer.forward = _packed(found, layer.forward)  # type: ignore[method-assign]
        yield found


def _packed(state: Packing, forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def packed(states: Tensor) -> Tensor:
        return state.forward(forward, states)

    return packed


def _restore(layer: nn.Module, own: Callable[[Tensor], Tensor] | None) -> None:
    vars(layer).pop("forward", None)
    if own is not None:
        layer.forward = own


def _weights(layer: nn.Module) -> int:
    return sum(weight.numel() for weight in layer.parameters(recurse=False))
