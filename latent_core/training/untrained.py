"""Run folders of methods that have nothing to train, so that they are evaluated like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from latent_core.models.provenance import asked_dtype
from latent_core.models.steered import SteeredModel
from latent_core.runs.folder import close_run, disk_errors, holds_finished_run, open_run
from latent_core.runs.lock import run_lock
from latent_core.tasks.base import Task
from latent_core.training.arguments import identity_of

__all__ = ["keep_untrained"]


def keep_untrained(
    model: SteeredModel,
    task: Task,
    seed: int,
    output_dir: str | Path,
    *,
    resume: bool = False,
    notes: dict[str, Any] | None = None,
) -> Path:
    """Make a run folder of a method that has nothing to train, ready to be evaluated.

    Args:
        model: as `build_model` made it.
        task: what it will be asked.
        seed: that the model was made with.
        output_dir: run folder.
        resume: leave a folder as it is that holds this very run, instead of refusing it.
        notes: kept in `run.json` and the adapter's config.

    Raises:
        SettingError: for a folder that already holds another run.
        LatentError: if the run folder cannot be written.
    """
    folder, notes = Path(output_dir), asked_dtype(model) | (notes or {})
    settings = identity_of(model, task) | {"seed": seed}
    about = {name: settings[name] for name in ("task", "task_fingerprint", "seed")}
    holds_finished_run(folder, settings, resume)  # refused before anything is written
    with run_lock(folder), disk_errors(folder):
        if not holds_finished_run(folder, settings, resume):
            open_run(folder, settings, notes)
            model.save_pretrained(folder, **(about | notes))
            close_run(folder, "finished", settings, notes, trainable=0)
    return folder
