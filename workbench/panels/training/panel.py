"""The training panel: choose a task and a method, start, and watch loss and accuracy.

What was trained joins the session's models, so that every other panel has it. The work itself is in
`training_run`, what a plan means in `training_plan`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, Final

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from latent_core.errors import LatentError, SettingError
from latent_core.models.latent import LatentModel
from latent_core.models.methods import EXAMPLE_LAYOUTS
from latent_core.tasks.table import TASKS, load_task
from latent_core.wording import counted
from workbench.jobs import Job
from workbench.panels.base import Panel
from workbench.panels.training.plan import Outlook, TrainingPlan
from workbench.panels.training.view import training_chart
from workbench.panels.training.work import CHECKED_SPLIT, WatchedRun
from workbench.pictures.chart import Chart
from workbench.pictures.chart_live import live_figure
from workbench.pictures.chart_still import still_figure
from workbench.session import Session
from workbench.widgets.plotly_view import PlotlyView

__all__ = ["TrainingPanel"]

#: Seconds between two drawings of a run under way.
_PACE: Final = 0.4
_EMPTY: Final = "Loss and accuracy appear here once a run has begun. Choose a method, press Start."
_LABELS: Final = {"start": "Start", "resume": "Resume", "load": "Load"}


class TrainingPanel(Panel):
    """Train latent tokens while the notebook stays usable.

    Attributes:
        run: the run that is shown, or None.
    """

    title = "Training"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.run: WatchedRun | None = None
        self._job: Job | None = None
        self._drawn = 0.0
        self._following = False
        self._added = ""  # name of the model that the run gave
        wide, narrow = {"width": "430px"}, {"width": "205px"}
        self.task = _field(widgets.Dropdown, "Task", options=self._task_names(), **wide)
        self.method = _field(
            widgets.Combobox,
            "Method",
            value="Start_1+Comma_1",
            options=[name for name in EXAMPLE_LAYOUTS if ", " not in name],
            placeholder="such as Start_2",
            **wide,
        )
        number = widgets.BoundedIntText
        self.steps = _field(number, "Steps", value=200, min=1, max=10**6, **narrow)
        self.batch_size = _field(number, "Batch size", value=16, min=1, max=4096, **narrow)
        self.learning_rate = _field(
            widgets.FloatText, "Learning rate", value=0.03, step=0.01, **narrow
        )
        self.seed = _field(number, "Seed", value=0, min=0, max=2**31 - 1, **narrow)
        self.check_every = _field(number, "Check every", value=20, min=0, max=10**6, **narrow)
        self.check_every.tooltip = "steps between two measurements of accuracy; 0 for none"
        self.examples = _field(number, "Examples", value=8, min=1, max=1000, **narrow)
        self.examples.tooltip = "validation examples per measurement"
        self.folder = _field(widgets.Text, "Run folder", **wide)
        self.use = widgets.Checkbox(
            value=True, description="make it adapter A when done", indent=False
        )
        self.start_button = self.button(
            "Start", self.begin, "train in the background", button_style="primary"
        )
        self.stop_button = self.button(
            "Finish now", self.finish_now, "end after this step and keep what it has learned"
        )
        self.hint = widgets.HTML()
        self.view = PlotlyView(label="Training loss and accuracy against steps")
        self.empty = widgets.HTML(f"<p>{_EMPTY}</p>")
        row = widgets.Layout(flex_flow="row wrap", align_items="center", grid_gap="4px 12px")
        self.settings = (
            *(self.method, self.steps, self.batch_size, self.learning_rate, self.seed),
            *(self.folder, self.check_every, self.examples),
        )
        self.build(
            widgets.HBox([self.task, self.steps, self.batch_size], layout=row),
            widgets.HBox([self.method, self.learning_rate, self.seed], layout=row),
            widgets.HBox([self.folder, self.check_every, self.examples], layout=row),
            self.hint,
            widgets.HBox([self.start_button, self.use, self.stop_button], layout=row),
            self.empty,
            self.view,
        )
        for field in self.settings:
            self.on(field, "value", lambda _: self._explain())
        self.on(self.task, "value", self._choose_task)
        self.follow(self._follow_task, "task")
        self._draw()

    # --- what the user does -----------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether a run of this panel is queued or under way."""
        return self._job is not None and self._job.active

    def plan(self) -> TrainingPlan:
        """What the fields say.

        Raises:
            LatentError: if they make no sense.
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
        """Start, resume or load the run that the fields describe; nothing while one is running."""
        if self.running:
            return self._job
        plan, backbone = self.plan(), self.session.backbone
        plan.parsed(backbone)
        plan = replace(plan, folder=plan.where(backbone))
        plan.outlook(backbone)
        run = self.run = WatchedRun(plan, self.check_every.value, self.examples.value)
        self._job = self.start(lambda: run.run(backbone), self._take, watch=self._watch)
        self._explain()
        return self._job

    def finish_now(self) -> None:
        """End the run after the step it is at, and keep what it has learned."""
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
        finally:
            self._following = False
        self._explain()

    def _task_names(self) -> list[str]:
        return list(dict.fromkeys([*TASKS, self.session.task.name]))

    # --- while it runs ----------------------------------------------------------------------------

    def _take(self, model: LatentModel) -> None:
        """The run has ended well: its model joins the session."""
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
        """Say what Start would do, or what is wrong with the fields, or how the run stands."""
        running = self.running and ended is None
        for field in (*self.settings, self.task):
            field.disabled = running
        self.stop_button.layout.display = "" if running else "none"
        self.stop_button.disabled = False
        self.start_button.disabled = running  # it stays: a second click must not hit another
        lines: list[str] = []
        if running:
            assert self.run is not None
            lines.append(
                f"Training {_code(self.run.plan.method)} on {escape(self.run.plan.task.name)} in "
                f"{_code(self.run.plan.folder)}. After Cancel, the folder keeps what is needed to "
                "resume; Finish now ends early and keeps the adapter."
            )
            self._hint(lines)
            return
        if ended is not None:
            lines += self._ending(ended)
        try:
            plan, backbone = self.plan(), self.session.backbone
            method, outlook = plan.parsed(backbone), plan.outlook(backbone)
            folder = plan.where(backbone)
        except LatentError as error:
            self.start_button.disabled = True
            self._hint([*lines, escape(str(error))], wrong=True)
            return
        self.start_button.disabled = False
        self.start_button.description = _LABELS[outlook.action]
        self.folder.placeholder = str(folder)
        if ended is not None and ended.state == "done":
            self._hint(lines)
            return
        count = method.layout.num_latents
        size = backbone.hidden_size
        explained = EXAMPLE_LAYOUTS.get(plan.method.strip())
        lines.append(
            (f"{escape(explained[0].upper() + explained[1:])}. " if explained else "")
            + f"{count * size:,} trainable numbers: {counted(count, 'latent')} of {size}."
        )
        lines += _meaning(outlook, folder)
        if self.check_every.value and CHECKED_SPLIT not in plan.task.splits:
            lines.append(
                f"Task {escape(plan.task.name)} has no {CHECKED_SPLIT} split: only the loss shows."
            )
        elif self.check_every.value:
            count, every = self.examples.value, self.check_every.value
            lines.append(
                f"Accuracy is measured on {counted(count, f'{CHECKED_SPLIT} example')} "
                f"{'after every step' if every == 1 else f'every {every} steps'}."
            )
        self._hint(lines)

    def _ending(self, job: Job) -> list[str]:
        assert self.run is not None
        plan = self.run.plan
        if job.state == "done":
            loss = f"loss {self.run.losses[-1][1]:.3f}" if self.run.losses else "no steps"
            of_a = ", now adapter A" if self.session.adapter_a == self._added else ""
            return [
                f"<b>{_code(plan.method)} is trained</b>: {loss} after {len(self.run.losses)} "
                f"steps. It is in every panel as {_code(self._added)}{of_a}, and on disk in "
                f"{_code(plan.folder)}."
            ]
        if job.state == "cancelled":
            at = self.run.losses[-1][0] if self.run.losses else 0
            return [f"Cancelled at step {at} of {plan.steps}."]
        return []

    def _hint(self, lines: list[str], wrong: bool = False) -> None:
        sign = "<b>Not yet:</b> " if wrong else ""
        style = ' style="color: var(--jp-error-color1, #d32f2f)"' if wrong else ""
        body = "<br>".join([*lines[:-1], f"<span{style}>{sign}{lines[-1]}</span>"])
        self.hint.value = f'<div role="status" style="line-height: 1.5">{body}</div>'

    # --- what it shows ----------------------------------------------------------------------------

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
        """The run that is shown, or else the one that the fields describe."""
        plan = self.plan() if self.run is None else self.run.plan
        plan.parsed(self.session.backbone)
        return plan.code(self.session.backbone)

    @staticmethod
    def _chart(run: WatchedRun) -> Chart:
        plan = run.plan
        title = f"{plan.method} on {plan.task.name}, seed {plan.seed}"
        return training_chart(run.table(), plan.steps, title, run.examples)

    def _shown(self) -> WatchedRun:
        if self.run is None or not (self.run.losses or self.run.checks):
            raise SettingError("no run has begun here yet; choose a method and press Start")
        return self.run


def _meaning(outlook: Outlook, folder: Path) -> list[str]:
    where = _code(folder)
    if outlook.action == "load":
        return [f"{where} holds this very run, finished: Load takes it from there."]
    if outlook.action == "resume":
        since = f"up to step {outlook.step}" if outlook.step else "but no step is saved yet"
        go_on = "goes on from there" if outlook.step else "begins again from the same vectors"
        return [f"{where} holds this run unfinished, {since}: Resume {go_on}."]
    return [f"The run will lie in {where}."]


def _field(kind: Any, label: str, width: str, **settings: Any) -> Any:
    """A labelled input; labels of one panel are equally wide."""
    return kind(
        description=label,
        style={"description_width": "90px"},
        layout=widgets.Layout(width=width, margin="0"),
        **settings,
    )


def _code(text: object) -> str:
    return f"<code>{escape(str(text))}</code>"
