"""A method of PEFT on a copy of a backbone: `PeftCompanion` alone, `PeftBaseline` as a model.

The parameters, how they start, and the files are PEFT's. Only the loop around them is ours, so that
`max_new_tokens`, ragged batches and records mean the same for every method; tests hold the loss
equal to PEFT's own forward pass.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from peft import (
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Cache

from latent_core.adapters.saved import BaselineConfig, written_baseline
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import AdapterError, BackboneError, LatentError
from latent_core.models.provenance import kept_backbone, kept_notes
from latent_core.models.steered import SteeredModel
from latent_core.slots.batch import LatentBatch
from latent_core.slots.layout import LatentLayout

__all__ = ["PeftBaseline", "PeftCompanion"]


class PeftCompanion:
    """What PEFT trains; the backbone given is never touched.

    Args:
        backbone: a `Backbone` or what `load_backbone` takes.
        config: makes PEFT's configuration, given the modules that PEFT is about to change.
        method: the name of the method.
        learning_rate: of AdamW, where a user chooses none; None where it follows from the size of
            the backbone's input embeddings.
        seed: of the initial values.

    Raises:
        BackboneError: if PEFT cannot change this backbone.
    """

    virtual_tokens: int = 0

    def __init__(
        self,
        backbone: Backbone | str | Path,
        config: Callable[[Backbone], PeftConfig],
        method: str,
        learning_rate: float | None,
        seed: int,
    ) -> None:
        self.backbone = own = _copy_sharing_weights(load_backbone(backbone))
        self.method = method
        self.learning_rate = learning_rate
        try:
            with torch.random.fork_rng(), warnings.catch_warnings():
                # PEFT asks models about gradient checkpointing by its old name.
                warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
                torch.manual_seed(seed)
                self.peft_model: PeftModel = get_peft_model(own.model, config(own))
        except LatentError:
            raise
        except (ValueError, NotImplementedError) as error:
            family = own.model.config.model_type
            raise BackboneError(
                f"PEFT cannot put {method} on {own.name} ({family}): {error}"
            ) from error

    def run_slots(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past_key_values: Cache | None = None,
    ) -> Tensor:
        """See `Companion.run_slots`."""
        return self.backbone.hidden_states(
            inputs_embeds, attention_mask, position_ids, past_key_values
        )

    def check_position(self, position: int) -> None:
        """See `Companion.check_position`; every position that the backbone has is good."""

    def refuse_recomputing(self) -> None:
        """See `Companion.refuse_recomputing`; they change nothing."""

    def write(self, folder: Path) -> None:
        """See `Companion.write`."""
        weights = get_peft_model_state_dict(self.peft_model)
        described = replace(
            self.peft_model.active_peft_config,
            base_model_name_or_path=self.backbone.name,
            inference_mode=True,
        )
        described.save_pretrained(folder)
        save_file(
            {name: weight.detach().cpu().contiguous() for name, weight in weights.items()},
            folder / SAFETENSORS_WEIGHTS_NAME,
        )

    def read(self, folder: Path) -> None:
        """See `Companion.read`."""
        weights = load_file(folder / SAFETENSORS_WEIGHTS_NAME)
        wanted = get_peft_model_state_dict(self.peft_model)
        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        expected = {name: tuple(weight.shape) for name, weight in wanted.items()}
        if shapes != expected:
            raise AdapterError(f"{folder}: {self.method} needs {expected}, the file has {shapes}")
        set_peft_model_state_dict(self.peft_model, weights)


def _copy_sharing_weights(backbone: Backbone) -> Backbone:
    """Copy modules and config and share the weights, which costs kilobytes.

    PEFT replaces modules (LoRA) and sets attributes on models. On such a copy, neither the backbone
    nor another model on it changes, and the weights are in memory once.
    """
    model = backbone.model
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    copied = replace(backbone, model=copy.deepcopy(model, shared))
    # Computed, and kept, before PEFT renames the weights that they are computed from.
    assert copied.fingerprint == backbone.fingerprint
    assert copied.weights_sample == backbone.weights_sample
    return copied


class PeftBaseline(SteeredModel):
    """Base of the methods that PEFT provides; the backbone given is never touched.

    Args:
        companion: what PEFT trains, and the copy of the backbone that it is on.
        layout: where slots beyond the verbal ones go.
    """

    def __init__(self, companion: PeftCompanion, layout: str = "none") -> None:
        own = companion.backbone
        super().__init__(own, own.place(LatentLayout.parse(layout)), companion.method, companion)
        self.learning_rate = companion.learning_rate
        self.train(False)

    def slot_embeddings(self, batch: LatentBatch) -> Tensor:
        """Input embeddings (B, T, D): nothing is placed."""
        return self.backbone.embed(batch.input_ids)

    def save_pretrained(self, folder: str | Path, **notes: Any) -> Path:
        """Write PEFT's adapter files, and `baseline.json` beside them.

        Args:
            folder: made if missing.
            notes: kept in `baseline.json` (task, seed, ...).
        """
        assert self.companion is not None
        config = BaselineConfig(
            method=self.method,
            **kept_backbone(self.backbone),
            versions={name: version(name) for name in ("torch", "transformers", "peft")},
            notes=kept_notes(self, notes),
        )
        with written_baseline(folder, config) as staging:
            self.companion.write(staging)
        return Path(folder)

    def load_weights(self, folder: str | Path) -> None:
        """Take over the weights that `save_pretrained` wrote.

        Raises:
            AdapterError: if they are those of another method.
        """
        assert self.companion is not None
        self.companion.read(Path(folder))
