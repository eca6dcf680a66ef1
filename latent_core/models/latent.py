"""`LatentModel`: a frozen backbone with trainable latent tokens, which it saves and loads.

Loss and generation are those of every `SteeredModel`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import Cache

from latent_core.adapters.adapter import AdapterConfig, read_adapter, write_adapter
from latent_core.adapters.locate import locate
from latent_core.adapters.saved import (
    TABLES_NAME,
    BaselineConfig,
    read_latents,
    written_baseline,
)
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import AdapterError
from latent_core.models.passes import filled_embeddings, hidden_states_in_passes
from latent_core.models.provenance import backbone_for, kept_backbone, kept_notes
from latent_core.models.size import check_layout_size
from latent_core.models.steered import SteeredModel
from latent_core.models.trained import Companion
from latent_core.slots.batch import LatentBatch
from latent_core.slots.layout import LatentLayout
from latent_core.slots.tables import LatentTables, initial_rows

__all__ = ["LatentModel", "refuse_other_tokenizer", "starting_rows"]


class LatentModel(SteeredModel):
    """Latent tokens on a frozen decoder (arXiv 2505.12629, section 3).

    Only the latent tables train, `num_latents x D` numbers, and the maps of computed latents. The
    backbone stays bit-identical, in evaluation mode and without gradients, and is left out of
    `state_dict()`.

    With a companion, what PEFT trains on a copy of the backbone's modules trains too.

    Args:
        backbone: a `Backbone` or what `load_backbone` takes.
        layout: a `LatentLayout` or its notation, such as `Start_1+Comma_2`.
        seed: of the initial vectors.
        init: how the vectors start; see `latent_core.slots.tables.initial_rows`.
        companion: what trains in the backbone beside the tables; `backbone` is the companion's
            then. `lc.build_model("tiny", "Start_2 & lora-r8")` makes both.

    Raises:
        LayoutError: if the layout cannot be read, or the tokenizer lacks one of its triggers.
        BackboneError: if the backbone cannot carry latent tokens.
        SettingError: if there are so many latents that they do not fit in memory.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_1+Comma_2", seed=0)
        >>> model.num_trainable  # 3 latents of width 128
        384
        >>> texts = model.generate("Repeat 2 times: 1+1=2", max_new_tokens=8)
    """

    def __init__(
        self,
        backbone: Backbone | str | Path,
        layout: LatentLayout | str,
        seed: int = 0,
        init: str = "vocab",
        companion: Companion | None = None,
    ) -> None:
        backbone, layout = load_backbone(backbone), LatentLayout.parse(layout)
        name = str(layout) if layout.groups else "zero-shot"
        if companion is not None:
            name = f"{name} & {companion.method}"
        super().__init__(backbone, backbone.place(layout), name, companion)
        check_layout_size(backbone, name, sum(layout.table_sizes.values()))
        self.layout = layout
        if companion is not None and not layout.trains:
            self.learning_rate = companion.learning_rate  # nothing else trains
        self.base_model = backbone.model
        rows = starting_rows(backbone, layout, init, seed)
        self.tables = LatentTables(self.layout, rows, backbone.hidden_size, backbone)
        self.tables.to(backbone.device)
        self.train(False)

    def slot_embeddings(self, batch: LatentBatch) -> Tensor:
        """Input embeddings (B, T, D), latents in their slots; computed ones take passes."""
        return filled_embeddings(self, batch)

    def hidden_states(
        self,
        batch: LatentBatch,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        before: Tensor | None = None,
    ) -> Tensor:
        """As `SteeredModel.hidden_states`; computed latents are filled on the way."""
        if not self.tables.computes:
            return super().hidden_states(batch, attention_mask, past_key_values)
        mask = batch.attention_mask if attention_mask is None else attention_mask
        return hidden_states_in_passes(self, batch, mask, past_key_values, before)

    @contextlib.contextmanager
    def detached(self) -> Iterator[LatentModel]:
        """Without latents inside the block; a companion stays. Restored exactly on leaving."""
        placement, self.placement = self.placement, self.backbone.place(LatentLayout())
        try:
            yield self
        finally:
            self.placement = placement

    def save_pretrained(self, folder: str | Path, **notes: Any) -> Path:
        """Write the adapter, a few kB: `adapter_config.json` and `adapter_model.safetensors`.

        With a companion, these two files are PEFT's, which PEFT loads. `baseline.json` and
        `latent_tables.safetensors` lie beside them.

        Args:
            folder: made if missing.
            notes: kept in the config (method, task, seed, ...).
        """
        if self.companion is not None:
            return self._save_both(Path(folder), self.companion, notes)
        config = AdapterConfig(
            layout=str(self.layout),
            **kept_backbone(self.backbone),
            tokenizer_fingerprint=self.backbone.tokenizer_fingerprint,
            versions={name: version(name) for name in ("torch", "transformers")},
            notes=kept_notes(self, notes),
        )
        return write_adapter(folder, config, self.tables.named())

    def _save_both(self, folder: Path, companion: Companion, notes: dict[str, Any]) -> Path:
        config = BaselineConfig(
            method=self.method,
            **kept_backbone(self.backbone),
            tokenizer_fingerprint=self.backbone.tokenizer_fingerprint,
            versions={name: version(name) for name in ("torch", "transformers", "peft")},
            notes=kept_notes(self, notes),
        )
        tables = {name: table.contiguous() for name, table in self.tables.named().items()}
        with written_baseline(folder, config) as staging:
            companion.write(staging)
            save_file(tables, staging / TABLES_NAME)
        return folder

    def load_weights(self, folder: str | Path) -> None:
        """Take over the vectors that `save_pretrained` wrote, and what PEFT wrote beside them.

        Raises:
            AdapterError: if they are missing, damaged, or those of another method.
        """
        if self.companion is not None:
            config, _, tables = read_latents(folder)
            if config.method != self.method:
                raise AdapterError(f"{folder} holds {config.method}; expected {self.method}")
            self.companion.read(Path(folder))
            self.tables.assign(tables)
            return
        config, tables = read_adapter(folder)
        if config.layout != str(self.layout):
            raise AdapterError(
                f"{folder} holds an adapter of {config.layout}; expected one of {self.layout}"
            )
        self.tables.assign(tables)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, backbone: Backbone | str | Path | None = None, **load: Any
    ) -> LatentModel:
        """Load an adapter onto its backbone.

        Args:
            folder: what `save_pretrained` or `train` wrote, or the hub id of it.
            backbone: the backbone, if it is loaded already or lies elsewhere by now.
            load: `allow_other_weights` takes a backbone of the same width whose weights are others;
                further arguments of `load_backbone`, such as `dtype`.

        Raises:
            AdapterError: if the adapter is missing, damaged, or made for another backbone.
        """
        config, tables = read_adapter(locate(folder))
        loaded = backbone_for(folder, config, backbone, **load)
        refuse_other_tokenizer(folder, config.tokenizer_fingerprint, loaded)
        model = cls(loaded, config.layout)
        model.tables.assign(tables)
        return model


def refuse_other_tokenizer(source: str | Path, fingerprint: str, backbone: Backbone) -> None:
    """Refuse a backbone whose tokenizer is not the one that latents were made with.

    Args:
        source: where they were saved, for the error.
        fingerprint: of the tokenizer they were made with; empty if it was not kept.
        backbone: what they are loaded on.

    Raises:
        AdapterError: with both fingerprints.
    """
    if fingerprint not in ("", backbone.tokenizer_fingerprint):
        raise AdapterError(
            f"{source} was made with another tokenizer (vocabulary {fingerprint}) than that of "
            f"{backbone.name} ({backbone.tokenizer_fingerprint}), so its triggers and prompts "
            "would be other tokens. Load it with the tokenizer it was made with"
        )


def starting_rows(
    backbone: Backbone, layout: LatentLayout, init: str, seed: int
) -> dict[str, Tensor]:
    """Initial vectors (count, D) by table name, drawn from the backbone's ordinary tokens."""
    special = set(backbone.tokenizer.all_special_ids)
    size = min(len(backbone.tokenizer), backbone.vocabulary_size)
    ordinary = [token_id for token_id in range(size) if token_id not in special]
    return initial_rows(
        layout,
        backbone.embed,
        torch.tensor(ordinary, device=backbone.device),
        init,
        seed,
        lambda text: backbone.tokenizer(text, add_special_tokens=False)["input_ids"],
    )
