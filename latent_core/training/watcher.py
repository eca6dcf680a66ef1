"""What looks on at a training: progress, the wish to stop, a loss that is lost, time spent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from latent_core.errors import TrainingDivergedError
from latent_core.progress import progress_bar

__all__ = ["Watcher"]

#: The seconds that a run has taken so far, in the rows of the Trainer's log.
_SPENT: Final = "seconds_spent"


class Watcher(TrainerCallback):
    """Shows progress, ends the run on request, and stops it when the loss is lost.

    Attributes:
        earlier: seconds that went into the checkpoint which the run goes on from.
        stopped: whether `on_step` ended the run.
    """

    def __init__(
        self,
        steps: int,
        progress: bool,
        on_step: Callable[[int, float], bool | None] | None,
        started: float,
    ) -> None:
        self.bar = progress_bar(steps, "train", "step", progress)
        self.on_step = on_step
        self.started = started
        self.earlier = 0.0
        self.stopped = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Read what the checkpoint took, if the run goes on from one."""
        self.earlier = max((row.get(_SPENT, 0.0) for row in state.log_history), default=0.0)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Look at the loss of a step, show it and tell it.

        Raises:
            TrainingDivergedError: if it is NaN or infinite.
        """
        if logs is None or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"the loss became {loss} at step {state.global_step}, so nothing was saved; lower "
                "learning_rate, or load the backbone in float32"
            )
        # Each checkpoint keeps the log, and so the time that it took to get there.
        state.log_history[-1][_SPENT] = self.earlier + time.perf_counter() - self.started
        self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        self.bar.update(state.global_step - self.bar.n)
        if self.on_step is not None and self.on_step(state.global_step, loss):
            self.stopped = control.should_training_stop = True
