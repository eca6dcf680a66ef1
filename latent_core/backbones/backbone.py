"""A name becomes a `Backbone`: a frozen decoder and its tokenizer, proven fit for latent tokens.

What latent tokens need of a decoder is tried out when it is loaded
(`latent_core.backbones.probing`), and a family that fails is refused with the reason. Beyond
that, this module knows nothing of latents.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    Cache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from latent_core.backbones.chat import Conversation, render_chat
from latent_core.backbones.fingerprints import vocabulary_fingerprint, weights_fingerprint
from latent_core.backbones.known import BACKBONES
from latent_core.backbones.probing import refuse_unfit
from latent_core.errors import BackboneError, LayoutError, PromptError
from latent_core.progress import without_loading_bars
from latent_core.slots.layout import After, Before, LatentLayout
from latent_core.slots.placement import Placement
from latent_core.wording import did_you_mean

__all__ = ["Backbone", "load_backbone"]

#: Arguments of `from_pretrained` that say where a checkpoint comes from.
_SOURCE = ("revision", "token", "cache_dir", "subfolder", "local_files_only")


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen decoder-only Transformer and its tokenizer.

    Attributes:
        name: what it was loaded by: a short name, a hub id or a directory.
        model: the causal language model, in evaluation mode, without gradients.
        tokenizer: its tokenizer.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)
        refuse_unfit(self)

    def __repr__(self) -> str:
        return (
            f"Backbone({self.name!r}: {self.model.config.model_type}, "
            f"{self.model.num_parameters():,} parameters, {self.model.dtype} on {self.device})"
        )

    @property
    def decoder(self) -> PreTrainedModel:
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
        """Verbal tokens the backbone can number, or None where its config sets no limit."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

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
    def eos_ids(self) -> frozenset[int]:
        """Token ids that end a response."""
        found: set[int] = set()
        config = self.model.generation_config
        for ids in (self.tokenizer.eos_token_id, config.eos_token_id if config else None):
            found.update([ids] if isinstance(ids, int) else ids or ())
        return frozenset(found)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Input embeddings (..., D) of verbal ids; the module is called, since it may scale."""
        return self.model.get_input_embeddings()(input_ids)

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
        """
        if attention_mask is None:
            # Transformers would take repeated position ids for the starts of packed sequences.
            past = 0 if past_key_values is None else past_key_values.get_seq_length()
            rows, length, _ = inputs_embeds.shape
            attention_mask = position_ids.new_ones(rows, past + length)
        return self.decoder(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=past_key_values is not None,
        ).last_hidden_state.to(inputs_embeds.device)  # layers may lie on other devices

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

    def chat_text(self, messages: Conversation) -> str:
        """A conversation as the text the model was trained on, ready for its answer.

        Raises:
            PromptError: if the tokenizer has no chat template, or that cannot take these messages.
        """
        return render_chat(self.tokenizer, messages, self.name)

    def encode(self, prompt: str, special: bool = True) -> list[int]:
        """Verbal ids of a prompt; `special`: with the special tokens the tokenizer puts there.

        Raises:
            PromptError: if the prompt is empty, or longer than the context window.
        """
        if not prompt:
            raise PromptError("the prompt is empty; expected at least one character")
        # Not verbose: Transformers' warning about length would come before the error below.
        ids = self.tokenizer(prompt, add_special_tokens=special, verbose=False)["input_ids"]
        if self.context_length is not None and len(ids) >= self.context_length:
            shown = prompt if len(prompt) <= 40 else f"{prompt[:40]}..."
            raise PromptError(
                f"the prompt {shown!r} has {len(ids)} tokens, but {self.name} has a context "
                f"window of {self.context_length}; shorten it"
            )
        return ids

    def encode_response(self, response: str, end: bool = True) -> list[int]:
        """Verbal ids of a response, closed by the end-of-sequence token if `end`."""
        ids = self.tokenizer(response, add_special_tokens=False)["input_ids"]
        eos = self.tokenizer.eos_token_id
        return [*ids, eos] if end and eos is not None else ids

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """Text of verbal ids, special tokens left out unless `special`."""
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=not special, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    def token_text(self, token_id: int) -> str:
        """What one token id decodes to on its own, special tokens by their names."""
        text = self.tokenizer.decode([token_id], clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

    @cached_property
    def token_texts(self) -> tuple[str, ...]:
        """What each token id decodes to on its own; empty for special and unused ids."""
        size = max(len(self.tokenizer), self.vocabulary_size)
        texts = self.tokenizer.batch_decode(
            [[token_id] for token_id in range(size)], clean_up_tokenization_spaces=False
        )
        special = {
            token_id
            for token_id, token in self.tokenizer.added_tokens_decoder.items()
            if token.special
        }.union(self.tokenizer.all_special_ids)
        return tuple("" if token_id in special else text for token_id, text in enumerate(texts))

    @cached_property
    def _scans(self) -> dict[str, frozenset[int]]:
        """What `trigger_ids` has found so far, by text."""
        return {}

    def trigger_ids(self, texts: Iterable[str]) -> frozenset[int]:
        """Ids of all tokens whose text contains one of `texts`: `,` is in `,`, `),` and `",`."""
        found: frozenset[int] = frozenset()
        for text in texts:
            if text not in self._scans:
                tokens = enumerate(self.token_texts)
                self._scans[text] = frozenset(token_id for token_id, t in tokens if text in t)
            found |= self._scans[text]
        return found

    def place(self, layout: LatentLayout) -> Placement:
        """The layout with its triggers looked up in this tokenizer's vocabulary.

        Raises:
            LayoutError: if no single token contains a trigger's text.
        """
        triggers: dict[str, frozenset[int]] = {}
        for group in layout.groups:
            if isinstance(group.place, Before | After):
                for text in group.place.texts:
                    if not self.trigger_ids([text]):
                        raise LayoutError(
                            f"group {group.name!r}: no token of {self.name}'s vocabulary contains "
                            f"{text!r}; choose another trigger text, or a shorter one"
                        )
                triggers[group.name] = self.trigger_ids(group.place.texts)
        return Placement(layout, triggers)

    @cached_property
    def fingerprint(self) -> str:
        """Tells architecture and weights apart, whatever precision they are loaded in."""
        return weights_fingerprint(self.model)

    @cached_property
    def tokenizer_fingerprint(self) -> str:
        """Tells vocabularies apart."""
        return vocabulary_fingerprint(self.tokenizer)


def load_backbone(
    name: str | Path | Backbone,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
    **from_pretrained: Any,
) -> Backbone:
    """Load a decoder-only Transformer for latent tokens.

    Args:
        name: a short name of `BACKBONES`, a directory, or a Hugging Face hub id.
        dtype: of the weights; `auto` takes the checkpoint's own, but float32 instead of bfloat16 on
            a processor without bf16 instructions, where bf16 is several times slower. The latents
            stay fp32 in any case.
        device: where to put the model; by default a GPU if there is one.
        trust_remote_code: whether code that comes with a checkpoint may run.
        from_pretrained: further arguments of `AutoModelForCausalLM.from_pretrained`; those that say
            where it comes from (`revision`, `token`, ...) hold for config and tokenizer, too.

    Raises:
        BackboneError: if it cannot be found, or cannot honour what latent tokens need.
    """
    if isinstance(name, Backbone):
        return name
    text = str(name)
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    location = str(BACKBONES[text].locate()) if text in BACKBONES else text
    source = {name: from_pretrained[name] for name in _SOURCE if name in from_pretrained}
    source["trust_remote_code"] = trust_remote_code
    if not Path(location).is_dir():
        _find_on_hub(text, **source)
    try:
        config = AutoConfig.from_pretrained(location, **source)
        if config.is_encoder_decoder:
            raise BackboneError(
                f"{text} is an encoder-decoder ({config.model_type}); expected a decoder-only model"
            )
        if dtype == "auto" and config.dtype == torch.bfloat16 and not _has_fast_bf16(target):
            dtype = torch.float32
        tokenizer = AutoTokenizer.from_pretrained(location, **source)
        quiet = without_loading_bars() if Path(location).is_dir() else nullcontext()
        with quiet:
            model = AutoModelForCausalLM.from_pretrained(
                location, dtype=dtype, trust_remote_code=trust_remote_code, **from_pretrained
            )
    except BackboneError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BackboneError(_not_loaded(text, error)) from error
    if "device_map" not in from_pretrained:
        torch.nn.Module.to(model, target)
    return Backbone(text, model, tokenizer)


def _find_on_hub(hub_id: str, **source: Any) -> None:
    """Make sure of a checkpoint's config, so that a hub out of reach is known at once.

    Transformers by itself would try again and again, half a minute for every file.

    Raises:
        BackboneError: if the hub has none or cannot be reached; without asking it if the name looks
            like a misspelt short name, and not like `owner/name`.
    """
    if "/" not in hub_id and did_you_mean(hub_id, BACKBONES) != ".":
        raise BackboneError(_not_loaded(hub_id))
    about_files = ("subfolder", "trust_remote_code")
    known = {name: value for name, value in source.items() if name not in about_files}
    try:
        snapshot_download(hub_id, allow_patterns="config.json", **known)
    except (HTTPError, OSError, ValueError) as error:  # no answer, no file, no valid id
        # The frames of the HTTP client say nothing that the error itself does not.
        raise BackboneError(_not_loaded(hub_id, error)) from None


def _not_loaded(name: str, error: Exception | None = None) -> str:
    cause = "" if error is None else f"; {' '.join(str(error).split())}"
    return (
        f"cannot load backbone {name!r}{did_you_mean(name, BACKBONES)} Expected one of "
        f"{', '.join(BACKBONES)}, a directory with config.json, weights and tokenizer, or a hub id "
        f"that can be reached{cause}"
    )


def _has_fast_bf16(device: torch.device) -> bool:
    """Whether bf16 arithmetic is native; unknown kinds of processor count as able."""
    able = torch.cpu.get_capabilities()
    if device.type != "cpu" or able.get("architecture") != "x86_64":
        return True
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
