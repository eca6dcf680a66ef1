"""The settings of a training run: what has to be the same for it to be resumed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from latent_core.errors import SettingError, whole_number
from latent_core.models.steered import SteeredModel
from latent_core.tasks.base import Task
from latent_core.training.arguments import check_arguments

__all__ = ["VALIDATION", "Settings", "identity_of"]

#: The split on which the loss is checked: in distribution, and neither trained on nor tested with.
VALIDATION: Final = "validation"
#: The largest seed that NumPy and the Trainer take.
MOST_SEED: Final = 2**32 - 1
#: Checks of the validation loss in a run, where no interval is given.
_CHECKS: Final = 20
#: Examples of a check, where no number is given.
_CHECKED: Final = 50
_MAY_BE_UNSET: Final = ("patience", "check_every", "check_examples", "snapshots")


def identity_of(model: SteeredModel, task: Task) -> dict[str, Any]:
    """What every run says of its task, backbone and method."""
    return {
        "task": task.name,
        "task_fingerprint": task.fingerprint,
        "backbone": model.backbone.name,
        "backbone_fingerprint": model.backbone.fingerprint,
        "method": model.method,
        "layout": str(model.placement.layout),
    }


@dataclass(frozen=True)
class Settings:
    """What has to be the same for a run to be resumed.

    Attributes:
        task, ..., seed, training_arguments, learning_rate_beside: as in `run.json`.
        patience: checks without a lower validation loss after which the run ends; None for a run
            that takes all its steps and keeps the last.
        check_every: steps between two checks of the validation loss; None for no checks.
        check_examples: validation examples of each check.
        snapshots: steps between two snapshots; None for none.
        curriculum: the stages, with the learning rates of each; None for one stage.
        start_from: of a run that goes on from another one, that run's id and its adapter's hash.
    """

    task: str
    task_fingerprint: str
    backbone: str
    backbone_fingerprint: str
    method: str
    layout: str
    steps: int
    batch_size: int
    gradient_accumulation: int
    learning_rate: float
    seed: int
    training_arguments: dict[str, Any] = field(default_factory=dict)
    learning_rate_beside: float | None = None
    patience: int | None = None
    check_every: int | None = None
    check_examples: int | None = None
    snapshots: int | None = None
    start_from: dict[str, str] | None = None
    curriculum: list[dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "gradient_accumulation", *_MAY_BE_UNSET):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, whole_number(name, value, 1))
        object.__setattr__(self, "seed", whole_number("seed", self.seed, 0, MOST_SEED))
        for name in ("learning_rate", "learning_rate_beside"):
            rate = getattr(self, name)
            if rate is not None and not 0 < rate < math.inf:
                raise SettingError(f"{name} is {rate}; expected more than 0")
        check_arguments(self.training_arguments)
        for name in _MAY_BE_UNSET:
            if self.curriculum is not None and getattr(self, name) is not None:
                raise SettingError(
                    f"{name} is {getattr(self, name)}, but a run with a curriculum has neither "
                    "checks nor snapshots: its stages train different layouts. Leave one out"
                )
        for name in ("check_every", "snapshots"):
            if (getattr(self, name) or 0) > self.steps:
                raise SettingError(
                    f"{name} is {getattr(self, name)}, and the run has {self.steps} steps; "
                    f"expected at most {self.steps}"
                )

    @classmethod
    def of(
        cls,
        model: SteeredModel,
        task: Task,
        *,
        steps: int,
        patience: int | None,
        check_every: int | None,
        check_examples: int | None,
        **others: Any,
    ) -> Self:
        """The settings of a run of `model` on `task`, with the defaults of its checks.

        Raises:
            SettingError: for a number out of its range, or settings that contradict each other.
        """
        steps = whole_number("steps", steps, 1)
        checked = patience is not None or check_every is not None
        if checked and VALIDATION not in task.splits:
            raise SettingError(
                f"task {task.name!r} has no split {VALIDATION!r}, on which the loss is checked; "
                f"expected a task with one, or no {'patience' if patience else 'check_every'}. "
                f"Its splits are {', '.join(task.splits)}"
            )
        if checked:
            check_every = max(1, steps // _CHECKS) if check_every is None else check_every
            check_examples = _CHECKED if check_examples is None else check_examples
        elif check_examples is not None:
            raise SettingError(
                f"check_examples is {check_examples}, and the loss is not checked; expected it "
                "together with patience or check_every"
            )
        return cls(
            **identity_of(model, task),
            steps=steps,
            patience=patience,
            check_every=check_every,
            check_examples=check_examples,
            **others,
        )

    def as_dict(self) -> dict[str, Any]:
        """The settings by name, as `run.json` has them; those that are not set are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}
