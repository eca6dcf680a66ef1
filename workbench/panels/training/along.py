"""The part of the training panel that shows a run along its training, from its snapshots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets
import pandas as pd

from latent_core.errors import SettingError
from workbench.jobs import Job
from workbench.panels.base import Panel
from workbench.panels.choosers import snapshot_steps
from workbench.panels.controls import Controls, field, row
from workbench.panels.training.along_work import AlongQuestion, AlongRun, measure_along
from workbench.pictures.chart import live_figure
from workbench.widgets.plotly_view import PlotlyView
from workbench.widgets.text_line import TextLine

__all__ = ["AlongTraining"]


class AlongTraining(widgets.VBox):
    """Attention, accuracy and vectors against the steps; takes no room without snapshots.

    Attributes:
        run: the run that is shown, by the name of its model; empty for none.
        split, examples: over which attention is averaged.
        measure: the button that starts it.
        view: the chart.
    """

    def __init__(self, panel: Panel) -> None:
        """`panel` runs the jobs, and shows their errors."""
        self._panel = panel
        self._found: dict[Path, AlongRun] = {}
        self.run = field(widgets.Dropdown, "Along training of", "420px", options=[("none", "")])
        self.split = field(widgets.Dropdown, "Split", "170px")
        self.examples = field(widgets.BoundedIntText, "Examples", "150px", value=5, min=2, max=1000)
        self.measure = panel.button(
            "Measure attention along training",
            self.start,
            "Average the attention onto latents over these examples, at each snapshot of the run",
        )
        self.view = PlotlyView(label="Attention, accuracy and vectors against steps")
        self._hint = TextLine(quiet=True)
        self._fields = row(self.split, self.examples, self.measure)
        super().__init__([row(self.run, self._fields), self._hint, self.view])
        self._controls = Controls(panel)
        self._controls.on(lambda _: self._draw(), self.run)
        panel.follow(self._follow_task, "task")
        panel.follow(self._follow_models, "models")

    def start(self) -> Job:
        """Measure the attention at each snapshot, in a job."""
        shown, session = self.shown(), self._panel.session
        question = AlongQuestion(session.task, self.split.value, self.examples.value)

        def keep(attention: pd.DataFrame) -> None:
            known = replace(shown, question=question, attention=attention)
            self._found[shown.folder] = known
            self._draw()
            self._panel.reveal(self.view)

        backbone = session.backbone
        return self._panel.start(
            lambda: measure_along(shown.folder, backbone, question), keep, key="along", replace=True
        )

    @property
    def is_shown(self) -> bool:
        """Whether a run is shown."""
        return bool(self.run.value)

    def shown(self) -> AlongRun:
        """The run that is shown.

        Raises:
            SettingError: if there is none.
        """
        if not self.run.value:
            raise SettingError("choose a run with snapshots in 'Along training of'")
        folder = self._panel.session.folders[self.run.value]
        return self._found.get(folder, AlongRun(folder, self.run.value))

    def _follow_task(self) -> None:
        splits = [name for name in self._panel.session.task.splits if name != "train"]
        self.split.options = splits
        self.split.value = "id" if "id" in splits else splits[0]

    def _follow_models(self) -> None:
        """Offer the models whose runs have snapshots."""
        session, kept = self._panel.session, self.run.value
        names = [
            name
            for name, folder in session.folders.items()
            if name in session.models and name not in session.steps and snapshot_steps(folder)
        ]
        with self._controls.unheard():
            self.run.options = [("none", ""), *((name, name) for name in names)]
            self.run.value = kept if kept in names else ""
        self.layout.display = "" if names else "none"
        self._draw()

    def _draw(self) -> None:
        shown = self.is_shown
        for part in (self._fields, self.view, self._hint):
            part.layout.display = "" if shown else "none"
        if not shown:
            return
        run = self.shown()
        self._hint.say(
            "'Step of A' above shows one snapshot in every panel. `latent evaluate RUN --along` "
            "adds the accuracy at each snapshot."
        )
        self.view.show(live_figure(run.chart()), f"{run.name} along training, against steps")
