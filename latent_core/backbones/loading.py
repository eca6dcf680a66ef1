"""A name becomes a `Backbone`: a short name, a directory, a GGUF file, or a Hugging Face hub id.

Transformers reads the weights, the config and the tokenizer of a GGUF file of the architectures
that it knows. Of SmolLM2's package, `latent_core.backbones.gguf` makes an ordinary checkpoint,
which loads faster.
"""

from __future__ import annotations

import struct
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedConfig,
)
from transformers.integrations.gguf.reader import read_gguf_metadata

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.known import BACKBONES
from latent_core.errors import BackboneError
from latent_core.progress import without_loading_bars
from latent_core.wording import did_you_mean

__all__ = [
    "UNREADABLE",
    "GgufSource",
    "gguf_source",
    "has_fast_bf16",
    "load_backbone",
    "not_readable",
    "unpacked",
]

SUFFIX: Final = ".gguf"
#: What Transformers raises on a file that is damaged or of an architecture that it does not know.
UNREADABLE: Final = (
    *(OSError, ValueError, RuntimeError, SafetensorError),
    *(LookupError, AttributeError, TypeError, struct.error),
)


class GgufSource(NamedTuple):
    """A GGUF file, as `from_pretrained` takes it.

    Attributes:
        location: the folder or the hub id.
        file: its name in there.
    """

    location: str
    file: str

    @property
    def name(self) -> str:
        """What `load_backbone` finds it by again."""
        return f"{self.location}/{self.file}"


def gguf_source(name: str, gguf_file: str | None) -> GgufSource | None:
    """Find the GGUF file that is meant; None if it is none.

    Args:
        name: a folder or a hub id; or a path, or `owner/name/file.gguf` on the hub.
        gguf_file: its name in the folder or in the hub's repository, unless `name` ends in it.

    Raises:
        BackboneError: if there is no such file.
    """
    if gguf_file is None and not (name.endswith(SUFFIX) and not Path(name).is_dir()):
        return None
    if gguf_file is not None:
        found = GgufSource(name.rstrip("/"), gguf_file)
    else:
        path = Path(name)
        owner_name, rest = "/".join(path.parts[:2]), "/".join(path.parts[2:])
        on_hub = rest and not path.is_absolute() and not Path(path.parts[0]).is_dir()
        found = GgufSource(owner_name, rest) if on_hub else GgufSource(str(path.parent), path.name)
        if on_hub:
            return found
    if Path(found.location).is_dir() or gguf_file is None:
        if not Path(found.name).is_file():
            there = sorted(path.name for path in Path(found.location).glob(f"*{SUFFIX}"))
            raise BackboneError(
                f"there is no GGUF file {found.name}; expected the path of one, or "
                f"owner/name/file.gguf on the hub. {found.location} holds "
                f"{', '.join(there) or 'no GGUF file'}"
            )
        _architecture(found)
    return found


def unpacked(arguments: dict[str, Any]) -> GgufConfig:
    """Say to Transformers that weights are to be unpacked, so that gradients pass through them.

    Raises:
        BackboneError: if the caller's arguments of `from_pretrained` say otherwise.
    """
    if "quantization_config" in arguments:
        raise BackboneError(
            "quantization_config does not go with a GGUF file: its weights are unpacked, because "
            "latents need gradients through them. Leave it out, or load the original checkpoint"
        )
    return GgufConfig(dequantize=True)


def not_readable(source: GgufSource, error: Exception) -> str:
    """Say why a GGUF file could not be loaded, and of which architecture it is."""
    local = Path(source.name).is_file()
    kind = f" of architecture {_architecture(source)!r}" if local else ""
    return (
        f"cannot load {source.name}: Transformers {version('transformers')} cannot read this GGUF "
        f"file{kind}; {type(error).__name__}: {' '.join(str(error).split())}. Load the original "
        "checkpoint instead (config.json and safetensors)"
    )


def _architecture(source: GgufSource) -> str:
    try:
        metadata, _ = read_gguf_metadata(source.name)
        return str(metadata["general.architecture"])
    except UNREADABLE as error:
        raise BackboneError(
            f"{source.name} is no GGUF file, or a damaged one: {error}; copy it again from where "
            "it was made"
        ) from error


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
