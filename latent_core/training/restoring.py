"""What a training run leaves as it found it: the backbone's settings and the random generators.

Several runs share one backbone in a process. Gradient checkpointing, for one, is switched on in the
backbone's layers; a later run or a generation must not inherit it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

__all__ = ["restored"]


@contextmanager
def restored(model: PreTrainedModel) -> Iterator[None]:
    """Restore, when the block ends, what the block changed on a backbone besides its weights.

    These are plain attributes of its modules, their hooks, its configuration, its generation
    configuration, and the state of the random generators of Python, NumPy and torch.

    Args:
        model: the backbone's model. Weights are not copied: they do not train.
    """
    modules = {module: _settings(module) for module in model.modules()}
    configurations = [model.config, model.config.get_text_config(), model.generation_config]
    # Not deeply: a nested configuration has to stay the very one that its modules read.
    kept = [(one, dict(vars(one))) for one in configurations if one is not None]
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            for configuration, before in kept:
                vars(configuration).clear()
                vars(configuration).update(before)
            for module, before in modules.items():
                for name in set(_settings(module)) - set(before):
                    delattr(module, name)
                vars(module).update(before)


def _settings(module: torch.nn.Module) -> dict[str, Any]:
    """Attributes of a module that are no submodules, weights or buffers; hooks as copies."""
    found = {}
    for name, value in vars(module).items():
        if name in ("_parameters", "_buffers", "_modules"):
            continue
        found[name] = copy.copy(value) if name.endswith("_hooks") else value
    return found
