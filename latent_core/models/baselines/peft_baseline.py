"""`PeftBaseline`: a method of PEFT on a frozen backbone, in our loss, decoding and files.

The parameters, how they start, and the files are PEFT's. Only the loop around them is ours, so that
`max_new_tokens`, ragged batches and records mean the same for every method; tests hold the loss
equal to PEFT's own forward pass.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from latent_core.adapters.saved import BaselineConfig, written_baseline
from latent_core.models.baselines.peft_companion import PeftCompanion
from latent_core.models.provenance import kept_backbone, kept_notes
from latent_core.models.steered import SteeredModel
from latent_core.slots.batch import LatentBatch
from latent_core.slots.layout import LatentLayout

__all__ = ["PeftBaseline"]


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
