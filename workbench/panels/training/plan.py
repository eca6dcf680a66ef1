"""A training run before it starts: its settings, checked, and its run folder."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError, whole_number
from latent_core.models.build import build_model
from latent_core.models.rates import LearningRate, beside_rate, default_rate
from latent_core.models.steered import SteeredModel
from latent_core.runs.checkpoints import last_checkpoint
from latent_core.runs.folder import holds_finished_run
from latent_core.runs.lock import is_busy
from latent_core.runs.own_files import RUN_FILE
from latent_core.slots.methods import Method
from latent_core.tasks.base import Task
from latent_core.training.arguments import Settings
from latent_core.training.parent import Parent
from workbench.adapters import runs_folder
from workbench.panels.code import path_code, task_source

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
        steps, batch_size, seed: arguments of `latent_core.train`.
        learning_rate: the same; None for the default of the method on the backbone.
        folder: the run folder; None for the first one of `workbench` in `runs_folder()` that is
            free, or that holds this run unfinished.
        patience, check_every, snapshots: arguments of `latent_core.train`; None for none.
        start_from: the run whose vectors it starts with; None for new ones.
    """

    task: Task
    method: str
    steps: int
    batch_size: int
    learning_rate: float | None
    seed: int
    folder: Path | None = None
    patience: int | None = None
    check_every: int | None = None
    snapshots: int | None = None
    start_from: Path | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise SettingError("expected at least 1 step and 1 example per step")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise SettingError(f"learning rate is {self.learning_rate}; expected more than 0")
        whole_number("seed", self.seed, 0)

    def rate(self, backbone: Backbone) -> LearningRate:
        """The learning rate, and where it comes from."""
        if self.learning_rate is not None:
            return LearningRate(self.learning_rate, "as given")
        return default_rate(_untrained(backbone, self.method))

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
        finished = holds_finished_run(folder, self.settings(backbone).as_dict(), resume=True)
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
        candidate, number, settings = folder / name, 1, self.settings(backbone).as_dict()
        while candidate.exists() and not _holds_unfinished(candidate, settings):
            number += 1
            candidate = folder / f"{name}-{number}"
        return candidate

    def settings(self, backbone: Backbone) -> Settings:
        """The settings that identify the run, as its `run.json` has them.

        Raises:
            LatentError: if they contradict each other, or `start_from` is of another method.
        """
        model = _untrained(backbone, self.method)
        given = self.arguments()
        source = given.pop("start_from", None)
        parent = None if source is None else Parent.read(source, model)
        beside = beside_rate(model)
        return Settings.of(
            model,
            self.task,
            gradient_accumulation=1,
            learning_rate_beside=None if beside is None else beside.value,
            start_from=None if parent is None else parent.identity,
            check_examples=None,
            **{"patience": None, "check_every": None, "snapshots": None}
            | given
            | {"learning_rate": self.rate(backbone).value},
        )

    def arguments(self) -> dict[str, Any]:
        """The arguments of `train` that differ from its defaults."""
        found: dict[str, Any] = {
            "steps": self.steps,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "learning_rate": self.learning_rate,
            "patience": self.patience,
            "check_every": self.check_every,
            "snapshots": self.snapshots,
            "start_from": self.start_from,
        }
        return {name: value for name, value in found.items() if value is not None}

    def code(self, backbone: Backbone) -> str:
        """Python that starts, resumes or loads the run."""
        given = self.arguments() | {"output_dir": self.where(backbone), "resume": True}
        given["notes"] = {"method": self.method, "task_source": task_source(self.task)}
        shown = {
            name: path_code(value) if isinstance(value, Path) else repr(value)
            for name, value in given.items()
        }
        lines = [f"    {name}={value},\n" for name, value in shown.items()]
        words = ", task=task" if Method.parse(self.method).init == "task" else ""
        return (
            "import latent_core as lc\n\n"
            f"task = lc.load_task({task_source(self.task)!r})\n"
            f"model = lc.build_model({backbone.name!r}, {self.method!r}, seed={self.seed}{words})\n"
            "result = lc.train(\n"
            "    model,\n"
            "    task,\n"
            f"{''.join(lines)}"
            ")\n"
            "result.log\n"
        )


@functools.lru_cache(maxsize=8)
def _untrained(backbone: Backbone, method: str) -> SteeredModel:
    """A model of a method that is looked at, and never trained."""
    return build_model(backbone, method, to_train=False)


def _holds_unfinished(folder: Path, settings: Mapping[str, Any]) -> bool:
    if not (folder / RUN_FILE).is_file() or is_busy(folder):
        return False
    try:
        return not holds_finished_run(folder, settings, resume=True)
    except SettingError:
        return False
