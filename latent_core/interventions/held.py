"""Other contents of latents: from another prompt, a mean, a changed filler, or the latent before.

Latents that are frozen stop changing: from one on, all hold what the one before holds. The inputs
of all slots travel in the cache, as one more layer, so that a latent finds them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast
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
from latent_core.models.passes import FillingModel, filled_embeddings
from latent_core.slots.batch import collate
from latent_core.slots.fillers import fill
from latent_core.slots.placement import Placement, Slots
from latent_core.slots.tables import fillers_at
from latent_core.tasks.table import load_task

__all__ = ["EXAMPLES", "Along", "Freeze", "Scaled", "held_in_prompt", "mean_held"]

Held = dict[tuple[int, int, int], Tensor]
"""Input vectors (D,) by group number, member and occurrence."""

EXAMPLES: Final = 64
"""Examples of a data set that a mean is over."""

_BATCH: Final = 16


class _SceneModel:
    """What passes ask of a model, by a scene alone."""

    recomputes = False

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.tables = _SceneTables(scene)

    @property
    def backbone(self) -> Backbone:
        return self.scene.backbone

    @property
    def virtual_tokens(self) -> int:
        return self.scene.virtual_tokens

    def run_slots(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past_key_values: Cache | None = None,
    ) -> Tensor:
        return self.scene.run_slots(inputs_embeds, attention_mask, position_ids, past_key_values)


class _SceneTables(nn.Module):
    """What passes ask of tables."""

    computes = True

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self.scene = scene
        self._fillers_of_row = torch.tensor(scene.fillers_of_row, device=scene.vectors.device)

    def mix(self, inputs_embeds: Tensor, latent_rows: Tensor) -> Tensor:
        return self.scene.mix(inputs_embeds, latent_rows)

    def fillers_at(self, latent_rows: Tensor) -> Tensor:
        return fillers_at(latent_rows, self._fillers_of_row)

    def fill(self, inputs_embeds: Tensor, numbers: Tensor, states: Tensor) -> Tensor:
        return fill(inputs_embeds, numbers, states, self.scene.fillers)


def held_in_prompt(scene: Scene, prompt: str) -> Held:
    """What the computed latents of a scene hold in a prompt.

    Raises:
        PromptError: for a prompt that is empty, or begins with a computed latent.
    """
    slots = _placement(scene).insert(scene.backbone.encode(prompt))
    (found,) = _held(scene, [slots])
    return found


def mean_held(scene: Scene, task: str) -> dict[tuple[int, int], Tensor]:
    """Mean vectors by group number and member, over validation examples of a task.

    Raises:
        TaskError: if there is no such task, or it has no validation split.
        SettingError: if no computed latent occurs in the examples.
    """
    loaded, backbone = load_task(task), scene.backbone
    placement = _placement(scene)
    rows = [
        placement.insert(
            *backbone.encode_example(example.prompt, example.answer, not loaded.open_ended)
        )
        for example in loaded.examples("validation", EXAMPLES, seed=0)
    ]
    found: dict[tuple[int, int], list[Tensor]] = {}
    for start in range(0, len(rows), _BATCH):
        for one in _held(scene, rows[start : start + _BATCH]):
            for (group, member, _), vector in one.items():
                found.setdefault((group, member), []).append(vector)
    if not found:
        raise SettingError(
            f"no computed latent of {scene.layout} occurs in {len(rows)} validation examples of "
            f"{task}; expected a task in which some do"
        )
    return {key: torch.stack(vectors).mean(dim=0) for key, vectors in found.items()}


def _placement(scene: Scene) -> Placement:
    return Placement(
        scene.layout,
        scene.triggers,
        scene.rows,
        positions=scene.positions,
        computed=scene.computes,
    )


@torch.no_grad()
def _held(scene: Scene, rows: Sequence[Slots]) -> list[Held]:
    """What computed latents hold in each of several rows."""
    batch = collate(list(rows)).to(scene.backbone.device)
    embeds = filled_embeddings(cast(FillingModel, _SceneModel(scene)), batch).float()
    return [
        {
            (slot.group, slot.member, slot.occurrence): embeds[number, place]
            for place, slot in enumerate(row.slots)
            if slot.is_latent and scene.computes(slot.row)
        }
        for number, row in enumerate(rows)
    ]


# --- changed fillers ------------------------------------------------------------------------------


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


# --- frozen latents -------------------------------------------------------------------------------


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
