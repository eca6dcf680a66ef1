"""Where a GGUF file lies, and what Transformers needs in order to unpack it.

Transformers reads the weights, the config and the tokenizer of the architectures that it knows. Of
SmolLM2's package, `latent_core.backbones.gguf` makes an ordinary checkpoint, which loads faster.
"""

from __future__ import annotations

import struct
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

from safetensors import SafetensorError
from transformers import GgufConfig
from transformers.integrations.gguf.reader import read_gguf_metadata

from latent_core.errors import BackboneError

__all__ = ["UNREADABLE", "GgufSource", "gguf_source", "not_readable", "unpacked"]

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
