"""The validation loss of a run under way, and the vectors with which it was lowest.

A check changes nothing of the training. Its losses are in the Trainer's log, so a checkpoint holds
them; the best vectors are a file in the checkpoint.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from latent_core.files import write_file
from latent_core.models.steered import SteeredModel
from latent_core.runs.checkpoints import LOSS_COLUMN
from latent_core.runs.own_files import BEST_FILE, CHECKPOINTS
from latent_core.tasks.base import Task
from latent_core.training.arguments import VALIDATION, Settings
from latent_core.training.result import Kept

__all__ = ["Validation"]

#: Draws the examples of the checks: the same ones in every run.
_SEED: Final = 1


class Validation(TrainerCallback):
    """Checks the loss on validation examples every few steps, and ends a run without patience.

    Args:
        model: what is trained.
        task: gives the examples.
        settings: say how often, on how many examples, and with how much patience.
        run: the run folder, if this process keeps one.
        checkpoint: what the run goes on from.
        on_check: called with step and loss after each check.
        interrupt: called with what `on_check` raises.
    """

    def __init__(
        self,
        model: SteeredModel,
        task: Task,
        settings: Settings,
        run: Path | None,
        checkpoint: str | None,
        on_check: Callable[[int, float], Any] | None,
        interrupt: Callable[[BaseException], None],
    ) -> None:
        assert settings.check_every is not None and settings.check_examples is not None
        self._model, self._settings, self._run = model, settings, run
        self._checkpoint, self._on_check, self._interrupt = checkpoint, on_check, interrupt
        self._every, self._patience = settings.check_every, settings.patience
        backbone = model.backbone
        self._slots = [
            model.place(
                *backbone.encode_example(example.prompt, example.answer, not task.open_ended)
            )
            for example in task.examples(VALIDATION, settings.check_examples, _SEED)
        ]
        self._slots.sort(key=lambda slots: len(slots.slots))  # less padding
        self._losses: list[tuple[int, float]] = []
        self._best: dict[str, Tensor] | None = None
        self._new: float | None = None

    @property
    def _best_check(self) -> tuple[int, float]:
        return min(self._losses, key=lambda check: (check[1], check[0]))

    @property
    def _exhausted(self) -> bool:
        if self._patience is None or not self._losses:
            return False
        since = sum(step > self._best_check[0] for step, _ in self._losses)
        return since >= self._patience

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Read the checks that a checkpoint holds, and its best vectors.

        Warns:
            UserWarning: if the vectors are missing; the checks count from here on then.
        """
        self._losses = [
            (int(row["step"]), float(row[LOSS_COLUMN]))
            for row in state.log_history
            if LOSS_COLUMN in row
        ]
        if self._patience is None or not self._losses or self._checkpoint is None:
            return
        path = Path(self._checkpoint) / BEST_FILE
        try:
            self._best = load_file(path)
        except (OSError, SafetensorError) as error:
            warnings.warn(
                f"{path}, with the vectors of the best check, cannot be read ({error}); only "
                "checks from here on can be kept",
                stacklevel=2,
            )
            self._losses = []

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check the loss, if it is time, while the step still holds its turn on the backbone."""
        last = state.global_step >= state.max_steps
        if not last and state.global_step % self._every:
            return
        told: list[Any] = [self._loss()]
        if args.world_size > 1:  # processes that round differently must not part
            broadcast_object_list(told)
        self._new = float(told[0])
        before = min((loss for _, loss in self._losses), default=math.inf)
        self._losses.append((state.global_step, self._new))
        if self._patience is not None and (self._new < before or self._best is None):
            self._best = self._model.trainable_weights()
        if self._exhausted:
            control.should_training_stop = True
            control.should_save = False  # a run that goes on from here would take one step more

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Put the loss of a check into the row of its step, and tell it."""
        if self._new is None or logs is None or "loss" not in logs:
            return
        state.log_history[-1][LOSS_COLUMN] = self._new
        loss, self._new = self._new, None
        if self._on_check is not None:
            try:
                self._on_check(state.global_step, loss)
            except BaseException as error:  # raised again by `train`, when the step is kept
                self._interrupt(error)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put the best vectors into the checkpoint that was just written."""
        if self._run is not None and self._best is not None:
            checkpoint = self._run / CHECKPOINTS / f"checkpoint-{state.global_step}"
            write_file(checkpoint / BEST_FILE, save(self._best))

    def keep_best(self, taken: int) -> Kept | None:
        """Give the model the best vectors, where the run has patience; say which these are.

        Args:
            taken: steps of the run so far.

        Returns:
            None for a run without patience, or without a check so far: it keeps its last vectors.
        """
        if self._best is None:
            return None
        self._model.assign(self._best)
        step, loss = self._best_check
        return Kept(step, loss, self._exhausted and taken < self._settings.steps)

    @torch.no_grad()
    def _loss(self) -> float:
        """Mean cross-entropy per response token, in nats."""
        training = self._model.training
        self._model.train(False)
        total, count, size = 0.0, 0, self._settings.batch_size
        try:
            for start in range(0, len(self._slots), size):
                batch = self._model.batch(self._slots[start : start + size])
                losses = self._model(**batch.as_dict())["token_losses"]
                total += float(losses.double().sum())
                count += len(losses)
        finally:
            self._model.train(training)
        return total / count if math.isfinite(total) else math.inf
