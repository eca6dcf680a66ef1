"""The learning rate that a method trains with where a user chooses none.

AdamW moves each number by about the rate a step, whatever the gradient. Input vectors of one
backbone are many times as large as those of another (root mean square a dimension: SmolLM2 0.14,
`tiny` 0.40, Gemma 3 1.03), so one rate for all is too large here and too small there. The default
is therefore in proportion to that size. `experiments/learning_rates.py` compares multiples. So far
it has one seed on `tiny` and on SmolLM2: 0.25 is the best multiple on `tiny`, 0.5 on SmolLM2.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from latent_core.models.steered import SteeredModel

__all__ = ["LearningRate", "default_rate"]

#: The rate of trained input vectors, as a multiple of the size of the backbone's own.
MULTIPLE: Final = 0.25


class LearningRate(NamedTuple):
    """A learning rate, and where it comes from."""

    value: float
    reason: str

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.reason})"


def default_rate(model: SteeredModel) -> LearningRate:
    """The learning rate of a model where none is given.

    Args:
        model: a method on its backbone.
    """
    if model.learning_rate is not None:
        return LearningRate(model.learning_rate, f"the default of {model.method}")
    scale = model.backbone.embedding_rms
    reason = f"{MULTIPLE:g} x {scale:.3g}, the root mean square of the input embeddings"
    return LearningRate(MULTIPLE * scale, reason)
