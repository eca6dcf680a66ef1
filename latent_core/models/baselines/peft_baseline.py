"""`PeftBaseline`: a method of PEFT on a frozen backbone, in our loss, decoding and files.

The parameters, how they start, and the files are PEFT's. Only the loop around them is ours, so that
`max_new_tokens`, ragged batches and records mean the same for every method; tests hold the loss
equal to PEFT's own forward pass.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
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

from latent_core.adapters.saved import BaselineConfig, written_baseline
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import AdapterError, BackboneError, LatentError
from latent_core.models.baselines.copies import copy_modules
from latent_core.models.steered import SteeredModel, kept_backbone, kept_notes
from latent_core.slots.layout import LatentLayout

__all__ = ["PeftBaseline"]


class PeftBaseline(SteeredModel):
    """Base of the methods that PEFT provides; the backbone given is never touched.

    Args:
        backbone: a `Backbone` or what `load_backbone` takes.
        config: makes PEFT's configuration, given the modules that PEFT is about to change.
        layout: where slots beyond the verbal ones go.
        method: the method's name.
        seed: of the initial values.
    """

    def __init__(
        self,
        backbone: Backbone | str | Path,
        config: Callable[[Backbone], PeftConfig],
        layout: str,
        method: str,
        seed: int,
    ) -> None:
        own = copy_modules(load_backbone(backbone))
        super().__init__(own, own.place(LatentLayout.parse(layout)), method)
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
        self.train(False)

    def save_pretrained(self, folder: str | Path, **notes: Any) -> Path:
        """Write PEFT's adapter files, and `baseline.json` beside them.

        Args:
            folder: made if missing.
            notes: kept in `baseline.json` (task, seed, ...).
        """
        config = BaselineConfig(
            method=self.method,
            **kept_backbone(self.backbone),
            versions={name: version(name) for name in ("torch", "transformers", "peft")},
            notes=kept_notes(self, notes),
        )
        weights = get_peft_model_state_dict(self.peft_model)
        described = replace(
            self.peft_model.active_peft_config,
            base_model_name_or_path=self.backbone.name,
            inference_mode=True,
        )
        with written_baseline(folder, config) as staging:
            described.save_pretrained(staging)
            save_file(
                {name: weight.detach().cpu().contiguous() for name, weight in weights.items()},
                staging / SAFETENSORS_WEIGHTS_NAME,
            )
        return Path(folder)

    def load_weights(self, folder: str | Path) -> None:
        """Take over the weights that `save_pretrained` wrote.

        Raises:
            AdapterError: if they are those of another method.
        """
        weights = load_file(Path(folder) / SAFETENSORS_WEIGHTS_NAME)
        wanted = get_peft_model_state_dict(self.peft_model)
        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        expected = {name: tuple(weight.shape) for name, weight in wanted.items()}
        if shapes != expected:
            raise AdapterError(f"{folder}: {self.method} needs {expected}, the file has {shapes}")
        set_peft_model_state_dict(self.peft_model, weights)
