"""A turn on the backbone for each training step, so that other threads may use it in between."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from transformers import (
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from latent_core.backbones.turns import turns_of

__all__ = ["TurnOfEachStep"]


class TurnOfEachStep(TrainerCallback):
    """Takes a turn when a step begins and ends it with the step; in `with`, also if a step fails.

    A step is forward and backward passes together: in the backward pass, layers may be computed
    again, and have to be as they were. What a training sets on the backbone before its first step,
    and restores after its last, is set and restored in a turn too: the `with` block begins with
    one, and `hold` takes the last one.
    """

    def __init__(self, model: PreTrainedModel, method: str) -> None:
        self._turns = turns_of(model)
        self._doing = f"training of {method}"
        self._held = False

    def __enter__(self) -> Self:
        self.hold()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Wait until the backbone is free."""
        self.hold()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Let others use the backbone."""
        self._end()

    def hold(self) -> None:
        """Take the turn, unless it is held."""
        if not self._held:
            self._turns.take(self._doing)
            self._held = True

    def _end(self) -> None:
        if self._held:
            self._held = False
            self._turns.end()
