"""Activation patching: hidden states of another run, or noise, replace those of latents.

Before each pass of the main run, the backbone runs once more over the same slots, as the source
scene says. The source run has a cache of its own, which travels as further layers of the main run's
cache. The chosen slots' hidden states after the chosen layers are kept, and put into the main run.

Both runs go over the same slots: a source that drops or moves latents is refused. For states of
another prompt see `latent_core.interventions.borrowing`.

A latent's noise is as long as its hidden state, and the same in every text and batch: its direction
follows from seed, layer, group, member and occurrence.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.layers import decoder_layers, hidden_output
from latent_core.errors import SettingError
from latent_core.interventions.observer import Observer
from latent_core.interventions.scene import Flow, Scene
from latent_core.slots.selection import PassSlots, Selection

__all__ = [
    "Noise",
    "Patching",
]


class Patching(Flow):
    """Puts hidden states of the source run into the main run.

    Args:
        latents: the slots that take them.
        layers: numbers of the layers after which they are put in.
        source: the scene of the source run.
        from_step: only slots from so many response tokens on.
        shifted: a latent takes the states of its group's occurrence before; the first keeps its
            own.
    """

    def __init__(
        self,
        latents: Selection,
        layers: tuple[int, ...],
        source: Scene,
        from_step: int,
        shifted: bool = False,
    ) -> None:
        self.latents = latents
        self.layers = layers
        self.source = source
        self.from_step = from_step
        self.shifted = shifted

    def enter(
        self, stack: contextlib.ExitStack, observer: Observer, backbone: Backbone, run: object
    ) -> None:
        """See `Flow.enter`."""
        patcher = _Patcher(self, observer, backbone, run)
        module = backbone.trunk
        stack.callback(
            module.register_forward_pre_hook(patcher.run_source, with_kwargs=True).remove
        )
        layers = decoder_layers(backbone)
        for layer in self.layers:
            stack.callback(layers[layer].register_forward_hook(patcher.at_layer(layer)).remove)
        for flow in self.source.flows:
            flow.enter(stack, observer, backbone, patcher)


class _Patcher:
    """One patching while its block lasts. It is itself the name of the source run."""

    def __init__(
        self, patching: Patching, observer: Observer, backbone: Backbone, run: object
    ) -> None:
        self._patching = patching
        self._observer = observer
        self._backbone = backbone
        self._run = run
        self._caches: WeakKeyDictionary[Cache, DynamicCache] = WeakKeyDictionary()
        self._states: dict[int, Tensor] = {}
        self._newest: dict[int, dict[tuple[int, int, int], tuple[int, Tensor]]] = {}

    def run_source(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        """Before the main run's pass: the source run's, whose hidden states are kept."""
        observer, slots = self._observer, self._observer.slots
        if observer.run is not self._run or slots is None:
            return
        own = kwargs.get("past_key_values")
        changed = dict(kwargs)
        if own is not None:
            if own not in self._caches:
                cache = DynamicCache(config=self._backbone.model.config)
                own.layers.extend(cache.layers)
                self._caches[own] = cache
            changed["past_key_values"] = self._caches[own]
        rows = self._rows(slots)
        changed["inputs_embeds"] = self._patching.source.mix(kwargs["inputs_embeds"], rows)
        observer.run = self
        try:
            module(*args, **changed)
        finally:
            observer.run = self._run

    def at_layer(self, number: int) -> Any:
        """A forward hook of one layer: keeps in the source run, replaces in the main run."""

        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            slots = self._observer.slots
            if slots is None:
                return None
            if self._observer.run is self:
                self._states[number] = hidden_output(output)
                return None
            if self._observer.run is not self._run:
                return None
            chosen = self._patching.latents.mask(slots) & (slots.step >= self._patching.from_step)
            chosen = chosen[:, -slots.num_new :]
            own, other = hidden_output(output), self._states.pop(number)
            if self._patching.shifted:
                other = self._shifted(number, slots, other)
            if self._run is None:
                self._observer.touch(chosen & (own != other).any(dim=-1))
            patched = torch.where(chosen.unsqueeze(-1), other, own)
            return (patched, *output[1:]) if isinstance(output, tuple) else patched

        return hook

    def _shifted(self, layer: int, slots: PassSlots, states: Tensor) -> Tensor:
        """`states` (B, T_new, D), each latent's replaced by those of the occurrence before it."""
        if slots.num_new == slots.group.shape[1]:
            self._newest[layer] = {}  # decoding begins
        newest, shifted = self._newest[layer], states.clone()
        new = slice(-slots.num_new, None)
        names = torch.stack([slots.group, slots.member, slots.occurrence])[:, :, new]
        examples = slots.example.tolist()
        for row, place in (names[0] >= 0).nonzero().tolist():
            group, member, occurrence = names[:, row, place].tolist()
            key = (examples[row], group, member)
            before, held = newest.get(key, (occurrence, states[row, place]))
            if before == occurrence - 1:
                shifted[row, place] = held
            newest[key] = (occurrence, states[row, place])
        return shifted

    def _rows(self, slots: PassSlots) -> Tensor:
        """The rows that the new slots read in the source run, (B, T_new); -1 at verbal tokens."""
        new = slice(-slots.num_new, None)
        columns = (slots.group, slots.member, slots.occurrence, slots.step)
        identities = torch.stack([column[:, new] for column in columns], dim=-1)
        rows = torch.full(identities.shape[:2], -1, dtype=torch.long)
        for place in (slots.group[:, new] >= 0).nonzero().tolist():
            row = self._patching.source.rows(*identities[tuple(place)].tolist())
            if row is None:
                raise SettingError(
                    "the source run of a patch leaves out a latent that the patched run has; "
                    "expected two runs over the same slots (knock_out instead of drop)"
                )
            rows[tuple(place)] = row
        return rows.to(slots.group.device)


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
