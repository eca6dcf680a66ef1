"""The comparison panel: accuracy against length, a table of methods, and the examples behind it.

Everything that reads files runs as a job.
"""

from __future__ import annotations

from typing import Any, Final

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from latent_core.errors import SettingError
from latent_core.tasks.base import Task
from latent_core.tasks.table import TASKS, load_task
from workbench.jobs import Job
from workbench.panels.base import Panel
from workbench.panels.code import model_code
from workbench.panels.comparison.choices import MethodChoice, RunSources
from workbench.panels.comparison.examples import PointExamples, Records
from workbench.panels.comparison.runs import RunCollection
from workbench.panels.comparison.view import (
    NOW,
    difference_chart,
    differences_html,
    differences_note,
    empty_note,
    evaluated_name,
    methods_html,
    note_on,
    readable_table,
    shown_table,
)
from workbench.panels.comparison.work import MethodComparison, compare_methods, comparison_code
from workbench.panels.controls import Controls, Evaluating, field, row
from workbench.panels.over_examples import OverExamples, tested_splits
from workbench.pictures.chart import live_figure
from workbench.pictures.curves import (
    accuracy_curve,
    accuracy_picture,
    curve_parts,
    leading_methods,
)
from workbench.session import Session
from workbench.widgets.plotly_view import PlotlyView
from workbench.widgets.text_line import TextLine
from workbench.widgets.visibility import Visibility

__all__ = ["ComparisonPanel"]

_NO_REFERENCE: Final = ("none", "")  # None would leave the list blank


