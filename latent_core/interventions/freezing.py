"""Latents that stop changing: from one on, all hold what the one before holds.

The inputs of all slots travel in the cache, as one more layer, so that a latent finds them.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.interventions.base import Group, Intervention, at_least
from latent_core.interventions.observer import Observer
from latent_core.interventions.scene import Flow, Scene

__all__ = ["Freeze"]


@dataclass(frozen=True)
class Freeze(Intervention):
    """Stop a chain of latents after so many: `freeze(End, 2)`.

    The first two of each occurrence hold what they do; the others hold what the second holds. They
    stand in their slots all the same, so what they do beyond their number is lost.

    Attributes:
        group: a group.
        after: how many latents of an occurrence stay as they are, at least 1.
        from_step: only from so many response tokens on.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "End_4=hidden")
        >>> change = lc.interventions.Freeze("End", 2)
        >>> with change.on(model):
        ...     texts = model.generate("1,2,", max_new_tokens=2)
        >>> str(change)
        'freeze(End, 2)'
    """

    verb: ClassVar[str] = "freeze"
    group: Group
    after: int
    from_step: int = 0

    def apply(self, scene: Scene) -> Scene:
        """See `Intervention.apply`."""
        at_least("after", self.after, 1)
        at_least("from_step", self.from_step, 0)
        group = scene.layout.group(self.group)
        if group.count <= self.after:
            raise SettingError(
                f"{self} changes nothing: {self.group} has {group.count} latents; expected after "
                f"below {group.count}"
                if group.count > 1
                else f"{self} changes nothing: {self.group} has a single latent; expected several"
            )
        number = scene.layout.groups.index(group)
        return scene.with_flow(_Freezing(number, self.after, self.from_step))


@dataclass(frozen=True)
class _Freezing(Flow):
    """Puts the input of latent `after - 1` of an occurrence into those after it."""

    group: int
    after: int
    from_step: int

    def enter(
        self, stack: contextlib.ExitStack, observer: Observer, backbone: Backbone, run: object
    ) -> None:
        """See `Flow.enter`."""
        freezer = _Freezer(self, observer, run)
        module = backbone.trunk
        before = module.register_forward_pre_hook(freezer.before, with_kwargs=True)
        after = module.register_forward_hook(freezer.after, with_kwargs=True)
        stack.callback(before.remove)
        stack.callback(after.remove)


class _Freezer:
    """One freezing while its block lasts."""

    def __init__(self, freezing: _Freezing, observer: Observer, run: object) -> None:
        self._freezing, self._observer, self._run = freezing, observer, run
        self._inputs: WeakKeyDictionary[Cache, DynamicLayer] = WeakKeyDictionary()
        self._new: Tensor | None = None

    def before(
        self, module: nn.Module, args: Any, kwargs: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]] | None:
        """Change the inputs of a pass."""
        slots, self._new = self._observer.slots, None
        if slots is None or self._observer.run is not self._run:
            return None
        new: Tensor = kwargs["inputs_embeds"]
        cache, wanted, known = kwargs.get("past_key_values"), self._freezing, new
        if cache is not None and cache in self._inputs:
            keys = self._inputs[cache].keys
            assert keys is not None
            known = torch.cat([keys[:, 0], new], dim=1)
        ours = (slots.group == wanted.group) & (slots.step >= wanted.from_step)
        columns = slice(-slots.num_new, None)
        frozen = (ours & (slots.member >= wanted.after))[:, columns]
        # The occurrence of the slot that is held: (B, T_new, T), at most one for each new slot.
        held = ours & (slots.member == wanted.after - 1)
        same = slots.occurrence[:, columns, None] == slots.occurrence[:, None, :]
        found = same & held[:, None, :] & frozen[:, :, None]
        places = found.long().argmax(dim=2, keepdim=True).expand(-1, -1, new.shape[-1])
        changed = torch.where(found.any(dim=2, keepdim=True), known.gather(1, places), new)
        if self._run is None:
            self._observer.touch((changed != new).any(dim=-1))
        self._new = changed
        return args, kwargs | {"inputs_embeds": changed}

    def after(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        """Keep the inputs with the cache."""
        cache, new = kwargs.get("past_key_values"), self._new
        if cache is not None and new is not None:
            layer = self._inputs.get(cache)
            if layer is None:
                layer = self._inputs[cache] = DynamicLayer()
                cache.layers.append(layer)
            layer.update(new[:, None], new[:, None])
        self._new = None
