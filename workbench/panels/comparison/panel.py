"""The comparison panel: accuracy against length, a table of methods, and the examples behind it.

Where runs come from is in `run_sources`, what is computed in `compared`, the curves in `curves`,
the table in `comparison_table`, examples in `comparison_examples`. Whatever reads is a job.
"""

from __future__ import annotations

from html import escape
from typing import Any, Final

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from latent_core.errors import SettingError
from latent_core.evaluation.evaluate import evaluate
from latent_core.tasks.base import Task
from latent_core.tasks.table import TASKS, load_task
from workbench.jobs import Job
from workbench.panels.base import Controls, Panel
from workbench.panels.code import model_code, task_source
from workbench.panels.comparison.examples import PointExamples
from workbench.panels.comparison.runs import RunCollection
from workbench.panels.comparison.sources import RunSources
from workbench.panels.comparison.table import (
    difference_table_html,
    method_table_html,
)
from workbench.panels.comparison.work import Compared, compare
from workbench.pictures.curves import (
    accuracy_curve,
    accuracy_picture,
)
from workbench.session import Session
from workbench.widgets.plotly_view import PlotlyView
from workbench.widgets.visibility import Visibility

__all__ = ["Comparison"]

_NO_REFERENCE: Final[tuple[str, str | None]] = ("no method", None)


