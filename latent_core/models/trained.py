"""What trains in a model: what PEFT trains inside the backbone, and the state that holds it alone.

`Companion` is the protocol that models ask of what PEFT trains.
`latent_core.models.baselines.peft_baseline` implements it; nothing here imports PEFT.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import Cache

from latent_core.backbones.backbone import Backbone

__all__ = [
    "Companion",
    "assign_weights",
    "keep_trainable",
    "miss_trainable_only",
    "trainable_weights",
]


class Companion(Protocol):
    """A trained change to a copy of a backbone.

    Attributes:
        method: its name as a method of its own, such as `lora-r8`.
        learning_rate: of AdamW, where a user chooses none.
        virtual_tokens: keys and values before the first slot, in every layer.
    """

    method: str
    learning_rate: float | None
    virtual_tokens: int

    @property
    def backbone(self) -> Backbone:
        """The copy, whose modules are its own and whose weights are shared."""

    @property
    def peft_model(self) -> nn.Module:
        """Holds what trains; a model registers it."""

    def run_slots(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past_key_values: Cache | None = None,
    ) -> Tensor:
        """Last hidden states (B, T, D) of slots whose inputs are known."""

    def check_position(self, position: int) -> None:
        """Refuse a position that is beyond the context window.

        Raises:
            PromptError: naming the window.
        """

    def refuse_recomputing(self) -> None:
        """Refuse recomputed activations, if they would change the numbers.

        Raises:
            SettingError: with what to use instead.
        """

    def write(self, folder: Path) -> None:
        """Write PEFT's files, which PEFT alone can load."""

    def read(self, folder: Path) -> None:
        """Take over what `write` wrote.

        Raises:
            AdapterError: if it is that of another method.
        """


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
