"""Prefix and prompt tuning, through PEFT: virtual tokens before the prompt.

Prefix tuning (Li & Liang 2021) has keys and values in every layer. They seed the cache, in training
as in decoding, so no slot stands for them; verbal tokens are numbered from m on, as PEFT does it.

Prompt tuning (Lester et al. 2021) has vectors, the same idea as `Start_m` with positions counted
on, which a test holds it equal to. PEFT's own forward pass puts the vectors before the padding of a
left-padded batch and is then off by whole logits; placed as slots, they stand right before each
row's prompt.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from peft import (
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    TaskType,
    initialize_kv_prefix_from_past_key_values,
)
from torch import Tensor, nn
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin

from latent_core.backbones.backbone import Backbone
from latent_core.errors import BackboneError, PromptError, SettingError
from latent_core.models.baselines.peft_baseline import PeftBaseline, PeftCompanion
from latent_core.models.latent import starting_rows
from latent_core.models.size import check_layout_size, check_numbers
from latent_core.slots.batch import LatentBatch
from latent_core.slots.tables import place_rows

__all__ = ["PrefixCompanion", "PrefixModel", "PromptModel"]


class PrefixCompanion(PeftCompanion):
    """PEFT's prefix tuning with `count` virtual tokens, without its projection.

    Args:
        backbone: a `Backbone` or what `load_backbone` takes; it is never touched.
        count: virtual tokens, m.
        seed: of the initial values.
        words: a text whose first m tokens the keys and values are of, at the start; repeated as
            needed. Empty for random values.

    Raises:
        BackboneError: if there are words, and PEFT cannot take this backbone's keys and values.
    """

    def __init__(
        self, backbone: Backbone | str | Path, count: int = 2, seed: int = 0, words: str = ""
    ) -> None:
        def config(own: Backbone) -> PrefixTuningConfig:
            layers = own.model.config.get_text_config().num_hidden_layers
            check_numbers(own, f"prefix-{count}", count * layers * 2 * own.hidden_size)
            return PrefixTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=count)

        super().__init__(backbone, config, f"prefix-{count}", 1e-1, seed)
        self.virtual_tokens = count
        if words:
            self._start_with(words)

    def run_slots(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past_key_values: Cache | None = None,
    ) -> Tensor:
        """See `Companion.run_slots`; an empty cache gets the prefix first."""
        prefix = attention_mask.new_ones(len(attention_mask), self.virtual_tokens)
        cache = past_key_values
        if cache is None:
            cache = DynamicCache(config=self.backbone.model.config)
        if cache.get_seq_length() == 0:
            self._seed(cache, len(attention_mask))
        self.check_position(int(position_ids.max()))
        positions = position_ids + self.virtual_tokens
        mask = torch.cat([prefix, attention_mask], dim=1)
        return self.backbone.hidden_states(inputs_embeds, mask, positions, cache)

    def check_position(self, position: int) -> None:
        """See `Companion.check_position`; the prefix takes up m positions of the window."""
        limit, reached = self.backbone.context_length, position + self.virtual_tokens
        if limit is not None and reached >= limit:
            raise PromptError(
                f"with {self.virtual_tokens} virtual tokens before it, the example reaches "
                f"position {reached}, but {self.backbone.name} has a context window of "
                f"{self.backbone.context_limit}; shorten it"
            )

    def refuse_recomputing(self) -> None:
        """See `Companion.refuse_recomputing`: recomputed layers drop the cache with the prefix."""
        raise SettingError(
            "prefix tuning cannot recompute activations: Transformers drops the cache then, which "
            "holds the prefix. Train without gradient_checkpointing, or use prompt-tuning-M"
        )

    @torch.no_grad()
    def _start_with(self, words: str) -> None:
        """Start with the keys and values of a text."""
        backbone, count = self.backbone, self.virtual_tokens
        # As `encode`, but of a text that may be longer than the window: only its start is read.
        ids = backbone.tokenizer(words, verbose=False)["input_ids"]
        while len(ids) < count:
            ids += backbone.encode_response(words, end=False)
        tokens = torch.tensor([ids[:count]], device=backbone.device)
        cache = DynamicCache(config=backbone.model.config)
        mask, positions = torch.ones_like(tokens), torch.arange(count, device=tokens.device)[None]
        backbone.hidden_states(backbone.embed(tokens), mask, positions, cache)
        layers = [
            (getattr(one, "keys", None), getattr(one, "values", None)) for one in cache.layers
        ]
        try:
            initialize_kv_prefix_from_past_key_values(self.peft_model, past_key_values=layers)
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise BackboneError(
                f"{self.method} cannot start with the keys and values of a text on "
                f"{backbone.name}: {error}. Leave init=task out"
            ) from error

    def _seed(self, cache: Cache, rows: int) -> None:
        """Put the prefix, (rows, heads, m, head size) in each layer, into an empty cache."""
        prefix = cast(Cache, self.peft_model.get_prompt(rows))
        for number, layer in enumerate(prefix.layers):
            # A layer that shares another's keys has none of its own.
            if isinstance(layer, CacheLayerMixin) and layer.keys is not None:
                assert layer.values is not None
                cache.update(layer.keys, layer.values, number)


class PrefixModel(PeftBaseline):
    """PEFT's prefix tuning with `count` virtual tokens.

    See `PrefixCompanion` for the arguments.
    """

    def __init__(
        self, backbone: Backbone | str | Path, count: int = 2, seed: int = 0, words: str = ""
    ) -> None:
        super().__init__(PrefixCompanion(backbone, count, seed, words))


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