class Comparison(Panel):
    """Any set of runs side by side.

    Attributes:
        collection: the runs; `add` a folder to it.
        sources: where they come from.
        point: the examples behind the point that was clicked.
        shown: what is on show, or None before anything was read.
    """

    title = "Comparison"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.collection = RunCollection()
        self.shown: Compared | None = None
        short: dict[str, Any] = {"style": {"description_width": "initial"}}
        self.task = widgets.Dropdown(
            description="Task", options=list(TASKS), layout={"width": "220px"}, **short
        )
        self.backbone = widgets.Dropdown(description="Backbone", layout={"width": "240px"}, **short)
        self.metric = widgets.ToggleButtons(
            options=["graded", "exact"],
            tooltips=["the share of an answer that is right", "answers that are wholly right"],
            style={"button_width": "80px"},
        )
        wrap: dict[str, Any] = {
            "flex_flow": "row wrap",
            "align_items": "center",
            "grid_gap": "4px 12px",
        }  # a dict, for a Layout of its own for each: one of them is hidden at times
        self.methods = widgets.HBox(layout=wrap)
        self.reference = widgets.Dropdown(
            description="Differences from",
            options=[_NO_REFERENCE],
            tooltip="subtract this method from the others, example by example",
            layout={"width": "300px"},
            **short,
        )
        self.sources = RunSources(self, self.collection, self.refresh, wrap)
        self.count = widgets.BoundedIntText(
            value=20,
            min=1,
            max=1000,
            description="examples per split",
            layout={"width": "180px"},
            **short,
        )
        self.evaluate_button = self.button(
            "Evaluate A and B",
            self.evaluate,
            "answer examples of this task with the session's two models, without intervention",
            layout={"width": "150px"},
        )
        self.note = widgets.HTML()
        self.view = PlotlyView(label="Accuracy against length")
        self.methods_table = widgets.HTML()
        self.differences = widgets.HTML()
        self.point = PointExamples(self, self.collection)
        self.visibility = Visibility()
        self.build(
            self.visibility,
            widgets.HBox(
                [self.task, self.backbone, widgets.Label("Accuracy"), self.metric], layout=wrap
            ),
            widgets.HBox(
                [
                    self.sources.field,
                    *self.sources.buttons,
                    widgets.HBox([self.evaluate_button, self.count], layout=wrap),
                ],
                layout=wrap,
            ),
            self.sources.boxes,
            self.methods,
            self.note,
            self.view,
            self.methods_table,
            self.reference,
            self.differences,
            self.point.view,
        )
        self._empty("Runs are read when this panel is looked at.")
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
        wanted = (self.task.value, self.metric.value, self.reference.value)
        if shown is None or (shown.task.name, shown.metric, shown.reference) != wanted:
            self.session.jobs.settle(self.refresh())

    def evaluate(self) -> Job:
        """Answer examples with the session's models A and B, and show them beside the runs."""
        session, task, count = self.session, self.session.task, self.count.value
        splits = [name for name in task.splits if name not in ("train", "validation")]
        if not splits:
            raise SettingError(f"task {task.name!r} has no split to test on; expected id or ood-N")
        names = list(dict.fromkeys((session.adapter_a, session.adapter_b)))
        chosen = {
            name: (
                session.models[name],
                f"lc.evaluate({model_code(session, name)}, task, {splits!r}, {count})",
            )
            for name in names
        }

        def work() -> list[tuple[str, pd.DataFrame, str]]:
            return [
                (f"{name} (now)", evaluate(model, task, splits, count, progress=False), code)
                for name, (model, code) in chosen.items()
            ]

        def keep(found: list[tuple[str, pd.DataFrame, str]]) -> None:
            for name, records, code in found:
                self.collection.keep(name, records, code)
            self._showing_backbone(session.backbone.name)
            self.refresh()

        return self.start(work, keep, key="evaluate")

    def _choose_task(self, name: str) -> None:
        if name in TASKS and name != self.session.task.name:
            self.session.task = load_task(name)
        else:
            self._chosen()

    def _chosen(self) -> None:
        if self.shown is not None:
            self.refresh()

    def _showing_backbone(self, name: str) -> None:
        """Choose a backbone without a refresh."""
        with self._controls.unheard():
            self.backbone.options = list(dict.fromkeys([*self.backbone.options, name]))
            self.backbone.value = name

    def _follow_task(self) -> None:
        with self._controls.unheard():
            name = self.session.task.name
            if name not in self.task.options:
                self.task.options = [*self.task.options, name]
            self.task.value = name
        self._chosen()

    # --- reading ----------------------------------------------------------------------------------

    def _work(self) -> Any:
        """The work of a refresh: what the controls say now, read and averaged when it is called."""
        collection, metric = self.collection, self.metric.value
        task, backbone = self.task.value, self.backbone.value or self.session.backbone.name
        self.sources.find()
        known, reference = self._known_task(task), self.reference.value
        return lambda: compare(collection, task, known, backbone, metric, reference)

    def _known_task(self, name: str) -> Task | None:
        if name == self.session.task.name:
            return self.session.task
        return load_task(name) if name in TASKS else None

    def _take(self, found: tuple[Compared | None, tuple[str, ...]]) -> None:
        compared, tasks = found
        with self._controls.unheard():
            chosen = self.task.value
            names = tuple(dict.fromkeys([*TASKS, *tasks, self.session.task.name]))
            if tuple(self.task.options) != names:
                self.task.options = names
                self.task.value = chosen if chosen in names else self.session.task.name
            if compared is not None:
                if tuple(self.backbone.options) != compared.backbones:
                    self.backbone.options = compared.backbones
                self.backbone.value = compared.backbone
                self._make_boxes(compared.methods)
            elif not self.backbone.options:
                self.backbone.options = [self.session.backbone.name]
        moved = (
            self.shown is None
            or compared is None
            or (
                (self.shown.task.name, self.shown.backbone)
                != (compared.task.name, compared.backbone)
            )
        )
        self.shown = compared
        if moved:
            self.point.clear()
        self._draw()

    def _make_boxes(self, methods: tuple[str, ...]) -> None:
        options = (_NO_REFERENCE, *((method, method) for method in methods))
        if tuple(self.reference.options) != options:
            chosen = self.reference.value
            self.reference.options = options
            self.reference.value = chosen if chosen in methods else None
        if tuple(box.description for box in self.methods.children) == methods:
            return
        hidden = {box.description for box in self.methods.children if not box.value}
        boxes = []
        for method in methods:
            box = widgets.Checkbox(
                value=method not in hidden,
                description=method,
                indent=False,
                layout={"width": "auto"},
            )
            self.on(box, "value", lambda _: self._draw())
            boxes.append(box)
        self.methods.children = boxes

    # --- showing ----------------------------------------------------------------------------------

    def _chosen_methods(self) -> list[str]:
        return [box.description for box in self.methods.children if box.value]

    def _draw(self) -> None:
        shown = self.shown
        if shown is None:
            self._empty(
                f"There are no records of <b>{escape(str(self.task.value))}</b> yet. Press "
                "<b>Evaluate A and B</b>, add a folder of runs that <code>latent evaluate</code> "
                "has been through, or choose another task."
            )
            return
        chosen = self._chosen_methods()
        if not chosen:
            self._empty("Tick a method to see it.", boxes=True)
            return
        for part in (self.methods, self.view, self.methods_table, self.reference):
            part.layout.display = ""
        points = shown.points[shown.points["method"].isin(chosen)]
        self.view.show(
            accuracy_curve(points, shown.task, shown.metric, shown.methods),
            f"{shown.metric} accuracy on {shown.task.name} against {shown.task.level_name}, "
            f"{len(chosen)} methods",
        )
        rows = shown.by_method[shown.by_method["method"].isin(chosen)]
        self.methods_table.value = method_table_html(rows)
        self._draw_differences(shown, chosen)
        self.note.value = _status(shown.words(points))

    def _draw_differences(self, shown: Compared, chosen: list[str]) -> None:
        found = shown.differences
        self.differences.layout.display = "none" if found is None else ""
        if isinstance(found, pd.DataFrame) and shown.reference is not None:
            rows = found[found["method"].isin(chosen)]
            self.differences.value = (
                difference_table_html(rows, shown.reference)
                + _status(
                    f"Over the examples that both answered at the same seed. A gap below zero: "
                    f"accuracy falls less than with {escape(shown.reference)}, as it also does "
                    "where there is none to lose."
                )
                if len(rows)
                else _status("Tick another method to see how it differs.")
            )
        elif found is not None:
            self.differences.value = _status(escape(str(found)))

    def _empty(self, words: str, boxes: bool = False) -> None:
        self.note.value = _status(words)
        self.methods.layout.display = "" if boxes else "none"
        for part in (self.view, self.methods_table, self.reference, self.differences):
            part.layout.display = "none"

    # --- examples ---------------------------------------------------------------------------------

    def _show_examples(self, point: dict[str, Any]) -> None:
        if self.shown is None or not point:
            return
        shown, chosen = self.shown, self._chosen_methods()
        drawn = [method for method in shown.points["method"].unique() if method in chosen]
        task = self._known_task(shown.task.name)
        clicked = (shown.task.name, shown.backbone, drawn[point["curve"]], int(point["x"]))
        self.point.look_up(task, shown.task.level_name, clicked)

    # --- what it shows ----------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """One row per method and level: task, backbone, metric, method, level, mean, interval."""
        shown = self._ready()
        points = shown.points[shown.points["method"].isin(self._chosen_methods())]
        about = {"task": shown.task.name, "backbone": shown.backbone, "metric": shown.metric}
        known = set(shown.task.id_levels)
        where = ["id" if level in known else "ood" for level in points["level"]]
        costs = shown.by_method[["method", "trainable", "slots", "seconds"]]
        points = points.assign(distribution=where).merge(costs, on="method")
        return pd.DataFrame(about, index=points.index).join(points)

    def method_table(self) -> pd.DataFrame:
        """One row per method; see `comparison_table.method_table`."""
        shown = self._ready()
        rows = shown.by_method["method"].isin(self._chosen_methods())
        return shown.by_method[rows].reset_index(drop=True)

    def difference_table(self) -> pd.DataFrame:
        """One row per method but the chosen one; see `comparison_table.difference_table`.

        Raises:
            SettingError: while no method is chosen to differ from, or nothing can be paired.
        """
        found = self._ready().differences
        if not isinstance(found, pd.DataFrame):
            raise SettingError(found or "choose a method under 'Differences from' first")
        rows = found["method"].isin(self._chosen_methods())
        return found[rows].reset_index(drop=True)

    def picture(self) -> Figure:
        """The curves of the methods that are ticked."""
        shown = self._ready()
        points = shown.points[shown.points["method"].isin(self._chosen_methods())]
        return accuracy_picture(points, shown.task, shown.metric, shown.methods)

    def code(self) -> str:
        """Python that reads the same runs, averages them and draws the curves."""
        shown = self._ready()
        known = self._known_task(shown.task.name)
        if known is None:
            raise SettingError(
                f"task {shown.task.name!r} is known by its records alone; give the workbench the "
                "task, and its code can be written"
            )
        chosen = self._chosen_methods()
        records = self.collection.code(shown.task.name, shown.backbone, chosen)
        shipped = "from latent_core.runs.shipped import SHIPPED\n" if "SHIPPED" in records else ""
        differs = tables = ""
        if isinstance(shown.differences, pd.DataFrame):
            tables = "from workbench.panels.comparison.table import difference_table\n"
            differs = (
                f"differences = difference_table(frame, {shown.reference!r}, {shown.metric!r})\n"
            )
        return (
            f"import pandas as pd\n\nimport latent_core as lc\n{shipped}"
            f"from workbench import accuracy_curve\n{tables}\n"
            f"task = lc.load_task({task_source(known)!r})\n{records}\n{differs}"
            f'points = lc.summarise(frame, ("method", "level"), {shown.metric!r})\n'
            f"accuracy_curve(points, task, {shown.metric!r}, {list(shown.methods)!r})\n"
        )

    def _ready(self) -> Compared:
        """What is shown, read now if nothing was yet."""
        self.prepare()
        if self.shown is None:
            raise SettingError(
                f"there are no records of {self.task.value} yet; evaluate A and B, or add a folder"
            )
        if not self._chosen_methods():
            raise SettingError("no method is ticked; tick one to see it")
        return self.shown


def _status(words: str) -> str:
    return f'<div role="status" style="line-height: 1.5">{words}</div>'
