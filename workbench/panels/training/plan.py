"""A training run before it starts: its settings, checked, and its run folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError, whole_number
from latent_core.runs.checkpoints import last_checkpoint
from latent_core.runs.folder import holds_finished_run
from latent_core.runs.lock import is_busy
from latent_core.runs.own_files import RUN_FILE
from latent_core.slots.methods import Method
from latent_core.tasks.base import Task
from workbench.panels.code import path_code, task_source
from workbench.panels.runs_folder import runs_folder

__all__ = ["Outlook", "TrainingPlan"]


@dataclass(frozen=True)
class Outlook:
    """The effect of starting a plan.

    Attributes:
        action: `start` a new run, `resume` an unfinished one, or `load` a finished one.
        step: of the last checkpoint; 0 for none.
    """

    action: Literal["start", "resume", "load"]
    step: int = 0


@dataclass(frozen=True)
class TrainingPlan:
    """One run, before it starts.

    Attributes:
        task: the task to train on.
        method: as the user wrote it, such as `Start_1+Comma_1`.
        steps, batch_size, learning_rate, seed: arguments of `latent_core.train`.
        folder: the run folder; None for the first one of `workbench` in `runs_folder()` that is
            free, or that holds this run unfinished.
    """

    task: Task
    method: str
    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    folder: Path | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise SettingError("expected at least 1 step and 1 example per step")
        if not 0 < self.learning_rate < float("inf"):
            raise SettingError(f"learning rate is {self.learning_rate}; expected more than 0")
        whole_number("seed", self.seed, 0)

    def parsed(self, backbone: Backbone) -> Method:
        """The method, if it can be trained on this backbone.

        Raises:
            LayoutError: if it is no method, or its triggers are not in the vocabulary.
            SettingError: if it has no latents to train.
        """
        method = Method.parse(self.method)
        if not method.trained:
            raise SettingError(
                f"{method.name} has nothing to train and can be evaluated without training. "
                "Expected a layout with latents, such as Start_2"
            )
        if method.kind != "latents":
            raise SettingError(
                f"{method.name} is a baseline without latents, and this panel trains latents. "
                f"Train it with `latent train --method {method.name}`; the comparison panel reads "
                "its run. Expected a layout with latents, such as Start_2"
            )
        backbone.place(method.layout)
        return method

    def outlook(self, backbone: Backbone) -> Outlook:
        """The effect of starting it, by what its folder holds.

        Raises:
            SettingError: if the folder holds another run; with the settings that differ.
        """
        folder = self.where(backbone)
        finished = holds_finished_run(folder, self._identity(backbone), resume=True)
        if finished:
            return Outlook("load", self.steps)
        if not (folder / RUN_FILE).is_file():
            return Outlook("start")
        checkpoint = last_checkpoint(folder)
        return Outlook("resume", int(checkpoint.rsplit("-", 1)[1]) if checkpoint else 0)

    def where(self, backbone: Backbone) -> Path:
        """The run folder."""
        if self.folder is not None:
            return self.folder
        name = re.sub(
            r"[^\w+.,=@-]+", "_", f"{self.task.name}-{Method.parse(self.method)}-{self.seed}"
        )
        folder = runs_folder() / "workbench"
        candidate, number = folder / name, 1
        while candidate.exists() and not self._unfinished_in(candidate, backbone):
            number += 1
            candidate = folder / f"{name}-{number}"
        return candidate

    def _unfinished_in(self, folder: Path, backbone: Backbone) -> bool:
        if not (folder / RUN_FILE).is_file() or is_busy(folder):
            return False
        try:
            return not holds_finished_run(folder, self._identity(backbone), resume=True)
        except SettingError:
            return False

    def _identity(self, backbone: Backbone) -> dict[str, object]:
        """The settings that identify a run, as its `run.json` has them."""
        return {
            "task": self.task.name,
            "task_fingerprint": self.task.fingerprint,
            "backbone_fingerprint": backbone.fingerprint,
            "method": Method.parse(self.method).name,
            "layout": str(Method.parse(self.method).layout),
            "steps": self.steps,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "seed": self.seed,
        }

    def code(self, backbone: Backbone) -> str:
        """Python that starts, resumes or loads the run."""
        return (
            "import latent_core as lc\n\n"
            f"task = lc.load_task({task_source(self.task)!r})\n"
            f"model = lc.build_model({backbone.name!r}, {self.method!r}, seed={self.seed})\n"
            "result = lc.train(\n"
            "    model,\n"
            "    task,\n"
            f"    steps={self.steps},\n"
            f"    batch_size={self.batch_size},\n"
            f"    seed={self.seed},\n"
            f"    output_dir={path_code(self.where(backbone))},\n"
            f"    learning_rate={self.learning_rate!r},\n"
            "    resume=True,\n"
            f"    notes={{'method': {self.method!r}, 'task_source': {task_source(self.task)!r}}},\n"
            ")\n"
            "result.log\n"
        )
