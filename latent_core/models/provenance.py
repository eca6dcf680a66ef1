"""What a saved method says of its backbone, and the backbone that it is loaded on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import AdapterError

__all__ = ["SavedFor", "asked_dtype", "backbone_for", "kept_backbone", "kept_notes"]


class OnBackbone(Protocol):
    """A method on its backbone."""

    method: str

    @property
    def backbone(self) -> Backbone:
        """The backbone."""


class SavedFor(Protocol):
    """What every saved method says of the backbone it was made for."""

    @property
    def backbone(self) -> str:
        """The name it was loaded by."""

    @property
    def backbone_fingerprint(self) -> str:
        """`Backbone.fingerprint`."""

    @property
    def backbone_sample(self) -> Mapping[str, Any]:
        """`Backbone.weights_sample`, as plain values; empty if it was not kept."""

    @property
    def hidden_size(self) -> int:
        """D."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """What else was kept: `dtype`, if a precision was asked for."""


def kept_backbone(backbone: Backbone) -> dict[str, Any]:
    """What a saved method says of its backbone: fields of its configuration."""
    return {
        "backbone": backbone.name,
        "backbone_fingerprint": backbone.fingerprint,
        "backbone_sample": backbone.weights_sample.to_dict(),
        "hidden_size": backbone.hidden_size,
    }


def asked_dtype(model: OnBackbone) -> dict[str, str]:
    """The precision that was asked for, as a note of runs and adapters; nothing for `auto`."""
    asked = model.backbone.asked_dtype
    return {} if asked == "auto" else {"dtype": asked}


def kept_notes(model: OnBackbone, notes: Mapping[str, Any]) -> dict[str, Any]:
    """The notes of a saved method: its name, the precision that was asked for, and others."""
    return {"method": model.method, **asked_dtype(model), **notes}


def backbone_for(
    source: str | Path,
    saved: SavedFor,
    backbone: Backbone | str | Path | None,
    allow_other_weights: bool = False,
    **load: Any,
) -> Backbone:
    """The backbone that something saved was made for.

    Args:
        source: where it was saved, for the error.
        saved: its configuration.
        backbone: the backbone, if it is loaded already or lies elsewhere by now.
        allow_other_weights: take a backbone of the same width whose weights are others: quantised,
            resized, or of a later checkpoint.
        load: further arguments of `load_backbone`; `dtype` is by default the one that was asked for
            when the method was trained.

    Raises:
        AdapterError: if it is another one, with what differs.
        BackboneError: if it cannot be loaded.
    """
    load = {"dtype": saved.notes.get("dtype", "auto")} | load
    loaded = load_backbone(backbone if backbone is not None else saved.backbone, **load)
    if allow_other_weights and loaded.hidden_size == saved.hidden_size:
        return loaded
    found = loaded.differences_from(saved.backbone_fingerprint, saved.backbone_sample)
    if found:
        allow = ""
        if loaded.hidden_size == saved.hidden_size:
            allow = ", or allow another with allow_other_weights=True"
        raise AdapterError(
            f"{source} was made for backbone {saved.backbone} "
            f"(fingerprint {saved.backbone_fingerprint}, D={saved.hidden_size}); got "
            f"{loaded.name} ({loaded.fingerprint}, D={loaded.hidden_size}): {'; '.join(found)}. "
            f"Load it on the backbone it was made for{allow}"
        )
    return loaded
