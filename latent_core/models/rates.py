"""The learning rate that a method trains with where a user chooses none.

AdamW moves each number by about the rate a step, whatever the gradient. Input vectors of one
backbone are many times as large as those of another (root mean square a dimension: SmolLM2 0.14,
`tiny` 0.40, Gemma 3 1.03), so one rate for all is too large here and too small there. The default
is therefore in proportion to that size. `experiments/learning_rates.py` compares multiples on three
backbones (docs/methods.md): 0.5 is the best on none of them, and near the best on each.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from torch import nn

from latent_core.errors import SettingError
from latent_core.models.steered import SteeredModel
from latent_core.models.trained import Companion

__all__ = ["LearningRate", "beside_rate", "default_rate", "trained_parts"]

#: The rate of trained input vectors, as a multiple of the size of the backbone's own.
MULTIPLE: Final = 0.5


class LearningRate(NamedTuple):
    """A learning rate, and where it comes from."""

    value: float
    reason: str

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.reason})"


def beside_rate(model: SteeredModel, given: float | None = None) -> LearningRate | None:
    """The learning rate of what PEFT trains beside tables; None if only one of them trains.

    Args:
        model: a method on its backbone.
        given: the rate that a user chose, if any.

    Raises:
        SettingError: if a rate is given, but there is nothing that it could be of.
    """
    own, beside = trained_parts(model, model.companion)
    if not own or not beside:
        if given is not None:
            raise SettingError(
                f"learning_rate_beside is {given}, but {model.method} trains one part alone; give "
                "learning_rate, or a method such as Start_2 & lora-r8"
            )
        return None
    assert model.companion is not None and model.companion.learning_rate is not None
    if given is not None:
        return LearningRate(given, "as given")
    return LearningRate(model.companion.learning_rate, f"the default of {model.companion.method}")


def trained_parts(
    model: nn.Module, companion: Companion | None
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """What training changes in a model: outside of what PEFT made, and in it."""
    of_peft = set() if companion is None else set(companion.peft_model.parameters())
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    inside = [weight for weight in trained if weight in of_peft]
    return [weight for weight in trained if weight not in of_peft], inside


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
