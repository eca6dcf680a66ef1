"""A backbone's modules of one's own, so that what is done to them does not reach the backbone.

Knows modules and tensors; nothing of PEFT.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import chain

from latent_core.backbones.backbone import Backbone

__all__ = ["own_modules", "own_weights"]


def own_modules(backbone: Backbone) -> Backbone:
    """Modules and config copied, weights shared: costs kilobytes.

    PEFT replaces modules (LoRA) and sets attributes on models. Done to this copy, it leaves the
    backbone and every other model on it alone, and the weights are in memory once.
    """
    model = backbone.model
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    own = replace(backbone, model=copy.deepcopy(model, shared))
    # Computed, and kept, before PEFT renames the weights that it is computed from.
    assert own.fingerprint == backbone.fingerprint
    return own


def own_weights(backbone: Backbone) -> Backbone:
    """Everything copied, weights in float32, for they are about to be trained."""
    own = replace(backbone, model=copy.deepcopy(backbone.model).float())
    assert own.fingerprint == backbone.fingerprint  # of bf16 roundings, so float32 changes nothing
    return own
