"""The state of a model without its frozen weights: `state_dict()` holds what trains alone."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["keep_trainable", "miss_trainable_only"]


def keep_trainable(
    module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]
) -> None:
    """Leave frozen weights out of `state_dict()`, and tied ones in once."""
    kept = {f"{prefix}{name}" for name in _trainable_names(module)}
    for key in [key for key in state if key.startswith(prefix) and key not in kept]:
        del state[key]


def miss_trainable_only(module: nn.Module, keys: Any) -> None:
    """What `keep_trainable` left out is not missing on loading."""
    wanted = _trainable_names(module)
    keys.missing_keys[:] = [key for key in keys.missing_keys if key in wanted]


def _trainable_names(module: nn.Module) -> set[str]:
    return {name for name, weight in module.named_parameters() if weight.requires_grad}
