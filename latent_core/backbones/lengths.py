"""The lengths up to which a decoder is exact, by its config.

Some decoders compute a token otherwise once a sequence is long. LongRoPE and dynamic NTK change all
rotary frequencies with the largest position of a batch. A cached key then keeps the old
frequencies, and a short row gets the new ones because of a long row beside it. Llama 4 scales
attention by the number of slots before a token, padding and latents included. Within the lengths
given here, none of this happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from transformers import PreTrainedConfig

__all__ = ["ContextLimit", "context_limit", "slot_limit"]

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
