"""`LatentModel`: a frozen backbone with trainable latent tokens; loss, generation, save and load.

Knows nothing of tasks, of training loops, or of how results are judged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Cache
from transformers.modeling_layers import GradientCheckpointingLayer

from latent_core.adapter import AdapterConfig, read_adapter, write_adapter
from latent_core.backbones import Backbone, load_backbone
from latent_core.batch import LatentBatch, collate
from latent_core.embedding import LatentTables, initial_rows
from latent_core.errors import AdapterError, PromptError
from latent_core.generation import Generation, generate
from latent_core.insertion import IGNORE, Slots
from latent_core.layout import LatentLayout

__all__ = ["LatentModel"]


class LatentModel(nn.Module):
    """Latent tokens on a frozen decoder (arXiv 2505.12629, section 3).

    Only the latent tables train: `num_latents x D` numbers. The backbone stays bit-identical, in
    evaluation mode and without gradients, and is left out of `state_dict()`.

    Args:
        backbone: a `Backbone` or what `load_backbone` takes.
        layout: a `LatentLayout` or its notation, such as `Start_1+Comma_2`.
        seed: of the initial vectors.
        init: how the vectors start; see `latent_core.embedding.initial_rows`.

    Raises:
        LayoutError: if the layout cannot be read, or the tokenizer lacks one of its triggers.
        BackboneError: if the backbone cannot carry latent tokens.
    """

    # Tells Transformers' Trainer to pass `num_items_in_batch`, which makes accumulation exact.
    accepts_loss_kwargs = True

    def __init__(
        self,
        backbone: Backbone | str | Path,
        layout: LatentLayout | str,
        seed: int = 0,
        init: str = "vocab",
    ) -> None:
        super().__init__()
        self.backbone = load_backbone(backbone)
        self.layout = LatentLayout.parse(layout)
        self.placement = self.backbone.place(self.layout)
        self.base_model = self.backbone.model
        special = set(self.backbone.tokenizer.all_special_ids)
        size = min(len(self.backbone.tokenizer), self.backbone.vocabulary_size)
        ordinary = [i for i in range(size) if i not in special]
        rows = initial_rows(
            self.layout,
            self.backbone.embed,
            torch.tensor(ordinary, device=self.backbone.device),
            init,
            seed,
            lambda text: self.backbone.tokenizer(text, add_special_tokens=False)["input_ids"],
        )
        self.tables = LatentTables(self.layout, rows, self.backbone.hidden_size)
        self.tables.to(self.backbone.device)
        self.register_state_dict_post_hook(_leave_out_backbone)
        self.register_load_state_dict_post_hook(_miss_no_backbone)
        self.train(False)

    @property
    def num_trainable(self) -> int:
        """Trainable numbers: latents in all tables, times D."""
        return sum(p.numel() for p in self.tables.parameters() if p.requires_grad)

    def train(self, mode: bool = True) -> LatentModel:
        """Set training mode for the tables; the backbone never leaves evaluation mode."""
        super().train(mode)
        self.base_model.eval()
        for layer in self._checkpointed_layers():
            layer.training = mode  # they recompute only in training mode
        return self

    def _checkpointed_layers(self) -> list[GradientCheckpointingLayer]:
        return [
            module
            for module in self.base_model.modules()
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
        kwargs = {"use_reentrant": False} | (activation_checkpointing_kwargs or {})
        self.base_model.activation_checkpointing_enable(kwargs, every_n_layers, offload)
        for layer in self._checkpointed_layers():
            # In training mode some layers (OPT, Falcon) would apply dropout of their own, at a rate
            # that they or their config hold; the rates of their children stay off as they are.
            for owner in (layer, self.base_model.config):
                for name, value in vars(owner).items():
                    if "dropout" in name and isinstance(value, float):
                        setattr(owner, name, 0.0)
        self.train(self.training)

    def insert(self, prompt: str, response: str | None = None) -> Slots:
        """The slots of one text example; with a response, it ends in the end-of-sequence token."""
        response_ids = None if response is None else self.backbone.encode_response(response)
        return self.place(self.backbone.encode(prompt), response_ids)

    def place(self, prompt_ids: Sequence[int], response_ids: Sequence[int] | None = None) -> Slots:
        """The slots of one example of verbal ids.

        Raises:
            PromptError: if the prompt is empty, or the example longer than the context window.
        """
        slots = self.placement.insert(prompt_ids, response_ids)
        limit = self.backbone.context_length
        last = max(slot.position_id for slot in slots.slots)
        if limit is not None and last >= limit:
            raise PromptError(
                f"the example reaches position {last}, but {self.backbone.name} has a context "
                f"window of {limit}; shorten it"
            )
        return slots

    def hidden_states(
        self,
        batch: LatentBatch,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
    ) -> Tensor:
        """Last hidden states (B, T, D) of a batch on the model's device.

        Args:
            batch: the slots.
            attention_mask: (B, T_past + T), of the cached slots and the batch's, if there is a
                cache.
            past_key_values: a cache of T_past slots, extended in place.
        """
        inputs_embeds = self.tables.mix(self.backbone.embed(batch.input_ids), batch.latent_rows)
        mask = batch.attention_mask if attention_mask is None else attention_mask
        return self.backbone.hidden_states(inputs_embeds, mask, batch.position_ids, past_key_values)

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
        labelled = labels != IGNORE
        # Gathered into one block (N, D): the head is slow on strided rows, and few slots need it.
        hidden_states = self.hidden_states(batch)[labelled]
        logits = self.backbone.logits(hidden_states).float()
        losses = F.cross_entropy(logits, labels[labelled], reduction="none")
        divisor = len(losses) if num_items_in_batch is None else num_items_in_batch
        return {"loss": losses.sum() / divisor, "token_losses": losses.detach()}

    @torch.no_grad()
    def logits(self, batch: LatentBatch) -> Tensor:
        """Logits (B, T, V) of every slot; for looking, not for training."""
        return self.backbone.logits(self.hidden_states(batch))

    def batch(self, examples: Sequence[Slots]) -> LatentBatch:
        """Right-padded tensors of `examples` on the model's device."""
        return collate(examples).to(self.backbone.device)

    def generate(
        self, prompts: str | Sequence[str], *args: Any, return_details: bool = False, **kwargs: Any
    ) -> Any:
        """Continue prompts, inserting latents on the way; see `latent_core.generation.generate`.

        Returns:
            list[str], or list[Generation] with `return_details`; one per prompt.
        """
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        training = self.training
        self.train(False)  # layers that recompute would do without their cache
        try:
            rows: list[Generation] = generate(self, prompts, *args, **kwargs)
        finally:
            self.train(training)
        return rows if return_details else [row.text for row in rows]

    @contextlib.contextmanager
    def detached(self) -> Iterator[LatentModel]:
        """Without latents inside the block: the backbone alone. Restored exactly on leaving."""
        placement, self.placement = self.placement, self.backbone.place(LatentLayout())
        try:
            yield self
        finally:
            self.placement = placement

    def save_pretrained(self, folder: str | Path, **notes: Any) -> Path:
        """Write the adapter, a few kB: `adapter_config.json` and `adapter_model.safetensors`.

        Args:
            folder: made if missing.
            notes: kept in the config (method, task, seed, ...).
        """
        config = AdapterConfig(
            layout=str(self.layout),
            backbone=self.backbone.name,
            backbone_fingerprint=self.backbone.fingerprint,
            hidden_size=self.backbone.hidden_size,
            versions={name: version(name) for name in ("torch", "transformers")},
            notes=notes,
        )
        return write_adapter(folder, config, self.tables.named())

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, backbone: Backbone | str | Path | None = None, **load: Any
    ) -> LatentModel:
        """Load an adapter onto its backbone.

        Args:
            folder: what `save_pretrained` or `train` wrote.
            backbone: the backbone, if it is loaded already or lies elsewhere by now.
            load: further arguments of `load_backbone`, such as `dtype`.

        Raises:
            AdapterError: if the adapter is missing, damaged, or made for another backbone.
        """
        config, tables = read_adapter(folder)
        loaded = load_backbone(backbone if backbone is not None else config.backbone, **load)
        if loaded.fingerprint != config.backbone_fingerprint:
            raise AdapterError(
                f"{folder} was made for backbone {config.backbone} "
                f"(fingerprint {config.backbone_fingerprint}, D={config.hidden_size}); got "
                f"{loaded.name} ({loaded.fingerprint}, D={loaded.hidden_size}). Load it on the "
                "backbone it was made for"
            )
        model = cls(loaded, config.layout)
        model.tables.assign(tables)
        return model


def _leave_out_backbone(
    module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]
) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}base_model.")]:
        del state[key]


def _miss_no_backbone(module: nn.Module, keys: Any) -> None:
    """Keys that `_leave_out_backbone` left out are not missing on loading."""
    keys.missing_keys[:] = [key for key in keys.missing_keys if not key.startswith("base_model.")]
