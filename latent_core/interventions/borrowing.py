"""Activation patching from another prompt: its latents' hidden states stand in for these.

The other prompt runs once, when the block is entered. A latent takes the states of the one with the
same name there: the same group, member and occurrence. Verbal slots have no counterpart in another
prompt, nor have occurrences that it does not reach; they stay as they are.

Knows scenes and slots.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.layers import decoder_layers, hidden_output
from latent_core.interventions.observer import Observer
from latent_core.interventions.scene import Flow, Scene
from latent_core.slots.batch import collate
from latent_core.slots.placement import Placement
from latent_core.slots.selection import PassSlots, Selection

__all__ = ["Borrowing"]


class Borrowing(Flow):
    """Puts hidden states of another prompt's latents into the main run."""

    def __init__(
        self,
        latents: Selection,
        layers: tuple[int, ...],
        source: Scene,
        prompt: str,
        from_step: int,
    ) -> None:
        self.latents = latents
        self.layers = layers
        self.source = source
        self.prompt = prompt
        self.from_step = from_step

    def enter(
        self, stack: contextlib.ExitStack, observer: Observer, backbone: Backbone, run: object
    ) -> None:
        """See `Flow.enter`. The other prompt runs here."""
        places, states = self._record(observer, backbone)
        layers = decoder_layers(backbone)
        for layer in self.layers:
            hook = self._hook(observer, run, places, states[layer])
            stack.callback(layers[layer].register_forward_hook(hook).remove)

    @torch.no_grad()
    def _record(self, observer: Observer, backbone: Backbone) -> tuple[Tensor, dict[int, Tensor]]:
        """The other prompt's latents.

        Returns:
            their slots there by name, (groups, members, occurrences), -1 for none; and the hidden
            states (T, D) of all its slots after each layer.
        """
        source = self.source
        placement = Placement(
            source.layout, source.triggers, source.rows, positions=source.positions
        )
        slots = placement.insert(backbone.encode(self.prompt))
        batch = collate([slots]).to(backbone.device)
        states: dict[int, Tensor] = {}

        def keep(number: int) -> Any:
            def hook(module: nn.Module, args: Any, output: Any) -> None:
                states[number] = hidden_output(output)[0]

            return hook

        outer, observer.run = observer.run, self  # nobody else's hooks act in this pass
        try:
            with contextlib.ExitStack() as stack:
                layers = decoder_layers(backbone)
                for number in self.layers:
                    stack.callback(layers[number].register_forward_hook(keep(number)).remove)
                embeds = source.mix(backbone.embed(batch.input_ids), batch.latent_rows)
                backbone.hidden_states(embeds, batch.attention_mask, batch.position_ids)
        finally:
            observer.run = outer
        latents = [(t, slot) for t, slot in enumerate(slots.slots) if slot.is_latent]
        groups = source.layout.groups
        sizes = (
            max(1, len(groups)),
            max((group.count for group in groups), default=1),
            1 + max((slot.occurrence for _, slot in latents), default=0),
        )
        places = torch.full(sizes, -1, dtype=torch.long)
        for place, slot in latents:
            places[slot.group, slot.member, slot.occurrence] = place
        return places.to(backbone.device), states

    def _hook(self, observer: Observer, run: object, places: Tensor, states: Tensor) -> Any:
        """A forward hook of one layer."""

        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            slots = observer.slots
            if slots is None or observer.run is not run:
                return None
            found = self._counterparts(slots, places)
            own = hidden_output(output)
            patched = torch.where((found >= 0).unsqueeze(-1), states[found.clamp(min=0)], own)
            if run is None:
                observer.touch(_differ(patched, own))
            return (patched, *output[1:]) if isinstance(output, tuple) else patched

        return hook

    def _counterparts(self, slots: PassSlots, places: Tensor) -> Tensor:
        """The other prompt's slot for each new slot, (B, T_new); -1 for none."""
        new = slice(-slots.num_new, None)
        names = (slots.group[:, new], slots.member[:, new], slots.occurrence[:, new])
        known = self.latents.mask(slots)[:, new] & (names[0] >= 0)
        known = known & (slots.step[:, new] >= self.from_step)
        for name, size in zip(names, places.shape, strict=True):
            known = known & (name < size)
        group, member, occurrence = (torch.where(known, name, 0) for name in names)
        return torch.where(known, places[group, member, occurrence], -1)


def _differ(ours: Tensor, theirs: Tensor) -> Tensor:
    """Where states (B, T, D) differ by more than rounding, (B, T): they come from other batches."""
    tolerance = torch.finfo(theirs.dtype).eps ** 0.5
    return (ours - theirs).float().norm(dim=-1) > tolerance * theirs.float().norm(dim=-1)
