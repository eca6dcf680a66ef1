"""Full fine-tuning: every weight of a copy of the backbone trains, where memory allows.

Knows how much memory that takes; refuses beforehand instead of being killed.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load_file
from torch import Tensor

from latent_core.adapters.saved import BaselineConfig, written_baseline
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.fingerprints import quantisation
from latent_core.backbones.loading import load_backbone
from latent_core.errors import AdapterError, SettingError
from latent_core.models.provenance import kept_backbone, kept_notes
from latent_core.models.size import free_memory
from latent_core.models.steered import SteeredModel
from latent_core.progress import without_loading_bars
from latent_core.slots.batch import LatentBatch
from latent_core.slots.layout import LatentLayout

__all__ = ["FullModel", "bytes_to_train"]

BYTES_PER_WEIGHT: Final = 16
"""A weight in float32, its gradient, and AdamW's two moments."""


class FullModel(SteeredModel):
    """A copy of the backbone in float32, all of whose weights train.

    Args:
        backbone: a `Backbone` or what `load_backbone` takes; it is never touched.
        to_train: make sure beforehand that there is memory to train it.

    Raises:
        SettingError: if there is not, with the estimate; if the weights are quantised.
    """

    learning_rate = 1e-4

    def __init__(self, backbone: Backbone | str | Path, to_train: bool = True) -> None:
        given = load_backbone(backbone)
        if quantised := quantisation(given.model):
            raise SettingError(
                f"the weights of {given.name} are quantised ({quantised}), so they cannot train; "
                "expected a backbone without quantisation. Latents, lora and prefixes train on this"
            )
        if to_train:
            _refuse_without_memory(given)
        own = _trainable_copy(given)
        super().__init__(own, own.place(LatentLayout()), "full")
        self.base_model = own.model.requires_grad_(True)
        self.train(False)

    def slot_embeddings(self, batch: LatentBatch) -> Tensor:
        """Input embeddings (B, T, D): nothing is placed."""
        return self.backbone.embed(batch.input_ids)

    def save_pretrained(self, folder: str | Path, **notes: Any) -> Path:
        """Write a Transformers checkpoint with its tokenizer, and `baseline.json` beside it.

        Args:
            folder: made if missing.
            notes: kept in `baseline.json` (task, seed, ...).
        """
        config = BaselineConfig(
            method=self.method,
            **kept_backbone(self.backbone),
            versions={name: version(name) for name in ("torch", "transformers")},
            notes=kept_notes(self, notes),
        )
        with written_baseline(folder, config) as staging, without_loading_bars():
            self.backbone.model.save_pretrained(staging, max_shard_size="1000GB")
            self.backbone.tokenizer.save_pretrained(staging)
        return Path(folder)

    def load_weights(self, folder: str | Path) -> None:
        """Take over the weights that `save_pretrained` wrote.

        Raises:
            AdapterError: if they are those of another model.
        """
        weights = load_file(Path(folder) / "model.safetensors")
        missing, unexpected = self.base_model.load_state_dict(weights, strict=False)
        tied = set(self.base_model.all_tied_weights_keys)
        if unexpected or set(missing) - tied:
            raise AdapterError(
                f"{folder} holds weights of another model than {self.backbone.name}: "
                f"{len(missing)} are missing, {len(unexpected)} are too many"
            )


def bytes_to_train(backbone: Backbone) -> int:
    """Memory that full fine-tuning takes beyond the backbone and its activations."""
    return BYTES_PER_WEIGHT * sum(weight.numel() for weight in backbone.model.parameters())


def _refuse_without_memory(backbone: Backbone) -> None:
    needed, available = bytes_to_train(backbone), free_memory(backbone)
    if needed > available:
        raise SettingError(
            f"fine-tuning all of {backbone.name} takes {needed / 1e9:.1f} GB beside its "
            f"activations ({BYTES_PER_WEIGHT} bytes a weight), but {available / 1e9:.1f} GB are "
            f"free on {backbone.device}; train lora instead, or use a smaller backbone"
        )


def _trainable_copy(backbone: Backbone) -> Backbone:
    """Copy everything, with weights in float32, because they are going to be trained."""
    copied = replace(backbone, model=copy.deepcopy(backbone.model).float())
    # Computed, and kept, before the weights change. In float32 a fingerprint is the same as in
    # bfloat16, but another than in float16.
    assert "float16" in (backbone.weights_sample.dtype, copied.weights_sample.dtype) or (
        copied.fingerprint == backbone.fingerprint
    )
    return copied
