"""Trackers that a run reports to, such as TensorBoard, MLflow and Weights & Biases.

They are the Trainer's own. What is added here: a tracker is told the run's settings, ends with the
run, and if it cannot begin, an error says which one and why.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from latent_core.errors import SettingError
from latent_core.models.steered import SteeredModel
from latent_core.training.staged import StagedModel

__all__ = ["Trackers"]

#: What to look at where a tracker cannot begin.
_REMEDY: Final[Mapping[str, str]] = {
    "mlflow": "expected a store that this installation of MLflow can write to, such as "
    "MLFLOW_TRACKING_URI=sqlite:///mlflow.db (`pip install mlflow`)",
    "wandb": "expected a key (`wandb login`), or WANDB_MODE=offline",
}


class _Settings:
    """The settings of a run, as trackers read the configuration of a model."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)

    def to_dict(self) -> dict[str, Any]:
        return dict(self._settings)

    def to_json_string(self) -> str:
        return json.dumps(self._settings, indent=2)


class _Described(nn.Module):
    """A model, with the settings of its run where trackers look for them."""

    def __init__(self, model: SteeredModel | StagedModel, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.config = _Settings(settings)

    def num_parameters(self) -> int:
        return sum(weight.numel() for weight in self.model.trainable_weights().values())


class Trackers(TrainerCallback):
    """The trackers of a run, for as long as the block lasts.

    Args:
        args: names the trackers in `report_to`. The Trainer then finds none there, so that it does
            not begin them itself.
        model: what trains.
        settings: of the run, as `run.json` has them.
    """

    def __init__(
        self,
        args: TrainingArguments,
        model: SteeredModel | StagedModel,
        settings: Mapping[str, Any],
    ) -> None:
        names = args.report_to if isinstance(args.report_to, list) else [str(args.report_to)]
        self._named = [
            (name, one())
            for name in names
            if name != "none"
            for one in get_reporting_integration_callbacks([name])
        ]
        args.report_to = []
        self._described = _Described(model, settings)
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        self._before = [_wandb_run(), _mlflow_run()]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what began here, so that the next run of the process reports to a run of its own."""
        wandb, mlflow = _wandb_run(), _mlflow_run()
        if wandb is not None and wandb is not self._before[0]:
            wandb.finish(exit_code=0 if kind is None else 1)
        if mlflow is not None and self._before[1] is None:
            sys.modules["mlflow"].end_run("FINISHED" if kind is None else "FAILED")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to report.

        Raises:
            SettingError: if a tracker cannot begin.
        """
        for name, tracker in self._named:
            try:
                tracker.on_train_begin(args, state, control, **self._with_settings(kwargs))
            except Exception as error:
                remedy = _REMEDY.get(name, "expected one that can begin")
                raise SettingError(
                    f"cannot report to {name}: {error}; {remedy}, or train without report_to"
                ) from error

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report a row of the log."""
        self._tell("on_log", args, state, control, kwargs)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say that a checkpoint was written."""
        self._tell("on_save", args, state, control, kwargs)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say that an epoch has ended."""
        self._tell("on_epoch_end", args, state, control, kwargs)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say that the last step is taken."""
        self._tell("on_train_end", args, state, control, kwargs)

    def _tell(
        self,
        event: str,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        kwargs: dict[str, Any],
    ) -> None:
        for _, tracker in self._named:
            getattr(tracker, event)(args, state, control, **self._with_settings(kwargs))

    def _with_settings(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs | {"model": self._described}


def _wandb_run() -> Any:
    """The run of Weights & Biases that is under way in this process, if there is one."""
    return getattr(sys.modules.get("wandb"), "run", None)


def _mlflow_run() -> Any:
    """The run of MLflow that is under way in this process, if there is one."""
    mlflow = sys.modules.get("mlflow")
    return None if mlflow is None else mlflow.active_run()
