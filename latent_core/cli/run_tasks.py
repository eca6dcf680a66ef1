"""The task that a run was trained on, loaded again for its evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent_core.cli.terminal import say
from latent_core.errors import AdapterError, SettingError, TaskError

if TYPE_CHECKING:
    from latent_core.tasks.base import Task

__all__ = ["task_of_run"]


def task_of_run(folder: Path, notes: dict[str, Any], task_file: Path | None) -> Task:
    """The task that a run was trained on, or the one of a file that is named instead.

    Raises:
        AdapterError: if the run does not say its task.
        TaskError: if its file is gone or has changed, and none is named instead.
    """
    from latent_core.tasks.table import load_task

    if "task" not in notes:
        raise AdapterError(
            f"{folder} does not say what task it was trained on; expected a folder made by "
            "`latent train`"
        )
    source = str(notes.get("task_source", notes["task"]))
    own_file = source.endswith(".jsonl")
    if task_file is not None and not own_file:
        raise SettingError(f"{folder} was trained on the task {source}, which is no file")
    if task_file is None and own_file and not Path(source).is_file():
        raise TaskError(
            f"{folder} was trained on {source}, and there is no such file now; give its new place "
            "with --task-file"
        )
    task = load_task(source if task_file is None else task_file)
    trained_on = notes.get("task_fingerprint", task.fingerprint)
    if task.fingerprint != trained_on:
        differs = (
            f"{folder} was trained on another task (fingerprint {trained_on[:8]}) than "
            f"{task_file or source} now holds ({task.fingerprint[:8]})"
        )
        if task_file is None and own_file:
            raise TaskError(
                f"{differs}; give the file it was trained on, or this one to evaluate on it, with "
                "--task-file"
            )
        say(f"latent: {differs}")
    return task
