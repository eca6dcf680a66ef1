"""A frozen decoder-only Transformer as tensors in and tensors out, up to the length it is exact to.

`Backbone` adds the tokenizer and text.

Some decoders compute a token otherwise once a sequence is long. LongRoPE and dynamic NTK change all
rotary frequencies with the largest position of a batch. A cached key then keeps the old
frequencies, and a short row gets the new ones because of a long row beside it. Llama 4 scales
attention by the number of slots before a token, padding and latents included. Within the lengths
given here, none of this happens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from transformers import Cache, PreTrainedConfig, PreTrainedModel

from latent_core.backbones.fingerprints import WeightsSample, differences, weights_fingerprint
from latent_core.backbones.turns import turn
from latent_core.errors import BackboneError, PromptError

__all__ = ["ContextLimit", "Decoder", "context_limit", "slot_limit"]

_CHANGES = (
    "beyond it, {scheme} changes the rotary frequencies of all tokens, so that cached keys and "
    "shorter rows of a batch would be wrong"
)


class ContextLimit(NamedTuple):
    """The number of positions that a decoder can use.

    Attributes:
        length: the number; None where the config sets no limit.
        reason: why it is less than the config says, or why nothing beyond it would be exact; empty
            where it is just the config's limit.
    """

    length: int | None
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.length} ({self.reason})" if self.reason else str(self.length)


def context_limit(config: PreTrainedConfig) -> ContextLimit:
    """The number of positions within which no rotary frequency changes.

    Args:
        config: of the text model.
    """
    length = getattr(config, "max_position_embeddings", None)
    limit = ContextLimit(length)
    for parameters in _rotary_parameters(config):
        kind = parameters.get("rope_type", parameters.get("type", ""))
        if kind == "longrope":
            # Transformers keeps the length of pre-training in either place.
            original = parameters.get(
                "original_max_position_embeddings",
                getattr(config, "original_max_position_embeddings", length),
            )
            if original is not None and (limit.length is None or original <= limit.length):
                limit = ContextLimit(original, _CHANGES.format(scheme="LongRoPE"))
        elif "dynamic" in kind and not limit.reason:
            limit = ContextLimit(length, _CHANGES.format(scheme="dynamic NTK scaling"))
    return limit


def slot_limit(config: PreTrainedConfig) -> int | None:
    """The number of slots, latents and padding included, up to which no attention is rescaled.

    Args:
        config: of the text model.
    """
    if getattr(config, "attn_temperature_tuning", False):  # Llama 4, in layers without rotation
        return int(config.floor_scale) - 1
    return None


def _rotary_parameters(config: PreTrainedConfig) -> Iterator[dict[str, Any]]:
    """The rotary parameters of all layers; some families have several sets, by kind of layer."""
    for name in ("rope_parameters", "rope_scaling"):
        found = getattr(config, name, None) or {}
        yield found
        yield from (value for value in found.values() if isinstance(value, dict))


#: Embeddings that are looked at together, so that a large vocabulary takes little memory.
_ROWS: Final = 8192


@dataclass(frozen=True, eq=False)
class Decoder:
    """A frozen decoder-only Transformer.

    Attributes:
        name: the name it was loaded by: a short name, a hub id or a directory.
        model: the causal language model, in evaluation mode, without gradients.
        asked_dtype: the precision that was asked for when it was loaded, such as `float16`; `auto`
            for the checkpoint's own.
    """

    name: str
    model: PreTrainedModel
    asked_dtype: str = field(default="auto", kw_only=True)

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.name!r}: {self.model.config.model_type}, "
            f"{self.model.num_parameters():,} parameters, {self.model.dtype} on {self.device})"
        )

    @property
    def trunk(self) -> PreTrainedModel:
        """The model without its output head: input embeddings in, hidden states out."""
        base = self.model.base_model
        if base is self.model:  # Llama 4 names a base model that it does not have
            base = self.model.get_submodule("model")
        assert isinstance(base, PreTrainedModel)
        return base

    @property
    def hidden_size(self) -> int:
        """D, the width of the input embeddings."""
        return self._embedding_weight.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the input embeddings lie, and so where a batch has to be."""
        return self._embedding_weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights; the latents are fp32 whatever it is."""
        return self._embedding_weight.dtype

    @property
    def _embedding_weight(self) -> Tensor:
        """(V, D)."""
        weight = self.model.get_input_embeddings().weight
        assert isinstance(weight, Tensor)
        return weight

    @property
    def vocabulary_size(self) -> int:
        """V, rows of the input embeddings; often more than the tokenizer has tokens."""
        return self._embedding_weight.shape[0]

    @property
    def context_length(self) -> int | None:
        """Verbal tokens the backbone can number exactly, or None where its config sets no limit."""
        return self.context_limit.length

    @property
    def context_limit(self) -> ContextLimit:
        """The context length as errors name it, with the reason where the config allows more."""
        return context_limit(self.model.config.get_text_config())

    @cached_property
    def slot_limit(self) -> int | None:
        """Slots of a batch, latents and padding included, up to which it is exact; None: any."""
        return slot_limit(self.model.config.get_text_config())

    @property
    def has_sliding_window(self) -> bool:
        """Whether some layer counts the slots it can look back on (Mistral, Gemma, ...)."""
        config = self.model.config.get_text_config()
        layer_types = getattr(config, "layer_types", None)
        if layer_types is not None:
            return any(kind != "full_attention" for kind in layer_types)
        if "local" in getattr(config, "attention_layers", ()):  # GPT-Neo
            return True
        return getattr(config, "sliding_window", None) is not None

    @property
    def sliding_window(self) -> int | None:
        """Slots that the layers with a window look back on; None without such layers."""
        config = self.model.config.get_text_config()
        if not self.has_sliding_window:
            return None
        return getattr(config, "sliding_window", None) or getattr(config, "window_size", None)

    @cached_property
    def fingerprint(self) -> str:
        """Tells architecture and weights apart, alike in float32 and bfloat16."""
        return weights_fingerprint(self.model)

    @cached_property
    def weights_sample(self) -> WeightsSample:
        """Some of the weights, by which the same checkpoint is known in float16 as well."""
        return WeightsSample.of(self.model)

    def differences_from(self, fingerprint: str, sample: Mapping[str, Any]) -> list[str]:
        """Say in what these weights differ from those that something was made for.

        Args:
            fingerprint, sample: `fingerprint` and `weights_sample` of those, as they were saved.

        Returns:
            a clause for each difference; none for the same checkpoint in whatever precision.

        Raises:
            ValueError, TypeError: if the sample is damaged.
        """
        if fingerprint == self.fingerprint:
            return []
        kept = WeightsSample.from_dict(sample)
        return differences(fingerprint, kept, self.fingerprint, self.weights_sample)

    @cached_property
    def embedding_rms(self) -> float:
        """Root mean square of a dimension of the input embeddings, as the decoder receives them."""
        total = 0.0
        for start in range(0, self.vocabulary_size, _ROWS):
            stop = min(start + _ROWS, self.vocabulary_size)
            ids = torch.arange(start, stop, device=self.device)
            total += float(self.embed(ids).detach().float().square().sum())
        return math.sqrt(total / (self.vocabulary_size * self.hidden_size))

    def embed(self, input_ids: Tensor) -> Tensor:
        """Input embeddings (..., D) of verbal ids; the module is called, since it may scale."""
        return self.model.get_input_embeddings()(input_ids)

    @cached_property
    @torch.no_grad()
    def embedding_norm(self) -> float:
        """Median norm of the input embeddings of all ids, as the module gives them."""
        ids = torch.arange(self.vocabulary_size, device=self.device)
        norms = [self.embed(part).float().norm(dim=-1) for part in ids.split(8192)]
        return float(torch.cat(norms).median())

    @cached_property
    @torch.no_grad()
    def embedding_scale(self) -> float:
        """What the embedding module multiplies its rows by: sqrt(D) in Gemma, 1 in most families.

        Raises:
            BackboneError: if it is no table times a number.
        """
        ids = torch.arange(min(8, self.vocabulary_size), device=self.device)
        rows, embedded = self._embedding_weight[ids].float(), self.embed(ids).float()
        scale = float((rows * embedded).sum() / (rows * rows).sum())
        if not torch.allclose(rows * scale, embedded, rtol=1e-2, atol=1e-4):
            raise BackboneError(
                f"{self.name} ({self.model.config.model_type}) embeds tokens in a way that is no "
                "table times a number; expected one, so that a latent can be made of its rows"
            )
        return scale

    def mean_embedding(self, weights: Tensor) -> Tensor:
        """Input embeddings of all ids, averaged: weights (..., V) -> (..., D).

        Raises:
            BackboneError: if the embeddings are no table times a number, or there are more weights
                than ids.
        """
        table = self._embedding_weight
        if weights.shape[-1] > len(table):
            raise BackboneError(
                f"{self.name} predicts {weights.shape[-1]} tokens but embeds {len(table)}; "
                "expected an embedding for each token that it predicts"
            )
        mean = weights.to(table.dtype) @ table[: weights.shape[-1]]
        return mean * torch.tensor(self.embedding_scale, dtype=table.dtype, device=table.device)

    def hidden_states(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor,
        past_key_values: Cache | None = None,
    ) -> Tensor:
        """Last hidden states (B, T, D), ready for `logits`, on the device of `inputs_embeds`.

        Args:
            inputs_embeds: (B, T, D).
            attention_mask: (B, T_past + T), 1 at slots, 0 at padding; or (B, 1, T, T_past + T),
                added to the attention logits; None: there is no padding.
            position_ids: (B, T).
            past_key_values: a cache of T_past slots, which is extended in place.

        Raises:
            PromptError: if there are more slots than the decoder treats alike.
        """
        if attention_mask is None:
            # Transformers would take repeated position ids for the starts of packed sequences.
            past = 0 if past_key_values is None else past_key_values.get_seq_length()
            rows, length, _ = inputs_embeds.shape
            attention_mask = position_ids.new_ones(rows, past + length)
        slots = attention_mask.shape[-1]
        if self.slot_limit is not None and slots > self.slot_limit:
            raise PromptError(
                f"the batch has {slots} slots, latents and padding included, but "
                f"{self.name} scales attention by their number beyond {self.slot_limit}, so "
                "that latents and longer rows would change the others; shorten it"
            )
        with turn(self.model, "a forward pass"):
            output = self.trunk(
                inputs_embeds=inputs_embeds,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                use_cache=past_key_values is not None,
            )
        return output.last_hidden_state.to(inputs_embeds.device)  # layers may lie on other devices

    def logits(self, hidden_states: Tensor) -> Tensor:
        """Next-token logits (..., V) of last hidden states (..., D), on their device.

        The head is applied here, not by the model's own forward pass, because most slots need no
        logits; what some families do to logits after the head is repeated from their config.
        """
        logits = self.model.get_output_embeddings()(hidden_states).to(hidden_states.device)
        config = self.model.config.get_text_config()
        if scaling := getattr(config, "logits_scaling", None):  # Granite divides
            logits = logits / scaling
        if scale := getattr(config, "logit_scale", None):  # Cohere multiplies
            logits = logits * scale
        if cap := getattr(config, "final_logit_softcapping", None):  # Gemma 2
            logits = torch.tanh(logits / cap) * cap
        return logits
