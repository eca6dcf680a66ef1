"""The comparison panel: accuracy against length, a table of methods, and the examples behind it.

Where runs come from is in `run_collection`, the curves in `curves`, the table in
`comparison_table`. Whatever reads or evaluates is a job.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from latent_core.adapter import CONFIG_NAME
from latent_core.errors import LatentError, SettingError
from latent_core.evaluation import evaluate
from latent_core.methods import load_model
from latent_core.model import LatentModel
from latent_core.shipped import SHIPPED
from latent_core.store import find_runs
from latent_core.tasks import TASKS, Task, load_task
from workbench.comparison_table import (
    difference_table,
    difference_table_html,
    method_table,
    method_table_html,
)
from workbench.curves import (
    HasLevels,
    RecordedTask,
    accuracy_curve,
    accuracy_picture,
    accuracy_points,
)
from workbench.example_list import ExampleList
from workbench.jobs import Job
from workbench.panel import Panel
from workbench.plotly_view import PlotlyView
from workbench.recorded_examples import RecordedExample, recorded_example
from workbench.run_collection import RunCollection
from workbench.session import NO_LATENTS, Session
from workbench.training_plan import task_source
from workbench.visibility import Visibility

__all__ = ["Comparison"]

_RUNS: Final = Path("runs")
_MOST_EXAMPLES: Final = 500
_NO_REFERENCE: Final[tuple[str, str | None]] = ("no method", None)


@dataclass(frozen=True)
class _Compared:
    """What the panel shows, computed by a job: one task on one backbone, in one metric."""

    task: HasLevels
    backbone: str
    backbones: tuple[str, ...]
    metric: str
    methods: tuple[str, ...]
    points: pd.DataFrame
    by_method: pd.DataFrame
    reference: str | None
    differences: pd.DataFrame | str | None  # or why there are none
    every_record: bool
    runs: int


class Comparison(Panel):
    """Any set of runs side by side.

    Attributes:
        collection: the runs; `add` a folder to it.
        shown: what is on show, or None before anything was read.
    """

    title = "Comparison"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.collection = RunCollection()
        self.shown: _Compared | None = None
        self._examples: list[RecordedExample] = []
        self._setting = False
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
        self.sources = widgets.HBox(layout=wrap)
        self.methods = widgets.HBox(layout=wrap)
        self.reference = widgets.Dropdown(
            description="Differences from",
            options=[_NO_REFERENCE],
            tooltip="subtract this method from the others, example by example",
            layout={"width": "300px"},
            **short,
        )
        self.folder = widgets.Text(
            description="Runs in",
            placeholder="a folder, or a .parquet file",
            tooltip="a folder of runs, or a .parquet file of records",
            continuous_update=False,
            layout={"width": "300px"},
            **short,
        )
        add = self.button(
            "Add", self._add, "show the runs of this folder, too", layout={"width": "70px"}
        )
        again = self.button(
            "Read again",
            self._read_again,
            "look for new runs and records",
            layout={"width": "100px"},
        )
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
        self.examples = ExampleList()
        self.visibility = Visibility()
        self.build(
            self.visibility,
            widgets.HBox(
                [self.task, self.backbone, widgets.Label("Accuracy"), self.metric], layout=wrap
            ),
            widgets.HBox(
                [
                    self.folder,
                    add,
                    again,
                    widgets.HBox([self.evaluate_button, self.count], layout=wrap),
                ],
                layout=wrap,
            ),
            self.sources,
            self.methods,
            self.note,
            self.view,
            self.methods_table,
            self.reference,
            self.differences,
            self.examples,
        )
        self._empty("Runs are read when this panel is looked at.")
        self.on(self.folder, "value", lambda _: self._add())  # Enter, or leaving the field
        self.on(self.task, "value", self._choose_task)
        self.on(self.backbone, "value", lambda _: self._chosen())
        self.on(self.metric, "value", lambda _: self._chosen())
        self.on(self.reference, "value", lambda _: self._chosen())
        self.on(self.view, "clicked", self._show_examples)
        self.on(self.examples, "opened", self._open)
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
        chosen = {name: (session.models[name], self._code_of(name, splits)) for name in names}

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

    def _add(self) -> None:
        source = self.folder.value.strip()
        if source:
            self.collection.add(source)
            self.folder.value = ""
            self.refresh()

    def _read_again(self) -> None:
        self.collection.forget()
        self.refresh()

    def _choose_task(self, name: str | None) -> None:
        if self._setting or name is None:
            return
        if name in TASKS and name != self.session.task.name:
            self.session.task = load_task(name)
        else:
            self._chosen()

    def _chosen(self) -> None:
        if not self._setting and self.shown is not None:
            self.refresh()

    def _showing_backbone(self, name: str) -> None:
        """Choose a backbone without a refresh."""
        self._setting = True
        try:
            self.backbone.options = list(dict.fromkeys([*self.backbone.options, name]))
            self.backbone.value = name
        finally:
            self._setting = False

    def _follow_task(self) -> None:
        self._setting = True
        try:
            name = self.session.task.name
            if name not in self.task.options:
                self.task.options = [*self.task.options, name]
            self.task.value = name
        finally:
            self._setting = False
        self._chosen()

    # --- reading ----------------------------------------------------------------------------------

    def _work(self) -> Any:
        """The work of a refresh: what the controls say now, read and averaged when it is called."""
        collection, metric = self.collection, self.metric.value
        task, wished = self.task.value, self.backbone.value or self.session.backbone.name
        self._find_sources()
        known, reference = self._known_task(task), self.reference.value

        def work() -> tuple[_Compared | None, tuple[str, ...]]:
            summary = collection.summary()
            tasks = tuple(summary["task"].unique())
            here = summary[summary["task"] == task]
            backbones = tuple(here["backbone"].unique())
            if not backbones:
                return None, tasks
            backbone = wished if wished in backbones else backbones[0]
            records, whole = collection.records(task, backbone)
            methods = tuple(records["method"].unique())
            compared = _Compared(
                known or RecordedTask.of(task, records),
                backbone,
                backbones,
                metric,
                methods,
                accuracy_points(records, metric),
                method_table(records, metric),
                reference if reference in methods else None,
                _differences(records, reference, metric, whole) if reference in methods else None,
                whole,
                len(here[here["backbone"] == backbone].drop_duplicates(["run", "method", "seed"])),
            )
            return compared, tasks

        return work

    def _find_sources(self) -> None:
        """What ships and what lies here; where there are runs here, what ships waits to be asked.

        Both at once would show two runs of a method and seed as one method.
        """
        collection, known = self.collection, list(self.collection.sources)
        shipped = SHIPPED / self.session.backbone.name
        for folder in (shipped, _RUNS):
            if folder.is_dir():
                collection.add(folder)
        if shipped in collection.sources and shipped not in known and _RUNS in collection.sources:
            collection.use(shipped, not _any_run(_RUNS, self.session.backbone.name))
        if [box.tooltip for box in self.sources.children] != [*map(str, collection.sources)]:
            self.sources.children = [self._source_box(path) for path in collection.sources]

    def _source_box(self, source: Path) -> widgets.Checkbox:
        ships = source.is_relative_to(SHIPPED)
        box = widgets.Checkbox(
            value=source not in self.collection.left_out,
            description="runs that ship" if ships else str(source),
            tooltip=str(source),
            indent=False,
            layout={"width": "auto"},
        )

        def use(used: bool) -> None:
            self.collection.use(source, used)
            self.refresh()

        self.on(box, "value", use)
        return box

    def _known_task(self, name: str) -> Task | None:
        if name == self.session.task.name:
            return self.session.task
        return load_task(name) if name in TASKS else None

    def _take(self, found: tuple[_Compared | None, tuple[str, ...]]) -> None:
        compared, tasks = found
        self._setting = True
        try:
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
        finally:
            self._setting = False
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
            self._examples = []
            self.examples.show("", [])
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
        self.note.value = _status(self._words(points))

    def _draw_differences(self, shown: _Compared, chosen: list[str]) -> None:
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

    def _words(self, points: pd.DataFrame) -> str:
        shown = self.shown
        assert shown is not None
        words = [f"{shown.runs} run{'s' if shown.runs != 1 else ''}."]
        if not shown.every_record:
            words.append(
                "There are too many records to read: intervals are over the means of runs."
            )
        elif points["seeds"].max() == 1:
            words.append(
                "One training seed per method: the intervals are over examples only, and say "
                "nothing of how another seed would have done."
            )
        elif points["seeds"].min() == 1:
            words.append(
                "Intervals are over seeds and examples; where there is one seed, over examples "
                "only."
            )
        else:
            words.append("Intervals are over seeds and examples.")
        return " ".join([*words, "Click a point to see its examples."])

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
        method, level = drawn[point["curve"]], int(point["x"])
        task, collection = self._known_task(shown.task.name), self.collection

        def work() -> list[RecordedExample]:
            records = collection.examples(shown.task.name, shown.backbone, method, level)
            records = records.head(_MOST_EXAMPLES)
            return [recorded_example(record, task) for _, record in records.iterrows()]

        def then(examples: list[RecordedExample]) -> None:
            self._examples = examples
            heading = f"{method}, {level} {shown.task.level_name}"
            self.examples.show(heading, [example.row() for example in examples])
            self.status.say(f"{len(examples)} examples of {heading}, below")

        self.start(work, then, key="examples", replace=True)

    def _open(self, pressed: dict[str, int]) -> None:
        """Make an example the session's, and its run's adapter A where it can be."""
        chosen = self._examples[pressed["index"]]
        example, record = chosen.example, chosen.record
        if example is None or self.shown is None:
            return
        task = self._known_task(self.shown.task.name)
        if task is not None and task.name != self.session.task.name:
            self.session.task = task
        self.session.example = example
        method, path = str(record["method"]), record.get("path")
        here = method.removesuffix(" (now)")
        if method != here and here in self.session.models:
            self.session.adapter_a = here
            self._opened(f"with {here} as adapter A")
        elif not isinstance(path, str) or not (Path(path) / CONFIG_NAME).is_file():
            self._opened("its run keeps no adapter, so A stays as it is")
        elif name := self._loaded(Path(path)):
            self.session.adapter_a = name
            self._opened(f"with {name} as adapter A")
        else:
            self.start(lambda: self._load(Path(path)), self._join, key="open", replace=True)

    def _loaded(self, folder: Path) -> str | None:
        """The name of the session's model that lies in a folder, if there is one."""
        for name, known in self.session.folders.items():
            if known.resolve() == folder.resolve():
                return name
        return None

    def _load(self, folder: Path) -> tuple[Path, LatentModel | str]:
        """A run's model, or why it cannot be had."""
        try:
            model = load_model(folder, self.session.backbone)
        except LatentError as error:
            return folder, str(error)
        if not isinstance(model, LatentModel):
            return folder, "its method has no latents for the playground to show"
        return folder, model

    def _join(self, loaded: tuple[Path, LatentModel | str]) -> None:
        folder, model = loaded
        if isinstance(model, str):
            self._opened(f"A stays as it is: {model}")
            return
        name = self.session.add(model, folder.name)
        self.session.folders[name] = folder
        self.session.adapter_a = name
        self._opened(f"with {name} as adapter A")

    def _opened(self, how: str) -> None:
        self.status.say(f"The example is in the playground, {how}")

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
        shipped = "from latent_core.shipped import SHIPPED\n" if "SHIPPED" in records else ""
        differs = tables = ""
        if isinstance(shown.differences, pd.DataFrame):
            tables = "from workbench.comparison_table import difference_table\n"
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

    def _code_of(self, name: str, splits: list[str]) -> str:
        """An expression that evaluates one of the session's models anew."""
        session = self.session
        model = session.models[name]
        if name in session.folders:
            made = f"lc.load_model({str(session.folders[name])!r})"
        elif name == NO_LATENTS:
            made = f"lc.build_model({session.backbone.name!r}, 'zero-shot')"
        else:  # in memory only: its layout, untrained
            made = f"lc.build_model({session.backbone.name!r}, {str(model.layout)!r})"
        return f"lc.evaluate({made}, task, {splits!r}, {self.count.value})"

    def _ready(self) -> _Compared:
        """What is shown, read now if nothing was yet."""
        self.prepare()
        if self.shown is None:
            raise SettingError(
                f"there are no records of {self.task.value} yet; evaluate A and B, or add a folder"
            )
        if not self._chosen_methods():
            raise SettingError("no method is ticked; tick one to see it")
        return self.shown


def _differences(
    records: pd.DataFrame, reference: str, metric: str, whole: bool
) -> pd.DataFrame | str:
    """Of the other methods from this one, or why there are none."""
    if not whole:
        return "There are too many records to read, and differences need every one."
    try:
        return difference_table(records, reference, metric)
    except SettingError as error:
        return str(error)


def _any_run(folder: Path, backbone: str) -> bool:
    """Whether a folder holds runs on a backbone."""
    return any(run.about["backbone"] == backbone for run in find_runs(folder))


def _status(words: str) -> str:
    return f'<div role="status" style="line-height: 1.5">{words}</div>'
