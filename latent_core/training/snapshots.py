"""Snapshots of a run under way: copies of what trains, before the first step and every few steps.

Each is a file beside the checkpoints until the run ends; then all are one file. A run that goes on
from a checkpoint keeps the snapshots up to there, and takes the later ones anew.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from latent_core.errors import SettingError
from latent_core.files import write_file
from latent_core.models.steered import SteeredModel
from latent_core.runs.own_files import CHECKPOINTS, delete_snapshots, snapshot_name
from latent_core.runs.snapshots import join_snapshots, snapshots_under_way

__all__ = ["SnapshotTaker", "check_snapshots"]

#: Bytes of all snapshots of a run; they are put into one file in memory.
MOST_BYTES: Final = 2**31


def check_snapshots(model: SteeredModel, steps: int, every: int | None, kept: bool) -> None:
    """Refuse snapshots that cannot be kept, before the run begins.

    Args:
        model: what is trained.
        steps: of the run.
        every: steps between two snapshots; None for none.
        kept: whether the run has a folder.

    Raises:
        SettingError: if there is no folder for them, or they are too large together.
    """
    if every is None:
        return
    if not kept:
        raise SettingError(
            f"snapshots is {every}, and the run has no folder to keep them in; give output_dir"
        )
    each = sum(w.numel() * w.element_size() for w in model.parameters() if w.requires_grad)
    size = each * (steps // every + 2)
    if size > MOST_BYTES:
        most = MOST_BYTES // each - 2
        advice = f"at least {-(-steps // most)}" if most > 0 else "none: one alone is too large"
        raise SettingError(
            f"snapshots every {every} of {steps} steps of {model.method} take {size / 2**30:.1f} "
            f"GiB; expected at most {MOST_BYTES / 2**30:.0f} GiB. Steps between two: {advice}"
        )


class SnapshotTaker(TrainerCallback):
    """Takes a snapshot every few steps, before the first one and after the last one.

    Args:
        model: what is trained.
        run: the run folder.
        every: steps between two snapshots.
    """

    def __init__(self, model: SteeredModel, run: Path, every: int) -> None:
        self._model, self._run, self._every = model, run, every

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the first snapshot, or forget those after the step that the run goes on from.

        Warns:
            UserWarning: if earlier snapshots are missing.
        """
        if state.global_step == 0:
            delete_snapshots(self._run)
            self._take(0)
            return
        delete_snapshots(self._run, after=state.global_step)
        expected = range(0, state.global_step + 1, self._every)
        if missing := sorted(set(expected) - set(snapshots_under_way(self._run))):
            warnings.warn(
                f"{self._run} has no snapshots of the steps {', '.join(map(str, missing))} any "
                "more; the run goes on without them",
                stacklevel=2,
            )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take a snapshot, if it is time."""
        last = state.global_step >= state.max_steps or control.should_training_stop
        if last or state.global_step % self._every == 0:
            self._take(state.global_step)

    def join(self) -> None:
        """Put all snapshots so far into the one file that `load_snapshots` reads."""
        join_snapshots(self._run)

    def _take(self, step: int) -> None:
        path = self._run / CHECKPOINTS / snapshot_name(step)
        write_file(path, save(self._model.trainable_weights()))
