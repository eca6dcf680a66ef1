"""The fields of the training panel: settings of a run, and of its checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import ipywidgets as widgets

from latent_core.errors import LatentError
from latent_core.slots.methods import EXAMPLE_LAYOUTS
from latent_core.tasks.table import TASKS
from workbench.panels.controls import field, row
from workbench.panels.training.plan import TrainingPlan
from workbench.session import Session
from workbench.widgets.combo_box import ComboBox

__all__ = ["TrainingFields"]

#: The choice to start with vectors of its own.
NEW: Final = "new vectors"
#: Widths: of a field for a number with its label, and of the label.
_NARROW, _LABEL = "215px", "140px"


class TrainingFields:
    """The fields, each a widget whose `value` counts.

    The learning rate is the default of the method on the backbone until a user types another one.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.task = _wide(widgets.Dropdown, "Task", options=self.task_names())
        self.method = _wide(
            ComboBox,
            "Method",
            value="Start_1+Comma_1",
            options=[name for name in EXAMPLE_LAYOUTS if ", " not in name],
            placeholder="such as Start_2",
        )
        self.start_from = _wide(
            widgets.Dropdown,
            "Start from",
            options=[(NEW, "")],
            tooltip="Train on: start with the vectors of a run, in a run folder of its own",
        )
        self.folder = _wide(widgets.Text, "Run folder")
        self.steps = _narrow("Steps", 200, 10**6, 1)
        self.batch_size = _narrow("Batch size", 16, 4096, 1)
        self.learning_rate = field(
            widgets.FloatText,
            "Learning rate",
            _NARROW,
            _LABEL,
            step=0.01,
            tooltip="Of AdamW. Follows the method and the backbone until you type another one",
        )
        self.seed = _narrow("Seed", 0, 2**31 - 1)
        self.patience = _narrow(
            "Patience (checks)",
            0,
            1000,
            0,
            "End when so many checks in a row find no lower validation loss, and keep the vectors "
            "with the lowest one; 0 takes all steps and keeps the last vectors",
        )
        self.snapshots = _narrow(
            "Steps per snapshot", 25, 10**6, 0, "Keep the vectors every so many steps; 0 for never"
        )
        self.check_every = _narrow(
            "Steps per check", 20, 10**6, 0, "Steps between two checks of accuracy; 0 for no checks"
        )
        self.examples = _narrow(
            "Examples per check", 8, 1000, 1, "Validation examples per check of accuracy"
        )
        self.far = field(
            widgets.Dropdown,
            "OOD check",
            _NARROW,
            _LABEL,
            options=[("none", "")],
            tooltip="Also check accuracy on this split, which is not trained on",
        )
        self._default = 0.0
        self.follow_rate()

    @property
    def settings(self) -> list[Any]:
        """All fields but the task."""
        return [
            *(self.method, self.start_from, self.folder, self.steps, self.batch_size),
            *(self.learning_rate, self.seed, self.patience, self.snapshots, self.check_every),
            *(self.examples, self.far),
        ]

    @property
    def columns(self) -> widgets.HBox:
        """The fields as they stand in the panel: the run, its steps, and its checks."""
        return row(
            widgets.VBox([self.task, self.method, self.start_from, self.folder]),
            widgets.VBox([self.steps, self.batch_size, self.learning_rate, self.seed]),
            widgets.VBox(
                [self.check_every, self.examples, self.far, self.patience, self.snapshots]
            ),
            grid_gap="2px 8px",
            align_items="flex-start",
        )

    def plan(self) -> TrainingPlan:
        """The run that the fields describe.

        Raises:
            LatentError: if the fields contradict each other.
        """
        rate = self.learning_rate.value
        patience = self.patience.value or None
        return TrainingPlan(
            self._session.task,
            self.method.value,
            self.steps.value,
            self.batch_size.value,
            None if rate == self._default else rate,
            self.seed.value,
            Path(self.folder.value.strip()) if self.folder.value.strip() else None,
            patience=patience,
            check_every=(self.check_every.value or None) if patience else None,
            snapshots=min(self.snapshots.value, self.steps.value) or None,
            start_from=Path(self.start_from.value) if self.start_from.value else None,
        )

    def follow_rate(self) -> None:
        """Show the default learning rate of the method, unless a user has typed another one."""
        session = self._session
        try:
            default = TrainingPlan(session.task, self.method.value, 1, 1, None, 0).rate(
                session.backbone
            )
        except LatentError:  # which the hint explains
            return
        shown = self.learning_rate.value in (0.0, self._default)
        self._default = float(f"{default.value:.3g}")
        if shown:
            self.learning_rate.value = self._default

    def follow_models(self) -> None:
        """Offer the session's models that lie in a folder as runs to start from."""
        session, before = self._session, self.start_from.value
        own = {n: str(p) for n, p in session.folders.items() if n not in session.steps}
        self.start_from.options = [(NEW, ""), *own.items()]
        self.start_from.value = before if before in own.values() else ""

    def follow_parent(self) -> None:
        """Take over the method of the run to start from."""
        for name, path in self._session.folders.items():
            if str(path) == self.start_from.value:
                self.method.value = self._session.models[name].method

    def follow_task(self) -> None:
        """Show the session's task, and its splits out of distribution."""
        task, before = self._session.task, self.far.value
        self.task.options = self.task_names()
        self.task.value = task.name
        far = [name for name in task.splits if name.startswith("ood")]
        self.far.options = [("none", ""), *((name, name) for name in far)]
        self.far.value = before if before in far else ""

    def task_names(self) -> list[str]:
        """The tasks of the table, and the session's own."""
        return list(dict.fromkeys([*TASKS, self._session.task.name]))

    def lock(self, locked: bool) -> None:
        """Let no field be changed while a run is under way; the method never, where it is given."""
        for one in (*self.settings, self.task):
            one.disabled = locked
        self.method.disabled = locked or bool(self.start_from.value)


def _wide(kind: Any, label: str, **settings: Any) -> Any:
    return field(kind, label, "360px", "80px", **settings)


def _narrow(label: str, value: float, most: int, least: int = 0, tooltip: str = "") -> Any:
    number = widgets.BoundedIntText
    settings = {"value": value, "min": least, "max": most, "tooltip": tooltip or label}
    return field(number, label, _NARROW, _LABEL, **settings)
