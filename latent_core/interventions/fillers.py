"""Fillers of computed latents that change what another filler computes."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

__all__ = ["Along", "Scaled"]


class Along(nn.Module):
    """A fixed direction, as long as what a filler computes.

    Args:
        filler: computes inputs (N, D).
        direction: (D,), of norm 1.
    """

    def __init__(self, filler: nn.Module, direction: Tensor) -> None:
        super().__init__()
        self._parts = (filler, direction)  # not a submodule: its parameters would seem to train

    def forward(self, states: Tensor) -> Tensor:
        """Inputs (N, D) of latents, from the states (N, D) of the slots before them."""
        filler, direction = self._parts
        norms = filler(states).float().norm(dim=-1, keepdim=True)
        return cast(Tensor, norms * direction.to(norms))


class Scaled(nn.Module):
    """A multiple of what a filler computes.

    Args:
        filler: computes inputs (N, D).
        factor: what to multiply by.
    """

    def __init__(self, filler: nn.Module, factor: float) -> None:
        super().__init__()
        self._parts = (filler, factor)

    def forward(self, states: Tensor) -> Tensor:
        """Inputs (N, D) of latents, from the states (N, D) of the slots before them."""
        filler, factor = self._parts
        return cast(Tensor, factor * filler(states))