class ComparisonPanel(Panel):
    """Any set of runs side by side.

    Attributes:
        collection: the runs; `add` a folder to it.
        sources: the controls for the folders.
        choice: the methods that are shown.
        evaluating: answers examples with A and B.
        point: the examples behind the point that was clicked.
        records: the examples across methods, once they are listed.
        shown: the comparison that is drawn, or None before anything was read.
    """

    title = "Comparison"
    chooses = "adapters"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.collection = RunCollection()
        self.shown: MethodComparison | None = None
        self._wanted_reference: str | None = None  # chosen as soon as it is there
        self.task = field(widgets.Dropdown, "Task", "220px", options=list(TASKS))
        self.backbone = field(widgets.Dropdown, "Backbone", "240px")
        self.metric = widgets.ToggleButtons(
            options=["graded", "exact"],
            tooltips=[
                "Mean share of an answer that is correct",
                "Share of answers that are entirely correct",
            ],
            style={"button_width": "80px"},
        )
        self.choice = MethodChoice(self, self._draw)
        self.reference = field(
            widgets.Dropdown,
            "Reference method",
            "300px",
            options=[_NO_REFERENCE],
            tooltip="Subtract this method from the others, example by example",
        )
        self.sources = RunSources(self, self.collection, self.refresh)
        self.evaluating = Evaluating(
            self, "Evaluate A and B", lambda: tested_splits(session.task), self._keep
        )
        self.note = TextLine()
        self.view = PlotlyView(label="Accuracy against length")
        self.methods_table = widgets.HTML()
        self.differences = widgets.HTML()
        self.differences_view = PlotlyView(label="Difference against length")
        self.differences_note = TextLine(quiet=True)
        self.point = PointExamples(self, self.collection)
        self.list_button = self.button(
            "List records", self.list_records, "List every example with the scores of these methods"
        )
        self.records = Records(self)
        self.visibility = Visibility()
        self.build(
            self.visibility,
            row(self.task, self.backbone, widgets.Label("Metric"), self.metric),
            row(self.sources.field, *self.sources.buttons),
            self.sources.boxes,
            self.evaluating,
            self.choice,
            self.note,
            self.view,
            self.methods_table,
            self.reference,
            self.differences,
            self.differences_view,
            self.differences_note,
            self.point.view,
            self.list_button,
            self.records.view,
        )
        self._empty("Runs are read when this panel comes into view.")
        self._controls = Controls(self)
        self._controls.on(self._choose_task, self.task)
        self._controls.on(lambda _: self._chosen(), self.backbone, self.metric, self.reference)
        self.on(self.view, "clicked", self._show_examples)
        self.on(self.visibility, "seen", lambda seen: self.shown or not seen or self.refresh())
        self.follow(self._follow_task, "task")

    # --- what the user does -----------------------------------------------------------------------

    def refresh(self) -> Job:
        """Compute and show what the controls say; `shown` is set once the job has ended."""
        return self.start(self._work(), self._take, replace=True)

    def prepare(self) -> None:
        """See `Panel.prepare`."""
        shown = self.shown
        wanted = (self.task.value, self.metric.value, self.reference.value or None)
        if shown is None or (shown.task.name, shown.metric, shown.reference) != wanted:
            self.session.jobs.settle(self.refresh())

    def evaluate(self) -> Job:
        """Answer examples with A and B, and show them beside the runs; see `Evaluating`."""
        return self.evaluating.run()

    def _keep(self, found: list[OverExamples]) -> None:
        session, count = self.session, self.evaluating.count.value
        splits = tested_splits(session.task)
        for one in found:
            for under in dict.fromkeys(("none", one.intervention)):
                model = model_code(session, one.name)
                self.collection.keep(
                    evaluated_name(one.name, under),
                    one.of(under).assign(model=one.name, intervention=under),
                    f"answers({model}, {under!r}, {splits!r}, {count})",
                )
        self._choose_backbone(session.backbone.name)
        if any(one.intervention != "none" for one in found):
            self._wanted_reference = evaluated_name(found[0].name, "none")
        self.refresh()

    def _choose_task(self, name: str) -> None:
        if name in TASKS and name != self.session.task.name:
            self.session.task = load_task(name)
        else:
            self._chosen()

    def _chosen(self) -> None:
        if self.shown is not None:
            self.refresh()

    def _choose_backbone(self, name: str) -> None:
        """Choose a backbone without a refresh."""
        with self._controls.unheard():
            self.backbone.options = list(dict.fromkeys([*self.backbone.options, name]))
            self.backbone.value = name

    def _follow_task(self) -> None:
        with self._controls.unheard():
            name = self._name_of_session_task()
            if name not in self.task.options:
                self.task.options = [*self.task.options, name]
            self.task.value = name
        self._chosen()

    # --- reading ----------------------------------------------------------------------------------

    def _work(self) -> Any:
        """The work of a refresh: the controls are read now, and the runs when it is called."""
        collection, metric = self.collection, self.metric.value
        task, backbone = self.task.value, self.backbone.value or self.session.backbone.name
        self.sources.find()
        own, reference = self.session.task, self.reference.value or None

        def work() -> tuple[MethodComparison | None, tuple[str, ...]]:
            collection.summary()  # from here on it is known which runs are of which task
            known = self._known_task(task, own)
            return compare_methods(collection, task, known, backbone, metric, reference)

        return work

    def _known_task(self, name: str, own: Task) -> Task | None:
        """The task that runs are shown under, if it is the session's or built in."""
        if name in self.collection.names_of(own):
            return own
        return load_task(name) if name in TASKS else None

    def _name_of_session_task(self) -> str:
        """The session's task, as its runs are called here."""
        return min(self.collection.names_of(self.session.task))

    def _take(self, found: tuple[MethodComparison | None, tuple[str, ...]]) -> None:
        compared, tasks = found
        with self._controls.unheard():
            chosen = self.task.value
            own = self._name_of_session_task()
            names = tuple(dict.fromkeys([*TASKS, *tasks, own]))
            if tuple(self.task.options) != names:
                self.task.options = names
                self.task.value = chosen if chosen in names else own
            if compared is not None:
                if tuple(self.backbone.options) != compared.backbones:
                    self.backbone.options = compared.backbones
                self.backbone.value = compared.backbone
                self._offer_methods(compared.methods)
            elif not self.backbone.options:
                self.backbone.options = [self.session.backbone.name]
        if _subject(self.shown) != _subject(compared) or compared is None:
            self.point.clear()
            self.records.clear()
        self.shown = compared
        self._draw()
        if compared is not None and (compared.reference or "") != self.reference.value:
            self.refresh()  # for the differences from what was evaluated here

    def _offer_methods(self, methods: tuple[str, ...]) -> None:
        options = (_NO_REFERENCE, *((method, method) for method in methods))
        if tuple(self.reference.options) != options:
            chosen, self._wanted_reference = self._wanted_reference or self.reference.value, None
            self.reference.options = options
            self.reference.value = chosen if chosen in methods else ""
        self.choice.offer(methods)

    # --- drawing ----------------------------------------------------------------------------------

    def _points(self, shown: MethodComparison) -> pd.DataFrame:
        """The points of the methods that are ticked."""
        return shown.points[shown.points["method"].isin(self.choice.ticked)]

    def _coloured(self, points: pd.DataFrame) -> tuple[str, ...]:
        """The methods that are not grey: what was evaluated here comes first."""
        here = [name for name in self.choice.ticked if name.endswith(NOW)]
        return leading_methods(points, [*here, self.reference.value])

    def _draw(self) -> None:
        shown = self.shown
        if shown is None:
            self._empty(empty_note(self.task.value))
            return
        ticked = self.choice.ticked
        if not ticked:
            self._empty("Tick a method to see it.", boxes=True)
            return
        for part in (self.choice, self.view, self.methods_table, self.reference):
            part.layout.display = ""
        points = self._points(shown)
        self.view.show(
            accuracy_curve(points, shown.task, shown.metric, shown.methods, self._coloured(points)),
            f"{shown.metric} accuracy on {shown.task.name} against {shown.task.level_name}, "
            f"{len(ticked)} methods",
        )
        rows = shown.by_method[shown.by_method["method"].isin(ticked)]
        self.methods_table.value = methods_html(rows)
        self._draw_differences(shown, ticked)
        self.note.say(note_on(shown, points))

    def _draw_differences(self, shown: MethodComparison, ticked: list[str]) -> None:
        found, rows = shown.differences, None
        if isinstance(found, pd.DataFrame) and shown.reference is not None:
            rows = found[found["method"].isin(ticked)]
            note = (
                differences_note(shown.reference)
                if len(rows)
                else "Tick another method to compare."
            )
        else:
            note = found or ""
        filled = rows is not None and len(rows) > 0
        for part in (self.differences, self.differences_view):
            part.layout.display = "" if filled else "none"
        if filled:
            self.differences.value = differences_html(rows, str(shown.reference))
            gaps = shown.difference_points
            gaps = gaps[gaps["method"].isin(ticked)]
            chart = difference_chart(shown, gaps, self._coloured(gaps))
            self.differences_view.show(live_figure(chart), chart.title)
        self.differences_note.say(str(note))

    def _empty(self, note: str, boxes: bool = False) -> None:
        self.note.say(note)
        self.differences_note.say("")
        self.choice.layout.display = "" if boxes else "none"
        shown = (self.view, self.methods_table, self.reference)
        for part in (*shown, self.differences, self.differences_view):
            part.layout.display = "none"

    # --- examples ---------------------------------------------------------------------------------

    def _show_examples(self, point: dict[str, Any]) -> None:
        if self.shown is None or not point:
            return
        shown = self.shown
        points = shown.points[shown.points["method"].isin(self.choice.ticked)]
        curve = curve_parts(points)[point["curve"]]
        task = self._known_task(shown.task.name, self.session.task)
        clicked = (shown.task.name, shown.backbone, curve.method, int(point["x"]))
        self.point.look_up(task, shown.task.level_name, clicked, set(curve.points["split"]))

    def list_records(self) -> None:
        """List the examples with the scores of the methods that are ticked, six at most."""
        shown = self._ready()
        found, whole = self.collection.records(shown.task.name, shown.backbone)
        if not whole:
            raise SettingError("there are too many records to list; use fewer folders of runs")
        methods = leading_methods(self._points(shown), self._coloured(self._points(shown)))
        task = self._known_task(shown.task.name, self.session.task)
        self.records.look_up(task, found, methods, shown.metric)

    # --- exports ----------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """All numbers that are shown; `view` says where: see `view.shown_table`."""
        return shown_table(self._ready(), self.choice.ticked)

    def readable(self) -> dict[str, pd.DataFrame]:
        """See `Panel.readable`: the table of methods, and that of differences if there is one."""
        shown = self._ready()
        tables = {"Methods": readable_table(self.method_table())}
        if isinstance(shown.differences, pd.DataFrame) and len(self.difference_table()):
            tables[f"Minus {shown.reference}"] = readable_table(self.difference_table(), "+.2f")
        return tables

    def method_table(self) -> pd.DataFrame:
        """One row per method; see `tables.method_table`."""
        shown = self._ready()
        rows = shown.by_method["method"].isin(self.choice.ticked)
        return shown.by_method[rows].reset_index(drop=True)

    def difference_table(self) -> pd.DataFrame:
        """One row per method but the reference; see `tables.difference_table`.

        Raises:
            SettingError: while no reference is chosen, or nothing can be paired.
        """
        found = self._ready().differences
        if not isinstance(found, pd.DataFrame):
            raise SettingError(found or "choose a 'Reference method' first")
        rows = found["method"].isin(self.choice.ticked)
        return found[rows].reset_index(drop=True)

    def picture(self) -> Figure:
        """The curves of the methods that are ticked."""
        shown = self._ready()
        points = self._points(shown)
        coloured = self._coloured(points)
        return accuracy_picture(points, shown.task, shown.metric, shown.methods, coloured)

    def code(self) -> str:
        """Python that reads the same runs, averages them and draws the curves."""
        shown = self._ready()
        known = self._known_task(shown.task.name, self.session.task)
        return comparison_code(self.collection, shown, known, self.choice.ticked)

    def _ready(self) -> MethodComparison:
        """The comparison that is shown, read now if nothing was yet."""
        self.prepare()
        if self.shown is None:
            raise SettingError(
                f"there are no records of {self.task.value} yet; evaluate A and B, or add a folder"
            )
        if not self.choice.ticked:
            raise SettingError("no method is ticked; tick one to see it")
        return self.shown


def _subject(compared: MethodComparison | None) -> tuple[str, str] | None:
    return None if compared is None else (compared.task.name, compared.backbone)
