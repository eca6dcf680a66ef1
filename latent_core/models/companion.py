"""`Companion`: what PEFT trains inside a backbone, alone or beside latent tables.

The protocol that models ask of it. `latent_core.models.baselines.peft_baseline` implements it;
nothing here imports PEFT.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import Tensor, nn
from transformers import Cache

from latent_core.backbones.backbone import Backbone

__all__ = ["Companion"]


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
