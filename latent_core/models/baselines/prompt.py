"""Prompt tuning (Lester et al. 2021), through PEFT: vectors before the prompt.

The same idea as `Start_m` with positions counted on, which a test holds it equal to. PEFT's own
forward pass puts the vectors before the padding of a left-padded batch and is then off by whole
logits; placed as slots, they stand right before each row's prompt.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from peft import PeftModel, PromptTuningConfig, TaskType
from torch import Tensor, nn

from latent_core.backbones.backbone import Backbone
from latent_core.models.baselines.peft_baseline import PeftBaseline
from latent_core.models.baselines.peft_companion import PeftCompanion
from latent_core.models.latent import starting_rows
from latent_core.models.size import check_layout_size
from latent_core.slots.batch import LatentBatch
from latent_core.slots.tables import place_rows

__all__ = ["PromptModel"]


class PromptModel(PeftBaseline):
    """PEFT's prompt tuning with `count` virtual tokens.

    Args:
        backbone: a `Backbone` or what `load_backbone` takes; it is never touched.
        count: virtual tokens, m.
        init: how they start, as latents do; the same seed gives the vectors of `Start_m`.
        seed: of the initial vectors.
    """

    def __init__(
        self,
        backbone: Backbone | str | Path,
        count: int = 2,
        init: str = "vocab",
        seed: int = 0,
    ) -> None:
        def config(own: Backbone) -> PromptTuningConfig:
            check_layout_size(own, f"prompt-tuning-{count}", count)
            return PromptTuningConfig(
                task_type=TaskType.CAUSAL_LM,
                num_virtual_tokens=count,
                token_dim=own.hidden_size,
                num_transformer_submodules=1,
            )

        layout = f"Start_{count}; positions=sequential"
        name = f"prompt-tuning-{count}"
        # The size of the input embeddings sets the rate, as it does for latents.
        super().__init__(PeftCompanion(backbone, config, name, None, seed), layout)
        rows = starting_rows(self.backbone, self.placement.layout, init, seed)
        with torch.no_grad():
            self._vectors().copy_(rows["Start"])

    def slot_embeddings(self, batch: LatentBatch) -> Tensor:
        """Input embeddings (B, T, D), virtual tokens in their slots."""
        return place_rows(self.backbone.embed(batch.input_ids), batch.latent_rows, self._vectors())

    def _vectors(self) -> Tensor:
        """(m, D) in float32."""
        model = cast(PeftModel, self.peft_model)
        encoder = model.prompt_encoder[model.active_adapter]
        return cast(nn.Embedding, encoder.embedding).weight
