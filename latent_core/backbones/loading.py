"""A name becomes a `Backbone`: a short name, a directory, a GGUF file, or a Hugging Face hub id."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.gguf_source import (
    UNREADABLE,
    GgufSource,
    gguf_source,
    not_readable,
    unpacked,
)
from latent_core.backbones.known import BACKBONES
from latent_core.errors import BackboneError
from latent_core.progress import without_loading_bars
from latent_core.wording import did_you_mean

__all__ = ["has_fast_bf16", "load_backbone"]

_SOURCE: Final[tuple[str, ...]] = (
    "revision",
    "token",
    "cache_dir",
    "subfolder",
    "local_files_only",
)
"""Arguments of `from_pretrained` that say where a checkpoint comes from."""


def load_backbone(
    name: str | Path | Backbone,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
    gguf_file: str | None = None,
    **from_pretrained: Any,
) -> Backbone:
    """Load a decoder-only Transformer for latent tokens.

    Args:
        name: a short name of `BACKBONES`, a directory, a Hugging Face hub id, or a GGUF file: its
            path, or `owner/name/file.gguf` on the hub.
        dtype: of the weights; `auto` takes the checkpoint's own (bfloat16 for a GGUF file), but
            float32 instead of bfloat16 on a processor without bf16 instructions, where bf16 is
            several times slower. The latents stay fp32 in any case.
        device: where to put the model; by default a GPU if there is one.
        trust_remote_code: whether code that comes with a checkpoint may run.
        gguf_file: a GGUF file in the directory or on the hub, of any architecture that Transformers
            reads. Its weights are unpacked to `dtype`, which takes the memory of that.
        from_pretrained: further arguments of `AutoModelForCausalLM.from_pretrained`; those that say
            where it comes from (`revision`, `token`, ...) hold for config and tokenizer, too.

    Raises:
        BackboneError: if it cannot be found, or cannot honour what latent tokens need.

    Example:
        >>> import latent_core as lc
        >>> lc.load_backbone("tiny").name
        'tiny'
    """
    if isinstance(name, Backbone):
        return name
    text = str(name)
    asked = str(dtype).removeprefix("torch.")
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    gguf = gguf_source(text, gguf_file)
    if gguf is not None:
        return _load_gguf(gguf, dtype, target, trust_remote_code, asked, from_pretrained)
    location = str(BACKBONES[text].locate()) if text in BACKBONES else text
    source = {name: from_pretrained[name] for name in _SOURCE if name in from_pretrained}
    source["trust_remote_code"] = trust_remote_code
    if not Path(location).is_dir():
        _find_on_hub(text, **source)
    try:
        config = AutoConfig.from_pretrained(location, **source)
        _refuse_encoder_decoder(text, config)
        if dtype == "auto" and config.dtype == torch.bfloat16 and not has_fast_bf16(target):
            dtype = torch.float32
        tokenizer = AutoTokenizer.from_pretrained(location, **source)
        quiet = without_loading_bars() if Path(location).is_dir() else nullcontext()
        with quiet:
            # Merged first: an editor would search Transformers for what ** stands for, for minutes.
            arguments = {"dtype": dtype, "trust_remote_code": trust_remote_code} | from_pretrained
            model = AutoModelForCausalLM.from_pretrained(location, **arguments)
    except BackboneError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BackboneError(_not_loaded(text, error)) from error
    if "device_map" not in from_pretrained:
        torch.nn.Module.to(model, target)
    return Backbone(text, model, tokenizer, asked_dtype=asked)


def _load_gguf(
    gguf: GgufSource,
    dtype: str | torch.dtype,
    target: torch.device,
    trust_remote_code: bool,
    asked: str,
    from_pretrained: dict[str, Any],
) -> Backbone:
    """Load a GGUF file, with its weights unpacked, as any other checkpoint."""
    source = {name: from_pretrained[name] for name in _SOURCE if name in from_pretrained}
    source |= {"trust_remote_code": trust_remote_code, "gguf_file": gguf.file}
    if dtype == "auto":
        dtype = torch.bfloat16 if has_fast_bf16(target) else torch.float32
    unpacking = unpacked(from_pretrained)
    if not Path(gguf.location).is_dir():
        _find_on_hub(gguf.location, **source)
    try:
        with without_loading_bars():
            config = AutoConfig.from_pretrained(gguf.location, **source)
            _refuse_encoder_decoder(gguf.name, config)
            tokenizer = AutoTokenizer.from_pretrained(gguf.location, **source)
            # With the config at hand, the file is not read for it once more.
            arguments = source | {"dtype": dtype, "config": config} | from_pretrained
            arguments["quantization_config"] = unpacking
            model = AutoModelForCausalLM.from_pretrained(gguf.location, **arguments)
    except BackboneError:
        raise
    except torch.OutOfMemoryError:
        raise
    except UNREADABLE as error:
        raise BackboneError(not_readable(gguf, error)) from error
    if "device_map" not in from_pretrained:
        torch.nn.Module.to(model, target)
    return Backbone(gguf.name, model, tokenizer, asked_dtype=asked)


def _refuse_encoder_decoder(name: str, config: PreTrainedConfig) -> None:
    if config.is_encoder_decoder:
        raise BackboneError(
            f"{name} is an encoder-decoder ({config.model_type}); expected a decoder-only model"
        )


def _find_on_hub(hub_id: str, gguf_file: str = "config.json", **source: Any) -> None:
    """Make sure of a checkpoint's config, so that a hub out of reach is known at once.

    A GGUF file holds its own config. Transformers by itself would try again and again, half a
    minute for every file.

    Raises:
        BackboneError: if the hub has none or cannot be reached; without asking it if the name looks
            like a misspelt short name, and not like `owner/name`.
    """
    if "/" not in hub_id and did_you_mean(hub_id, BACKBONES) != ".":
        raise BackboneError(_not_loaded(hub_id))
    about_files = ("subfolder", "trust_remote_code")
    known = {name: value for name, value in source.items() if name not in about_files}
    try:
        snapshot_download(hub_id, allow_patterns=gguf_file, **known)
    except (HTTPError, OSError, ValueError) as error:  # no answer, no file, no valid id
        # The frames of the HTTP client say nothing that the error itself does not.
        raise BackboneError(_not_loaded(hub_id, error)) from None


def _not_loaded(name: str, error: Exception | None = None) -> str:
    cause = "" if error is None else f"; {' '.join(str(error).split())}"
    return (
        f"cannot load backbone {name!r}{did_you_mean(name, BACKBONES)} Expected one of "
        f"{', '.join(BACKBONES)}, a directory with config.json, weights and tokenizer, a GGUF "
        f"file, or a hub id that can be reached{cause}"
    )


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bf16 arithmetic is native; unknown kinds of processor count as able."""
    able = torch.cpu.get_capabilities()
    if device.type != "cpu" or able.get("architecture") != "x86_64":
        return True
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
