"""The training panel: choose a task and a method, start a run, and watch loss and accuracy.

The trained adapter joins the session's models, so that every other panel offers it.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from latent_core.errors import LatentError, SettingError
from latent_core.models.latent import LatentModel
from latent_core.slots.methods import EXAMPLE_LAYOUTS
from latent_core.tasks.table import TASKS, load_task
from workbench.jobs import Job
from workbench.panels.base import Panel
from workbench.panels.controls import field, row
from workbench.panels.training.plan import TrainingPlan
from workbench.panels.training.view import (
    ending_words,
    plan_words,
    running_words,
    training_chart,
)
from workbench.panels.training.work import WatchedRun
from workbench.pictures.chart import Chart
from workbench.pictures.chart_live import live_figure
from workbench.pictures.chart_still import still_figure
from workbench.session import Session
from workbench.widgets.combo_box import ComboBox
from workbench.widgets.plotly_view import PlotlyView
from workbench.widgets.text_line import TextLine

__all__ = ["TrainingPanel"]

#: Seconds between two drawings of a run under way.
_PACE: Final = 0.4
#: Earlier runs that are drawn behind the last one.
_MOST_EARLIER: Final = 4
_EMPTY: Final = "Loss and accuracy appear here when a run has started."
_LABELS: Final = {"start": "Start training", "resume": "Resume training", "load": "Load adapter"}


class TrainingPanel(Panel):
    """Train latent tokens while the notebook stays usable.

    Attributes:
        run: the run that is shown, or None.
        earlier: runs on the same task that are drawn behind it.
    """

    title = "Training"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.run: WatchedRun | None = None
        self.earlier: list[WatchedRun] = []
        self._job: Job | None = None
        self._drawn = 0.0
        self._following = False
        self._added = ""  # name of the model that the run gave
        self._make_fields()
        self.use = widgets.Checkbox(
            value=True, description="Use as adapter A when trained", indent=False
        )
        self.start_button = self.button(
            _LABELS["start"], self.begin, "Train in the background", button_style="primary"
        )
        self.stop_button = self.button(
            "Finish training now", self.finish_now, "End after this step and keep the adapter"
        )
        self.hint = TextLine()
        self.view = PlotlyView(label="Training loss and accuracy against steps")
        self.empty = TextLine()
        self.empty.say(_EMPTY)
        self.settings = (
            *(self.method, self.steps, self.batch_size, self.learning_rate, self.seed),
            *(self.folder, self.check_every, self.examples, self.far),
        )
        self.build(
            row(self.task, self.steps, self.batch_size),
            row(self.method, self.learning_rate, self.seed),
            row(self.folder, self.check_every, self.examples, self.far),
            self.hint,
            row(self.start_button, self.use, self.stop_button),
            self.empty,
            self.view,
        )
        for setting in self.settings:
            self.on(setting, "value", lambda _: self._explain())
        self.on(self.task, "value", self._choose_task)
        self.follow(self._follow_task, "task")
        self._draw()

    def _make_fields(self) -> None:
        def wide(kind: Any, label: str, **settings: Any) -> Any:
            return field(kind, label, "430px", "90px", **settings)

        def narrow(label: str, value: float, most: int, least: int = 0, tooltip: str = "") -> Any:
            number = widgets.BoundedIntText
            settings = {"value": value, "min": least, "max": most, "tooltip": tooltip or label}
            return field(number, label, "250px", "140px", **settings)

        self.task = wide(widgets.Dropdown, "Task", options=self._task_names())
        self.method = wide(
            ComboBox,
            "Method",
            value="Start_1+Comma_1",
            options=[name for name in EXAMPLE_LAYOUTS if ", " not in name],
            placeholder="such as Start_2",
        )
        self.folder = wide(widgets.Text, "Run folder")
        self.steps = narrow("Steps", 200, 10**6, 1)
        self.batch_size = narrow("Batch size", 16, 4096, 1)
        self.learning_rate = field(
            widgets.FloatText, "Learning rate", "250px", "140px", value=0.03, step=0.01
        )
        self.seed = narrow("Seed", 0, 2**31 - 1)
        self.check_every = narrow(
            "Steps per check", 20, 10**6, 0, "Steps between two checks of accuracy; 0 for no checks"
        )
        self.far = field(
            widgets.Dropdown,
            "OOD check",
            "250px",
            "140px",
            options=[("none", "")],
            tooltip="Also check accuracy on this split, which is not trained on",
        )
        self.examples = narrow(
            "Examples per check", 8, 1000, 1, "Validation examples per check of accuracy"
        )

    # --- what the user does -----------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether a run of this panel is queued or under way."""
        return self._job is not None and self._job.active

    def plan(self) -> TrainingPlan:
        """The run that the fields describe.

        Raises:
            LatentError: if the fields contradict each other.
        """
        return TrainingPlan(
            self.session.task,
            self.method.value,
            self.steps.value,
            self.batch_size.value,
            self.learning_rate.value,
            self.seed.value,
            Path(self.folder.value.strip()) if self.folder.value.strip() else None,
        )

    def begin(self) -> Job | None:
        """Start, resume or load the run that the fields describe, unless one is running."""
        if self.running:
            return self._job
        plan, backbone = self.plan(), self.session.backbone
        plan.parsed(backbone)
        plan = replace(plan, folder=plan.where(backbone))
        plan.outlook(backbone)
        if self.run is not None and self.run.losses:
            self.earlier = [*self.earlier, self.run][-_MOST_EARLIER:]
        self.earlier = [one for one in self.earlier if one.plan.task.name == plan.task.name]
        run = self.run = WatchedRun(
            plan, self.check_every.value, self.examples.value, self.far.value
        )
        self._job = self.start(lambda: run.run(backbone), self._take, watch=self._watch)
        self._explain()
        return self._job

    def finish_now(self) -> None:
        """End the run after the present step, and keep its adapter."""
        if self.run is not None and self.running:
            self.run.stop = True
            self.stop_button.disabled = True

    def _choose_task(self, name: str) -> None:
        if not self._following and name != self.session.task.name:
            self.session.task = load_task(name)

    def _follow_task(self) -> None:
        self._following = True  # new options would choose the first of them
        try:
            self.task.options = self._task_names()
            self.task.value = self.session.task.name
            far = [name for name in self.session.task.splits if name.startswith("ood-")]
            self.far.options = [("none", ""), *((name, name) for name in far)]
        finally:
            self._following = False
        self._explain()

    def _task_names(self) -> list[str]:
        return list(dict.fromkeys([*TASKS, self.session.task.name]))

    # --- while it runs ----------------------------------------------------------------------------

    def _take(self, model: LatentModel) -> None:
        """Add the trained model to the session."""
        assert self.run is not None and self.run.plan.folder is not None
        name = self.session.add(model, self.run.plan.folder.name, self.run.plan.folder)
        if self.use.value:
            self.session.adapter_a = name
        self._added = name

    def _watch(self, job: Job) -> None:
        if job is not self._job and self._job is not None:
            return
        if not job.active or time.monotonic() - self._drawn > _PACE:
            self._draw()
        if not job.active:
            self._explain(job)

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        begun = self.run is not None and bool(self.run.losses or self.run.checks)
        self.view.layout.display = "" if begun else "none"
        self.empty.layout.display = "none" if begun else ""
        if begun:
            assert self.run is not None
            plan = self.run.plan
            self.view.show(
                live_figure(self._chart(self.run)),
                f"Training loss and accuracy of {plan.method} on {plan.task.name} against steps",
            )

    def _explain(self, ended: Job | None = None) -> None:
        """Say how the run stands, what the button does, or what is wrong with the fields."""
        running = self.running and ended is None
        for setting in (*self.settings, self.task):
            setting.disabled = running
        self.stop_button.layout.display = "" if running else "none"
        self.stop_button.disabled = False
        self.start_button.disabled = running  # it stays: a second click must not hit another
        if running:
            assert self.run is not None
            self.hint.say(running_words(self.run.plan))
            return
        lines = self._ending(ended)
        try:
            plan, backbone = self.plan(), self.session.backbone
            method, outlook = plan.parsed(backbone), plan.outlook(backbone)
            folder = plan.where(backbone)
        except LatentError as error:
            self.start_button.disabled = True
            self.hint.say("\n".join([*lines, f"Cannot start: {error}"]), "error")
            return
        self.start_button.disabled = False
        self.start_button.description = _LABELS[outlook.action]
        self.folder.placeholder = str(folder)
        if ended is None or ended.state != "done":
            vectors = (method.layout.num_latents, backbone.hidden_size)
            checks = (self.check_every.value, self.examples.value)
            lines += plan_words(plan, outlook, folder, vectors, checks)
        self.hint.say("\n".join(lines))

    def _ending(self, job: Job | None) -> list[str]:
        if job is None:
            return []
        assert self.run is not None
        is_a = self.session.adapter_a == self._added
        return ending_words(self.run, job.state, self._added, is_a)

    # --- exports ----------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """One row per step: task, method, seed, step, loss, exact, graded."""
        run = self._shown()
        about = {"task": run.plan.task.name, "method": run.plan.method, "seed": run.plan.seed}
        table = run.table()
        return pd.DataFrame(about, index=table.index).join(table)

    def picture(self) -> Figure:
        """Loss and accuracy against steps."""
        return still_figure(self._chart(self._shown()))

    def code(self) -> str:
        """Python for the run that is shown, or else for the one that the fields describe."""
        plan = self.plan() if self.run is None else self.run.plan
        plan.parsed(self.session.backbone)
        return plan.code(self.session.backbone)

    def _chart(self, run: WatchedRun) -> Chart:
        plan = run.plan
        title = f"{plan.method} on {plan.task.name}, seed {plan.seed}"
        return training_chart(run, title, self.earlier)

    def _shown(self) -> WatchedRun:
        if self.run is None or not (self.run.losses or self.run.checks):
            raise SettingError(f"no run has started yet; press {_LABELS['start']!r}")
        return self.run
