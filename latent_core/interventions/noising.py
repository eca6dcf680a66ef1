"""Latents' hidden states replaced by noise of the same length.

A latent's noise is the same in every text and batch: its direction follows from seed, layer, group,
member and occurrence.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.layers import decoder_layers, hidden_output
from latent_core.interventions.observer import Observer
from latent_core.interventions.scene import Flow
from latent_core.slots.selection import Selection

__all__ = ["Noise"]


class Noise(Flow):
    """Turns the hidden states of latents into random directions, and keeps their norms.

    Args:
        latents: whose states change.
        layers: numbers of the layers after which they do.
        seed: of the directions.
        from_step: only slots from so many response tokens on.
    """

    def __init__(
        self, latents: Selection, layers: tuple[int, ...], seed: int, from_step: int
    ) -> None:
        self._latents, self._layers = latents, layers
        self._seed, self._from_step = seed, from_step
        self._directions: dict[tuple[int, ...], Tensor] = {}

    def enter(
        self, stack: contextlib.ExitStack, observer: Observer, backbone: Backbone, run: object
    ) -> None:
        """See `Flow.enter`."""
        layers = decoder_layers(backbone)
        for layer in self._layers:
            hook = self._hook(layer, observer, run)
            stack.callback(layers[layer].register_forward_hook(hook).remove)

    def _hook(self, layer: int, observer: Observer, run: object) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            slots = observer.slots
            if slots is None or observer.run is not run:
                return None
            new = slice(-slots.num_new, None)
            chosen = self._latents.mask(slots) & (slots.step >= self._from_step)
            chosen = chosen[:, new] & (slots.group[:, new] >= 0)
            names = [part[:, new][chosen] for part in (slots.group, slots.member, slots.occurrence)]
            own = hidden_output(output)
            if not len(names[0]):
                return None
            drawn = [
                self._direction((layer, *name), own.shape[-1])
                for name in zip(*(part.tolist() for part in names), strict=True)
            ]
            norms = own[chosen].float().norm(dim=-1, keepdim=True)
            noisy = own.clone()
            noisy[chosen] = (norms * torch.stack(drawn).to(norms)).to(own.dtype)
            if run is None:
                observer.touch(chosen)
            return (noisy, *output[1:]) if isinstance(output, tuple) else noisy

        return hook

    def _direction(self, name: tuple[int, ...], size: int) -> Tensor:
        """A direction (D,) of norm 1."""
        if name not in self._directions:
            digest = hashlib.sha256(repr((self._seed, *name)).encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
            drawn = torch.randn(size, generator=generator)
            self._directions[name] = drawn / drawn.norm()
        return self._directions[name]
