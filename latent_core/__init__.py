"""Latent tokens for any Hugging Face decoder: place, train, generate, evaluate.

`__init__.pyi` lists the public names and where each is defined. Editors and type checkers read that
file. At run time a name is imported on first use, so `import latent_core` loads no torch.
"""

from typing import Any

import lazy_loader

__version__ = "0.1.0"

_attached, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

_MOVED = {
    "Drop": "interventions.Drop",
    "InterventionWarning": "interventions.InterventionWarning",
    "KnockOut": "interventions.KnockOut",
    "LatentGroup": "layouts.LatentGroup",
    "LatentLayout": "layouts.LatentLayout",
    "Move": "interventions.Move",
    "Patch": "interventions.Patch",
    "Positions": "interventions.Positions",
    "Recount": "interventions.Recount",
    "Replace": "interventions.Replace",
    "Scale": "interventions.Scale",
    "Shuffle": "interventions.Shuffle",
    "Swap": "interventions.Swap",
    "effect": "evaluate_intervention",
}
"""Names that stood here in an earlier version, and where they are now."""


def __getattr__(name: str) -> Any:
    if name in _MOVED:
        raise AttributeError(f"latent_core.{name} has moved; use latent_core.{_MOVED[name]}")
    if name not in __all__:
        raise AttributeError(f"module 'latent_core' has no attribute {name!r}")
    return _attached(name)
