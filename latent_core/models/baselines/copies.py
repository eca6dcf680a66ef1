"""Copies of a backbone, so that a change to the copy does not reach the backbone."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import chain

from latent_core.backbones.backbone import Backbone

__all__ = ["copy_modules", "copy_weights"]


def copy_modules(backbone: Backbone) -> Backbone:
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


def copy_weights(backbone: Backbone) -> Backbone:
    """Copy everything, with weights in float32, because they are going to be trained."""
    copied = replace(backbone, model=copy.deepcopy(backbone.model).float())
    # Computed, and kept, before the weights change. In float32 a fingerprint is the same as in
    # bfloat16, but another than in float16.
    assert "float16" in (backbone.weights_sample.dtype, copied.weights_sample.dtype) or (
        copied.fingerprint == backbone.fingerprint
    )
    return copied
