"""Methods that can be compared: latent layouts and their baselines, by one name each.

A method's name is its whole description, so any layout is a method: `Start_1+Comma_2`. The other
names are in `BASELINES`. Knows how to build a model for a method; nothing of training it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from latent_core.backbones import Backbone
from latent_core.errors import LayoutError, SettingError
from latent_core.layout import LatentLayout
from latent_core.model import LatentModel

__all__ = ["BASELINES", "EXAMPLE_LAYOUTS", "Method", "build_model"]

BASELINES: Final[dict[str, str]] = {
    "zero-shot": "the backbone alone, nothing added, nothing trained",
    "few-shot-K": "K solved training examples before the prompt, untrained; few-shot is K=4",
    "filler(LAYOUT)": "untrained dots in the layout's places, as filler(End_2): computation only",
}
EXAMPLE_LAYOUTS: Final[dict[str, str]] = {
    "Start_2": "two latents before the prompt: prompt tuning's place",
    "End_2": "two latents after the prompt: the pause token's place",
    "Comma_2": "two latents before every comma, in prompt and response",
    "8_2": "two latents after every 8 verbal tokens",
    "Start_1+Comma_1": "a sum: each group with vectors of its own",
    "Start_2+Comma_2; tied": "a sum whose groups share one table",
    "Before[=]_1, After[.|!]_2": "latents around any trigger text",
}


@dataclass(frozen=True, slots=True)
class Method:
    """A way to steer a backbone.

    Attributes:
        name: as the user wrote it.
        layout: latents to insert; no groups for none.
        trained: whether the latents are trained.
        init: how the latents start; see `latent_core.embedding.initial_rows`.
        shots: solved examples in front of each prompt.
    """

    name: str
    layout: LatentLayout = field(default_factory=LatentLayout)
    trained: bool = False
    init: str = "vocab"
    shots: int = 0

    @classmethod
    def parse(cls, text: str, init: str = "vocab") -> Method:
        """Read a method's name.

        Raises:
            LayoutError: if it is neither a baseline nor a layout.
        """
        name = text.strip()
        if name in ("zero-shot", "none"):
            return cls("zero-shot")
        if match := re.fullmatch(r"few-shot(?:-(\d+))?", name):
            return cls(name, shots=int(match[1] or 4))
        if match := re.fullmatch(r"filler(?:\((.+)\))?", name):
            return cls(name, LatentLayout.parse(match[1] or "End_2"), init="text:.")
        try:
            return cls(name, LatentLayout.parse(name), trained=True, init=init)
        except LayoutError as error:
            raise LayoutError(
                f"{name!r} is no method: neither a baseline ({', '.join(BASELINES)}) nor a "
                f"layout. {error}"
            ) from error


def build_model(backbone: Backbone | str, method: Method | str, seed: int = 0) -> LatentModel:
    """An untrained model for a method; `seed` draws the initial vectors."""
    method = Method.parse(method) if isinstance(method, str) else method
    if seed < 0:
        raise SettingError(f"seed is {seed}; expected a whole number of 0 or more")
    return LatentModel(backbone, method.layout, seed=seed, init=method.init)
