"""Several adapters in one batch: each row is decoded with latents of its own.

The adapters stand on one backbone, which runs all rows in one pass. Their tables are joined, and
each row's placement counts from where its own table begins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from transformers import Cache

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.chat import Prompt, as_prompts
from latent_core.backbones.turns import turn
from latent_core.errors import SettingError
from latent_core.generation.generate import Generation, generate
from latent_core.models.latent import LatentModel
from latent_core.models.passes import hidden_states_in_passes
from latent_core.models.steered import SteeredModel
from latent_core.slots.batch import LatentBatch
from latent_core.slots.fillers import fill
from latent_core.slots.placement import Placement
from latent_core.slots.tables import LatentTables, fillers_at, place_rows

__all__ = ["generate_together", "why_not_together"]


def generate_together(
    models: Sequence[SteeredModel],
    prompts: Prompt | Sequence[Prompt],
    max_new_tokens: int | Sequence[int] | None = None,
    **settings: Any,
) -> list[Generation]:
    """Continue prompts side by side, each with an adapter of its own.

    In float32, each response is that of the model's own `generate`, also if it is sampled with a
    `seed`. On a machine that a single response leaves idle, it takes about the time of one.

    Args:
        models: one for each prompt, on one backbone; a model may stand there several times.
        prompts: one for each model, or one for all.
        max_new_tokens: verbal tokens of each response at most: one number, or one for each model.
        settings: those of `generate`.

    Returns:
        one `Generation` a model; or `num_return_sequences` of each, side by side.

    Raises:
        SettingError: if the models cannot share a forward pass, and why; or for a setting.
        PromptError: for a prompt that is empty or too long.

    Example:
        >>> import latent_core as lc
        >>> backbone = lc.load_backbone("tiny")
        >>> models = [lc.LatentModel(backbone, layout) for layout in ("Start_2", "Comma_1")]
        >>> together = lc.generate_together(models, "1,2,", max_new_tokens=4)
        >>> [one.text for one in together] == [m.generate("1,2,", 4)[0] for m in models]
        True
    """
    asked = as_prompts(prompts)
    if len(asked) == 1:
        asked *= len(models)
    if not models or len(asked) != len(models):
        raise SettingError(
            f"{len(models)} models and {len(asked)} prompts; expected one prompt for each model, "
            "or one for all"
        )
    if (reason := why_not_together(models)) is not None:
        raise SettingError(f"{reason}. Expected layouts on one backbone; or call generate of each")
    own = list({id(one): one for one in models if isinstance(one, LatentModel)}.values())
    joined = _Joined(own)
    numbers = [[id(one) for one in own].index(id(model)) for model in models]
    with contextlib.ExitStack() as stack:
        stack.enter_context(turn(joined.backbone.model, "generation of several adapters"))
        for model in own:
            stack.callback(model.train, model.training)
            model.train(False)
        return generate(
            joined,
            asked,
            max_new_tokens,
            placements=[joined.placements[number] for number in numbers],
            **settings,
        )


def why_not_together(models: Sequence[SteeredModel]) -> str | None:
    """Why models cannot share a forward pass; None if they can."""
    for model in models:
        if not isinstance(model, LatentModel):
            return f"{model.method} is no layout of latents"
        if model.companion is not None:
            return f"{model.companion.method} has modules of its own"
        if model.placement.rows is not None:
            return f"an intervention on {model.method} is on"
        if model.backbone.model is not models[0].backbone.model:
            return (
                f"{model.method} stands on another copy of {model.backbone.name} than "
                f"{models[0].method}; load the backbone once and give it to both"
            )
    return None


class _JoinedTables:
    """The tables of several models, read as one."""

    def __init__(self, tables: Sequence[LatentTables]) -> None:
        self.starts: list[int] = []
        self._fillers: list[torch.nn.Module] = []
        rows, of_row = [], []
        count = 0
        for one in tables:
            own = one.fillers_of_row
            of_row.append(torch.where(own >= 0, own + len(self._fillers), own))
            rows.append(one.rows().detach())
            self._fillers += list(one.fillers)
            self.starts.append(count)
            count += len(rows[-1])
        self._rows, self._fillers_of_row = torch.cat(rows), torch.cat(of_row)

    @property
    def computes(self) -> bool:
        """As `LatentTables.computes`."""
        return len(self._fillers) > 0

    def mix(self, inputs_embeds: Tensor, latent_rows: Tensor) -> Tensor:
        """As `LatentTables.mix`."""
        return place_rows(inputs_embeds, latent_rows, self._rows)

    def fillers_at(self, latent_rows: Tensor) -> Tensor:
        """As `LatentTables.fillers_at`."""
        return fillers_at(latent_rows, self._fillers_of_row)

    def fill(self, inputs_embeds: Tensor, numbers: Tensor, states: Tensor) -> Tensor:
        """As `LatentTables.fill`."""
        return fill(inputs_embeds, numbers, states, self._fillers)


class _Joined:
    """Several models as decoding and passes ask one: a `DecodingModel` and a `FillingModel`."""

    virtual_tokens = 0
    recomputes = False

    def __init__(self, models: Sequence[LatentModel]) -> None:
        self.backbone: Backbone = models[0].backbone
        joined = _JoinedTables([model.tables for model in models])
        self.tables = cast(LatentTables, joined)
        self.placements = [
            _shifted(model.placement, start)
            for model, start in zip(models, joined.starts, strict=True)
        ]

    @property
    def placement(self) -> Placement:
        """That of the first model; rows have their own."""
        return self.placements[0]

    def hidden_states(
        self,
        batch: LatentBatch,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        before: Tensor | None = None,
    ) -> Tensor:
        """As `LatentModel.hidden_states`."""
        mask = batch.attention_mask if attention_mask is None else attention_mask
        if self.tables.computes:
            return hidden_states_in_passes(self, batch, mask, past_key_values, before)
        embeds = self.tables.mix(self.backbone.embed(batch.input_ids), batch.latent_rows)
        return self.run_slots(embeds, mask, batch.position_ids, past_key_values)

    def run_slots(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past_key_values: Cache | None = None,
    ) -> Tensor:
        """As `SteeredModel.run_slots`."""
        return self.backbone.hidden_states(
            inputs_embeds, attention_mask, position_ids, past_key_values
        )


def _shifted(placement: Placement, start: int) -> Placement:
    """A placement whose rows count from `start`."""
    first_rows = placement.layout.first_rows

    def rows(group: int, member: int, occurrence: int, step: int) -> int:
        return start + first_rows[group] + member

    def computed(row: int) -> bool:
        return placement.computes(row - start)

    return replace(placement, rows=rows, computed=computed if placement.has_computed else None)
