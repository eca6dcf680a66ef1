"""The state of a model without its frozen weights: `state_dict()` holds what trains alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["assign_weights", "keep_trainable", "miss_trainable_only", "trainable_weights"]


def trainable_weights(module: nn.Module) -> dict[str, Tensor]:
    """What training changes, by name: detached copies on the CPU."""
    return {
        name: weight.detach().cpu().clone()
        for name, weight in module.named_parameters()
        if weight.requires_grad
    }


@torch.no_grad()
def assign_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Overwrite what training changes, in place, as `trainable_weights` gave it."""
    for name, weight in module.named_parameters():
        if weight.requires_grad:
            weight.copy_(weights[name])


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
