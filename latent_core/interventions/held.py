"""Other contents of computed latents: from another prompt, a mean, or a changed filler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import torch
from torch import Tensor, nn
from transformers import Cache

from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.interventions.scene import Scene
from latent_core.models.passes import FillingModel, filled_embeddings
from latent_core.slots.batch import collate
from latent_core.slots.fillers import fill
from latent_core.slots.placement import Placement, Slots
from latent_core.slots.tables import fillers_at
from latent_core.tasks.table import load_task

__all__ = ["EXAMPLES", "Along", "Scaled", "held_in_prompt", "mean_held"]

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
