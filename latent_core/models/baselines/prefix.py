"""Prefix tuning (Li & Liang 2021), through PEFT: keys and values before the prompt in every layer.

They seed the cache, in training as in decoding, so no slot stands for them; verbal tokens are
numbered from m on, as PEFT does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from peft import PrefixTuningConfig, TaskType
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin

from latent_core.backbones.backbone import Backbone
from latent_core.errors import PromptError, SettingError
from latent_core.models.baselines.peft_baseline import PeftBaseline
from latent_core.models.size import check_numbers
from latent_core.slots.batch import LatentBatch
from latent_core.slots.placement import Slots

__all__ = ["PrefixModel"]


class PrefixModel(PeftBaseline):
    """PEFT's prefix tuning with `count` virtual tokens, without its projection.

    Args:
        backbone: a `Backbone` or what `load_backbone` takes; it is never touched.
        count: virtual tokens, m.
        seed: of the initial values.
    """

    learning_rate = 1e-1

    def __init__(
        self,
        backbone: Backbone | str | Path,
        count: int = 2,
        seed: int = 0,
    ) -> None:
        def config(own: Backbone) -> PrefixTuningConfig:
            layers = own.model.config.get_text_config().num_hidden_layers
            check_numbers(own, f"prefix-{count}", count * layers * 2 * own.hidden_size)
            return PrefixTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=count)

        super().__init__(backbone, config, "none", f"prefix-{count}", seed)
        self.virtual_tokens = count

    def slot_embeddings(self, batch: LatentBatch) -> Tensor:
        """Input embeddings (B, T, D): no slot stands for a prefix."""
        return self.backbone.embed(batch.input_ids)

    def run_slots(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past_key_values: Cache | None = None,
    ) -> Tensor:
        """As `SteeredModel.run_slots`; an empty cache gets the prefix first."""
        prefix = attention_mask.new_ones(len(attention_mask), self.virtual_tokens)
        cache = past_key_values
        if cache is None:
            cache = DynamicCache(config=self.backbone.model.config)
        if cache.get_seq_length() == 0:
            self._seed(cache, len(attention_mask))
        self._check_window(int(position_ids.max()))
        positions = position_ids + self.virtual_tokens
        mask = torch.cat([prefix, attention_mask], dim=1)
        return self.backbone.hidden_states(inputs_embeds, mask, positions, cache)

    def place(self, prompt_ids: Sequence[int], response_ids: Sequence[int] | None = None) -> Slots:
        """As `SteeredModel.place`; the prefix takes up m positions of the context window."""
        slots = super().place(prompt_ids, response_ids)
        self._check_window(slots.slots[-1].position_id)
        return slots

    def generate(self, prompts: Any, *args: Any, **kwargs: Any) -> Any:
        """As `SteeredModel.generate`; one row at a time where a window counts cache slots.

        The padding of a ragged batch would stand between prefix and prompt and use up the window.
        """
        if self.backbone.has_sliding_window:
            kwargs["batch_size"] = 1
        return super().generate(prompts, *args, **kwargs)

    def activation_checkpointing_enable(self, *args: Any, **kwargs: Any) -> None:
        """Refused: recomputed layers drop the cache, and the prefix with it."""
        raise SettingError(
            "prefix tuning cannot recompute activations: Transformers drops the cache then, which "
            "holds the prefix. Train without gradient_checkpointing, or use prompt-tuning-M"
        )

    def _seed(self, cache: Cache, rows: int) -> None:
        """Put the prefix, (rows, heads, m, head size) in each layer, into an empty cache."""
        prefix = cast(Cache, self.peft_model.get_prompt(rows))
        for number, layer in enumerate(prefix.layers):
            # A layer that shares another's keys has none of its own.
            if isinstance(layer, CacheLayerMixin) and layer.keys is not None:
                assert layer.values is not None
                cache.update(layer.keys, layer.values, number)

    def _check_window(self, last: int) -> None:
        limit, reached = self.backbone.context_length, last + self.virtual_tokens
        if limit is not None and reached >= limit:
            raise PromptError(
                f"with {self.virtual_tokens} virtual tokens before it, the example reaches "
                f"position {reached}, but {self.backbone.name} has a context window of "
                f"{self.backbone.context_limit}; shorten it"
            )
