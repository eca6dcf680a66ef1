"""The training panel: choose a task and a method, start a run, and watch loss and accuracy.

The trained adapter joins the session's models, so that every other panel offers it.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from latent_core.errors import LatentError, SettingError
from latent_core.models.latent import LatentModel
from latent_core.tasks.table import load_task
from workbench.adapters import adapter_title
from workbench.jobs import Job
from workbench.panels.base import Panel
from workbench.panels.controls import row
from workbench.panels.training.along import AlongTraining
from workbench.panels.training.fields import TrainingFields
from workbench.panels.training.plan import TrainingPlan
from workbench.panels.training.view import (
    ending_words,
    plan_words,
    running_words,
    training_chart,
)
from workbench.panels.training.work import RunCost, WatchedRun, estimate
from workbench.pictures.chart import Chart, live_figure, still_figure
from workbench.session import Session
from workbench.widgets.plotly_view import PlotlyView
from workbench.widgets.text_line import TextLine
from workbench.widgets.visibility import Visibility

__all__ = ["TrainingPanel"]

#: Seconds between two drawings of a run under way.
_PACE: Final = 0.4
#: Earlier runs that are drawn behind the last one.
_MOST_EARLIER: Final = 4
_EMPTY: Final = "Loss and accuracy appear here when a run has started."
#: The job that estimates the time of a run.
_ESTIMATE: Final = "Training estimate"
_ESTIMATING: Final = "Estimating the time on this machine ..."
#: A plan, and its checks of accuracy: steps between two, examples of each, and the OOD split.
_Costed = tuple[TrainingPlan, int, int, str]
_LABELS: Final = {"start": "Start training", "resume": "Resume training", "load": "Load adapter"}


class TrainingPanel(Panel):
    """Train latent tokens while the notebook stays usable.

    Attributes:
        run: the run that is shown, or None.
        earlier: runs on the same task that are drawn behind it.
        along: attention, accuracy and vectors at the snapshots of a run.
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
        self._costed: _Costed | None = None  # whose time is estimated
        self._cost = ""
        self.fields = fields = TrainingFields(session)
        self.task, self.method, self.steps = fields.task, fields.method, fields.steps
        self.batch_size, self.learning_rate = fields.batch_size, fields.learning_rate
        self.seed, self.folder, self.far = fields.seed, fields.folder, fields.far
        self.check_every, self.examples = fields.check_every, fields.examples
        self.patience, self.snapshots = fields.patience, fields.snapshots
        self.start_from = fields.start_from
        self.visibility = Visibility()
        self.use = widgets.Checkbox(
            value=True, description="Use as adapter A when trained", indent=False
        )
        self.start_button = self.button(
            _LABELS["start"], self.begin, "Train in the background", button_style="primary"
        )
        self.stop_button = self.button(
            "Finish training now", self.finish_now, "End after this step and keep the adapter"
        )
        self.train_on_button = self.button(
            "Train on from this run",
            self.train_on,
            "Fill the fields for a new run that starts with what this run has trained",
        )
        self.train_on_button.layout.display = "none"
        self.hint = TextLine()
        self.view = PlotlyView(label="Training loss and accuracy against steps")
        self.empty = TextLine()
        self.empty.say(_EMPTY)
        self.along = AlongTraining(self)
        self.build(
            self.visibility,
            fields.columns,
            self.hint,
            row(self.start_button, self.use, self.stop_button, self.train_on_button),
            self.empty,
            self.view,
            self.along,
        )
        for setting in fields.settings:
            self.on(setting, "value", lambda _: self._explain())
        self.on(self.method, "value", lambda _: fields.follow_rate())
        self.on(self.start_from, "value", lambda _: fields.follow_parent())
        self.on(self.visibility, "seen", lambda _: self._estimate())
        self.on(self.task, "value", self._choose_task)
        self.follow(self._follow_task, "task")
        self.follow(fields.follow_models, "models")
        self._draw()

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
        return self.fields.plan()

    def begin(self) -> Job | None:
        """Start, resume or load the run that the fields describe, unless one is running."""
        if self.running:
            return self._job
        plan, backbone = self.plan(), self.session.backbone
        plan.parsed(backbone)
        plan = replace(plan, folder=plan.where(backbone))
        plan.outlook(backbone)
        self.session.jobs.cancel(_ESTIMATE)
        if self.run is not None and self.run.losses:
            self.earlier = [*self.earlier, self.run][-_MOST_EARLIER:]
        self.earlier = [one for one in self.earlier if _is_beside(one.plan, plan)]
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

    def train_on(self) -> None:
        """Fill the fields for a run that starts with what the shown run has trained.

        Raises:
            SettingError: while there is no such run.
        """
        if not self._added or self._added not in self.session.folders:
            raise SettingError("no run of this panel has ended; train one first")
        assert self.run is not None
        self.folder.value = ""
        self.start_from.value = str(self.session.folders[self._added])
        self.seed.value = self.run.plan.seed + 1  # new examples
        self.reveal(self.start_button)

    def _choose_task(self, name: str) -> None:
        if not self._following and name != self.session.task.name:
            self.session.task = load_task(name)

    def _follow_task(self) -> None:
        self._following = True  # new options would choose the first of them
        try:
            self.fields.follow_task()
        finally:
            self._following = False
        self._explain()

    # --- while it runs ----------------------------------------------------------------------------

    def _take(self, model: LatentModel) -> None:
        """Add the trained model to the session."""
        assert self.run is not None and self.run.plan.folder is not None
        folder = self.run.plan.folder
        name = self.session.add(model, adapter_title(folder), folder)
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
        self.fields.lock(running)
        self.stop_button.layout.display = "" if running else "none"
        self.stop_button.disabled = False
        ended_well = bool(self._added) and not running
        self.train_on_button.layout.display = "" if ended_well else "none"
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
            if outlook.action != "load":
                self._estimate()
                lines.append(self._cost if self._costed == self._asked(plan) else "")
        self.hint.say("\n".join(line for line in lines if line))

    def _estimate(self) -> None:
        """Estimate the time of the run that the fields describe, while somebody looks."""
        jobs = self.session.jobs
        if not self.visibility.seen or self.running:
            jobs.cancel(_ESTIMATE)
            return
        try:
            plan, backbone = self.plan(), self.session.backbone
            outlook = plan.outlook(backbone)
        except LatentError:  # which the hint explains
            return
        asked = self._asked(plan)
        if asked == self._costed or outlook.action == "load":
            return
        self._costed, self._cost = asked, _ESTIMATING
        run = WatchedRun(plan, self.check_every.value, self.examples.value, self.far.value)
        left = None if outlook.action == "start" else max(1, plan.steps - outlook.step)

        def take(cost: RunCost) -> None:
            if self._costed == asked:
                self._cost = str(cost)
                self._explain()

        def watch(job: Job) -> None:
            if job.state in ("failed", "cancelled") and self._costed == asked:
                self._costed = None  # the run itself will say what is wrong

        jobs.start(_ESTIMATE, lambda: estimate(run, backbone, left), take, watch, replace=True)

    def _asked(self, plan: TrainingPlan) -> _Costed:
        return plan, self.check_every.value, self.examples.value, self.far.value

    def _ending(self, job: Job | None) -> list[str]:
        if job is None:
            return []
        assert self.run is not None
        is_a = self.session.adapter_a == self._added
        return ending_words(self.run, job.state, self._added, is_a)

    # --- exports ----------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """One row per step: task, method, seed, step, loss, exact, graded; and the run's folder.

        Where more is drawn than the run, `view` tells the rows apart: `earlier run`, `run`,
        `along training`.
        """
        views = []
        if self.run is not None or not self.along.is_shown:
            shown = self._shown()
            views = [("earlier run", _rows(one)) for one in self.earlier]
            views.append(("run", _rows(shown)))
        if self.along.is_shown:
            views.append(("along training", self.along.shown().table()))
        if len(views) == 1 and not self.along.is_shown:
            return views[0][1]
        return pd.concat([rows.assign(view=view) for view, rows in views], ignore_index=True)

    def picture(self) -> Figure:
        """Loss and accuracy against steps, and below them what is shown along training."""
        along = [self.along.shown().chart()] if self.along.is_shown else []
        run = [self._chart(self._shown())] if self.run is not None or not along else []
        return still_figure(*run, *along)

    def code(self) -> str:
        """Python for the run that is shown, or else for the one that the fields describe."""
        parts = []
        if self.run is not None or not self.along.is_shown:
            plan = self.plan() if self.run is None else self.run.plan
            plan.parsed(self.session.backbone)
            parts.append(plan.code(self.session.backbone))
        if self.along.is_shown:
            parts.append(self.along.shown().code())
        return "\n".join(parts)

    def _chart(self, run: WatchedRun) -> Chart:
        plan = run.plan
        title = f"{plan.method} on {plan.task.name}, seed {plan.seed}"
        return training_chart(run, title, self.earlier)

    def _shown(self) -> WatchedRun:
        if self.run is None or not (self.run.losses or self.run.checks):
            raise SettingError(f"no run has started yet; press {_LABELS['start']!r}")
        return self.run


def _is_beside(earlier: TrainingPlan, plan: TrainingPlan) -> bool:
    """Whether losses are of one task, and the later run does not go on with the earlier one."""
    return earlier.task.name == plan.task.name and earlier.folder != plan.folder


def _rows(run: WatchedRun) -> pd.DataFrame:
    """What a run has measured so far, with what it is in front."""
    plan, table = run.plan, run.table()
    about = {"task": plan.task.name, "method": plan.method, "seed": plan.seed}
    about["folder"] = str(plan.folder)
    return pd.DataFrame(about, index=table.index).join(table)
