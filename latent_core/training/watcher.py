"""Callbacks of a training: progress, interruptions, lost losses, time, checkpoints, turns, threads.

The backbone is had in turns, one for each training step, so that other threads may use it in
between.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tqdm import tqdm
from transformers import (
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import SaveStrategy

from latent_core.backbones.turns import turns_of
from latent_core.errors import TrainingDivergedError
from latent_core.progress import progress_bar
from latent_core.runs.checkpoints import drop_old_checkpoints, keep_hashes
from latent_core.runs.own_files import CHECKPOINTS
from latent_core.threads import fit_threads

__all__ = ["ThreadFitter", "TurnOfEachStep", "Watcher"]

#: The seconds that a run has taken so far, in the rows of the Trainer's log.
_SPENT: Final = "seconds_spent"


class Watcher(TrainerCallback):
    """Shows progress, ends the run on request or interruption, and stops it when the loss is lost.

    Whatever interrupts a run, be it `on_step`, the listener of the bar or Ctrl-C, takes effect
    after the step: the Trainer saves a checkpoint of it and returns.

    Args:
        steps: of the whole run.
        progress: show a bar.
        on_step: called with step and loss after each step; True ends the run.
        started: by `time.perf_counter`.
        run: the run folder, if this process keeps one.
        keep: how many checkpoints to keep; None for all.

    Attributes:
        earlier: seconds that went into the checkpoint which the run goes on from.
        stopped: whether the run was ended early.
        interruption: what ended it, to be raised when the step is kept; None if `on_step` asked.
    """

    def __init__(
        self,
        steps: int,
        progress: bool,
        on_step: Callable[[int, float], bool | None] | None,
        started: float,
        run: Path | None = None,
        keep: int | None = None,
    ) -> None:
        self.bar = progress_bar(steps, "train", "step", progress)
        self.on_step = on_step
        self.started = started
        self.earlier = 0.0
        self.stopped = False
        self.interruption: BaseException | None = None
        self._run, self._keep = run, keep

    def interrupt(self, error: BaseException) -> None:
        """End the run after its present step; the first error is the one that counts."""
        self.interruption = self.interruption or error

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
        try:
            self.stopped = self._tell(state.global_step, loss)
        except BaseException as error:  # raised again by `train`, when the step is kept
            self.interrupt(error)
        wanted = self.stopped or self.interruption is not None
        ends = control.should_training_stop or state.global_step >= state.max_steps
        self.stopped = wanted and not ends
        if self.stopped:
            control.should_training_stop = True
            control.should_save = args.save_strategy != SaveStrategy.NO

    def _tell(self, step: int, loss: float) -> bool:
        """Tell and show a step; whether the run shall end."""
        # Told first: who listens to the bar may end the run by raising.
        ends = bool(self.on_step is not None and self.on_step(step, loss))
        self.bar.update(step - self.bar.n)
        return ends

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make the checkpoint that was just written checkable, and delete older ones."""
        if self._run is not None:
            keep_hashes(self._run / CHECKPOINTS / f"checkpoint-{state.global_step}")
            drop_old_checkpoints(self._run, self._keep)


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


class ThreadFitter(TrainerCallback):
    """Fits the number of threads before each step, and says it where it is not the most.

    Attributes:
        used: the numbers of threads that steps had, each once.
    """

    def __init__(self, bar: tqdm) -> None:
        self.bar, self._described = bar, bar.desc
        self.used: list[int] = []
        self._last = 0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look at the machine, at most once a second."""
        choice = fit_threads()
        if choice.threads == self._last:
            return
        self._last = choice.threads
        if self.used or choice.threads < choice.most:
            count = f"{choice.threads} of {choice.most} threads"
            self.bar.set_description(f"{self._described} on {count}")
        if choice.threads not in self.used:
            self.used.append(choice.threads)
