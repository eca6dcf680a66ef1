"""The switch of a model to another attention of Transformers' registry, and back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

__all__ = ["switched"]


@contextlib.contextmanager
def switched(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Inside the block, the model attends by the registered function of a name.

    On leaving, also by an exception, every configuration says what it said before.

    Args:
        model: the model. A family that does not attend through the registry stays as it is.
        name: as it was registered.
    """
    # Outer configs first: setting one sets its sub-configs too, whose own value then follows.
    before = [(config, config._attn_implementation) for config in _configs(model)]
    try:
        model.set_attn_implementation(name)
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation = implementation


def _configs(model: nn.Module) -> list[PreTrainedConfig]:
    """Every config that the model's modules read, outer ones first."""
    found: dict[int, PreTrainedConfig] = {}
    for module in model.modules():
        config = getattr(module, "config", None)
        if isinstance(config, PreTrainedConfig):
            found.setdefault(id(config), config)
    return list(found.values())
