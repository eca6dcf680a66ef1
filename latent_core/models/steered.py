"""`SteeredModel`: the interface of every method, be it latents, LoRA or nothing at all.

It has a backbone, a rule that places vectors between verbal tokens, and some trainable numbers. All
methods share one training path (the loss below), one decoding path (`latent_core.generation`) and
one evaluation path.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, cast, overload

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.modeling_layers import GradientCheckpointingLayer

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.chat import Prompt, as_prompts
from latent_core.backbones.turns import turn
from latent_core.errors import PromptError
from latent_core.generation.generate import Generation, generate
from latent_core.models.hesitation import best_probabilities
from latent_core.models.loss import losses_in_parts, parts_of
from latent_core.models.trained import (
    Companion,
    assign_weights,
    keep_trainable,
    miss_trainable_only,
    trainable_weights,
)
from latent_core.slots.batch import LatentBatch, collate
from latent_core.slots.placement import Placement, Slots

__all__ = ["SteeredModel"]


class SteeredModel(nn.Module, ABC):
    """A backbone and what steers it.

    Args:
        backbone: computes; of its weights only those that the method trains need gradients.
        placement: where latents (or other vectors) go between verbal tokens.
        method: the method's name, as records carry it.
        companion: what PEFT trains in the backbone, if anything.

    Attributes:
        shots: solved examples that evaluation puts in front of each prompt.
        learning_rate: of AdamW, where a user chooses none; None where it follows from the size of
            the backbone's input embeddings (`latent_core.models.rates`).

    Example:
        >>> import latent_core as lc
        >>> model = lc.build_model("tiny", "lora-r4")
        >>> isinstance(model, lc.SteeredModel), model.method
        (True, 'lora-r4')
    """

    # Tells Transformers' Trainer to pass `num_items_in_batch`, which makes accumulation exact.
    accepts_loss_kwargs = True
    shots: int = 0
    learning_rate: float | None = None

    def __init__(
        self,
        backbone: Backbone,
        placement: Placement,
        method: str,
        companion: Companion | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.placement = placement
        self.method = method
        self.companion = companion
        if companion is not None:
            assert companion.backbone is backbone, "the companion stands on another backbone"
            self.peft_model = companion.peft_model
        self.register_state_dict_post_hook(keep_trainable)
        self.register_load_state_dict_post_hook(miss_trainable_only)

    @abstractmethod
    def slot_embeddings(self, batch: LatentBatch) -> Tensor:
        """Input embeddings (B, T, D) of a batch's slots."""

    @abstractmethod
    def save_pretrained(self, folder: str | Path, **notes: Any) -> Path:
        """Write what was trained, and what it was trained for, into a folder.

        Args:
            folder: made if missing.
            notes: kept with it (task, seed, ...).
        """

    @abstractmethod
    def load_weights(self, folder: str | Path) -> None:
        """Take over the weights that `save_pretrained` wrote.

        Raises:
            AdapterError: if they are missing, damaged, or those of another method.
        """

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Put the model on the hub, with a card; a run's folder, with its records, tells more.

        Args:
            repo_id: `owner/name`.
            options: those of `latent_core.sharing.push_folder`, such as `private` or `token`.

        Returns:
            its address.
        """
        from latent_core.sharing import push_folder  # whose card's intervals need SciPy

        with tempfile.TemporaryDirectory() as folder:
            return push_folder(self.save_pretrained(folder), repo_id, **options)

    @property
    def hf_device_map(self) -> dict[str, Any]:
        """Where `device_map` put the backbone's modules; the Trainer then leaves them there.

        Raises:
            AttributeError: if it was loaded without, as Transformers and Accelerate expect.
        """
        return cast(dict[str, Any], self.backbone.model.hf_device_map)

    @property
    def virtual_tokens(self) -> int:
        """Positions beyond the placed slots that attention sees at every step."""
        return 0 if self.companion is None else self.companion.virtual_tokens

    @property
    def num_trainable(self) -> int:
        """Numbers that training changes."""
        return sum(weight.numel() for weight in self.parameters() if weight.requires_grad)

    def trainable_weights(self) -> dict[str, Tensor]:
        """What training changes, by name: detached copies on the CPU."""
        return trainable_weights(self)

    def assign(self, weights: Mapping[str, Tensor]) -> None:
        """Overwrite what training changes, in place, as `trainable_weights` gave it."""
        assign_weights(self, weights)

    def train(self, mode: bool = True) -> Self:
        """Set training mode, except for the backbone: nothing of it drops out."""
        super().train(mode)
        self.backbone.model.eval()
        for layer in self._checkpointed_layers():
            layer.training = mode  # they recompute only in training mode
        return self

    @property
    def recomputes(self) -> bool:
        """Whether layers recompute their activations now, for which they drop a cache."""
        return self.training and bool(self._checkpointed_layers())

    def _checkpointed_layers(self) -> list[GradientCheckpointingLayer]:
        return [
            module
            for module in self.backbone.model.modules()
            if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing
        ]

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: dict[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Recompute activations in the backward pass: less memory, same numbers, 1.3x the time.

        The arguments are those of `PreTrainedModel.activation_checkpointing_enable`; the Trainer
        passes them on.
        """
        if self.companion is not None:
            self.companion.refuse_recomputing()
        model = self.backbone.model
        kwargs = {"use_reentrant": False} | (activation_checkpointing_kwargs or {})
        model.activation_checkpointing_enable(kwargs, every_n_layers, offload)
        for layer in self._checkpointed_layers():
            # In training mode some layers (OPT, Falcon) would apply dropout of their own, at a rate
            # that they or their config hold; the rates of their children stay off as they are.
            for owner in (layer, model.config):
                for name, value in vars(owner).items():
                    if "dropout" in name and isinstance(value, float):
                        setattr(owner, name, 0.0)
        self.train(self.training)

    def insert(self, prompt: str, response: str | None = None) -> Slots:
        """The slots of one text example; with a response, it ends in the end-of-sequence token."""
        if response is None:
            return self.place(self.backbone.encode(prompt))
        return self.place(*self.backbone.encode_example(prompt, response))

    def place(self, prompt_ids: Sequence[int], response_ids: Sequence[int] | None = None) -> Slots:
        """The slots of one example of verbal ids.

        With a group at `Unsure`, the model goes over the response to find its places.

        Raises:
            PromptError: if the prompt is empty, or the example longer than the context window.
        """
        slots = self.place_unchecked(prompt_ids, response_ids)
        limit = self.backbone.context_length
        last = max(slot.position_id for slot in slots.slots)
        if limit is not None and last >= limit:
            raise PromptError(
                f"the example reaches position {last}, but {self.backbone.name} has a context "
                f"window of {self.backbone.context_limit}; shorten it"
            )
        if self.companion is not None:
            self.companion.check_position(last)
        return slots

    def place_unchecked(
        self, prompt_ids: Sequence[int], response_ids: Sequence[int] | None = None
    ) -> Slots:
        """As `place`, whether the slots fit the context window or not."""
        best: list[float] = []
        if response_ids and prompt_ids and self.placement.thresholds:
            best = best_probabilities(self, prompt_ids, response_ids)
        return self.placement.insert(prompt_ids, response_ids, best)

    def hidden_states(
        self,
        batch: LatentBatch,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        before: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states (B, T, D) of a batch on the model's device.

        Args:
            batch: the slots.
            attention_mask: (B, T_past + T), of the cached slots and the batch's, if there is a
                cache.
            past_key_values: a cache of T_past slots, extended in place.
            before: (B, D), the last hidden state of each row's slot before the batch. Only a batch
                that begins with a computed latent needs it.
        """
        mask = batch.attention_mask if attention_mask is None else attention_mask
        return self.run_slots(
            self.slot_embeddings(batch), mask, batch.position_ids, past_key_values
        )

    def run_slots(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past_key_values: Cache | None = None,
    ) -> Tensor:
        """Last hidden states (B, T, D) of slots whose inputs (B, T, D) are known."""
        run = self.backbone.hidden_states if self.companion is None else self.companion.run_slots
        return run(inputs_embeds, attention_mask, position_ids, past_key_values)

    def forward(
        self,
        input_ids: Tensor,
        latent_rows: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        labels: Tensor,
        num_items_in_batch: Tensor | int | None = None,
    ) -> dict[str, Tensor]:
        """Mean cross-entropy of the labelled slots; arguments as in `LatentBatch`, all (B, T).

        Args:
            num_items_in_batch: divide the sum by this instead (labels of all accumulated batches).

        Returns:
            `loss`, a scalar, and `token_losses` (N,), detached, one per label in row-major order.
        """
        batch = LatentBatch(input_ids, latent_rows, attention_mask, position_ids, labels)
        total, losses = losses_in_parts(
            self, batch, parts_of(self, batch, bool(self._checkpointed_layers()))
        )
        divisor = len(losses) if num_items_in_batch is None else num_items_in_batch
        return {"loss": total / divisor, "token_losses": losses}

    @torch.no_grad()
    def logits(self, batch: LatentBatch) -> Tensor:
        """Logits (B, T, V) of every slot; for looking, not for training."""
        return self.backbone.logits(self.hidden_states(batch))

    def batch(self, examples: Sequence[Slots]) -> LatentBatch:
        """Right-padded tensors of `examples` on the model's device."""
        return collate(examples).to(self.backbone.device)

    @overload
    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        max_new_tokens: int | Sequence[int] | None = None,
        *,
        return_details: Literal[False] = False,
        **settings: Any,
    ) -> list[str]: ...

    @overload
    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        max_new_tokens: int | Sequence[int] | None = None,
        *,
        return_details: Literal[True],
        **settings: Any,
    ) -> list[Generation]: ...

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        max_new_tokens: int | Sequence[int] | None = None,
        *,
        return_details: bool = False,
        **settings: Any,
    ) -> list[str] | list[Generation]:
        """Continue prompts, inserting latents on the way.

        Args:
            prompts: a text, a conversation (a list of messages) or verbal ids, or several of these.
            max_new_tokens: verbal tokens per response at most; 64 by default.
            return_details: give a `Generation` for each response instead of its text.
            settings: see `latent_core.generation.generate.generate`.

        Returns:
            one response per prompt, or `num_return_sequences` per prompt, side by side.
        """
        if self.virtual_tokens and self.backbone.has_sliding_window:
            # The padding of a ragged batch would stand between them and the prompt in the window.
            settings["batch_size"] = 1
        with turn(self.backbone.model, f"generation of {self.method}"):
            training = self.training
            self.train(False)  # layers that recompute would do without their cache
            try:
                rows = generate(self, as_prompts(prompts), max_new_tokens, **settings)
            finally:
                self.train(training)
        return rows if return_details else [row.text for row in rows]
