"""The attention panel's view over many examples: two splits, their difference, and the effects."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, Final

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from latent_core.analysis.mean_attention import DIRECTIONS
from latent_core.errors import SettingError
from latent_core.interventions.kinds import parse_intervention
from latent_core.tasks.conversations import asked_in
from latent_core.wording import counted
from workbench.jobs import Job
from workbench.panels.attention.code import split_code
from workbench.panels.attention.controls import AttentionControls
from workbench.panels.attention.split_view import (
    QUERIES,
    SWEEPS,
    SplitEffects,
    SplitQuestion,
    SplitView,
    arrow,
    measure_attention,
    measure_effects,
)
from workbench.panels.base import Panel
from workbench.panels.controls import Controls, field, row
from workbench.pictures.still import heat_figure
from workbench.responses import fitting
from workbench.widgets.heat_grid import HeatGrid
from workbench.widgets.text_line import TextLine

__all__ = ["OverSplit"]

_NO_SPLIT: Final = ("none", "")


class OverSplit(widgets.VBox):
    """Mean attention by head and layer with intervals, and the mean effect of cutting edges.

    Attributes:
        near, far, examples: the splits that are compared, and the examples of each.
        group, role, direction: the edges that are shown.
        sweep: what the effect is measured of.
        average, measure: buttons that start the jobs.
        grids, effect_grids: the heat maps.
    """

    def __init__(self, panel: Panel, controls: AttentionControls) -> None:
        """Make the view.

        Args:
            panel: runs the jobs, and shows their errors.
            controls: say which model is looked at, under which intervention, in which colours.
        """
        self._panel, self._looks = panel, controls
        self._views: dict[str, SplitView] = {}  # by the name of the model and its intervention
        self.near = field(widgets.Dropdown, "Split", "170px")
        self.far = field(widgets.Dropdown, "Compared with", "220px")
        self.examples = field(
            widgets.BoundedIntText, "Examples per split", "190px", value=20, min=2, max=1000
        )
        self.average = panel.button(
            "Average over examples", self.start, "Capture these examples one by one", "primary"
        )
        self.group = field(widgets.Dropdown, "Latent group", "200px")
        self.role = field(widgets.Dropdown, "Occurrence", "180px")
        self.direction = field(
            widgets.Dropdown, "Query → key", "230px", options=[(arrow(d), d) for d in DIRECTIONS]
        )
        self.sweep = field(widgets.Dropdown, "Effect of", "220px", options=list(SWEEPS))
        self.measure = panel.button(
            "Measure effects over examples",
            self.start_effects,
            "Cut these edges in each layer, and average the change of log p(answer)",
        )
        sizes: dict[str, Any] = {"cell_width": 30, "cell_height": 17, "label_width": 64}
        self.grids = [HeatGrid(picks=True, **sizes) for _ in range(3)]
        self.effect_grids = [HeatGrid(**sizes) for _ in range(2)]
        self._note = TextLine()
        self._strongest = widgets.VBox()
        self._listed: tuple[object, ...] = ()  # the edges whose strongest examples are listed
        self._edges = row(self.group, self.role, self.direction)
        self._effects = row(self.sweep, self.measure)
        super().__init__(
            [
                row(self.near, self.far, self.examples, self.average),
                self._note,
                self._edges,
                row(*self.grids, self._strongest, align_items="flex-start"),
                self._effects,
                row(*self.effect_grids, align_items="flex-start"),
            ]
        )
        self._controls = Controls(panel)
        self._controls.on(lambda _: self._choose(), self.group, self.role, self.direction)
        for number, grid in enumerate(self.grids):
            grid.on_pick(panel.safely(functools.partial(self._pick, number)))
        panel.follow(self._follow_task, "task")
        panel.follow(self.clear, "adapter_a", "adapter_b", "intervention")

    # --- what the user does -----------------------------------------------------------------------

    def start(self) -> Job:
        """Capture the examples of both splits in a job."""
        question, session = self._question(), self._panel.session
        model, task = session.models[question.adapter], session.task

        def measure() -> SplitView:
            view = SplitView(question, measure_attention(model, task, question), "", "", "")
            view.prepare()
            return view

        def show(view: SplitView) -> None:
            self._views[question.name], self._listed = view, ()
            self.follow_controls()
            self._panel.reveal(self.grids[0])

        return self._panel.start(measure, show, key="split", replace=True)

    def prepare(self) -> None:
        """Average in this call, if it is not done yet."""
        if self._question().name not in self._views:
            self._panel.session.jobs.settle(self.start())

    def start_effects(self) -> Job:
        """Measure the effects of cutting edges, over the same examples, in a job."""
        view = self.view()
        if view.direction not in QUERIES:
            raise SettingError(
                f"the effect of {arrow(view.direction)} is not measured over examples; choose "
                f"{' or '.join(map(arrow, QUERIES))}"
            )
        model, task = self._panel.session.models[view.question.adapter], self._panel.session.task
        name, sweep = view.question.name, self.sweep.value

        def show(effects: SplitEffects) -> None:
            kept = self._views.get(name)
            if kept is not None and kept.measured is view.measured:
                self._views[name] = replace(kept, effects=effects)
                if self._question().name == name:
                    self._draw()
                    self._panel.reveal(self.effect_grids[0])

        work = functools.partial(
            measure_effects, model, task, view.question, sweep, view.group, view.direction
        )
        return self._panel.start(work, show, key="effects", replace=True)

    def view(self) -> SplitView:
        """What is shown.

        Raises:
            SettingError: before anything was averaged.
        """
        name = self._question().name
        if name not in self._views:
            raise SettingError(f"nothing is averaged yet of {name}; press 'Average over examples'")
        return self._seen(self._views[name])

    def follow_controls(self) -> None:
        """Show the model that is chosen, in the colours that are chosen, if it was averaged."""
        if self._question().name in self._views:
            self._offer()
        else:
            self._show_nothing()

    def clear(self) -> None:
        """Forget what was averaged: the session shows another model or task."""
        self._views.clear()
        self._show_nothing()

    def _show_nothing(self) -> None:
        self._strongest.children = ()
        for part in (self._edges, self._effects):
            part.layout.display = "none"
        for grid in (*self.grids, *self.effect_grids):
            grid.show_nothing("")
        self._note.say(
            "Press 'Average over examples' to see where the model looks over a whole split, with "
            "95 % intervals over examples."
        )

    # --- exports ----------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """All cells that are shown."""
        return self.view().table()

    def picture(self) -> Figure:
        """All heat maps."""
        view = self.view()
        maps = [*view.maps(self._beside()), *view.effect_maps()]
        return heat_figure(f"Attention of {view.question.name} over examples", maps)

    def code(self) -> str:
        """Python for the same numbers."""
        return split_code(self._panel.session, self.view())

    # --- drawing ----------------------------------------------------------------------------------

    def _question(self) -> SplitQuestion:
        wanted = self._looks.request(self._looks.sides[0])
        model = self._panel.session.models[wanted.adapter]
        fits, _ = fitting(model, parse_intervention(wanted.intervention))
        far = "" if self.far.value == self.near.value else self.far.value
        return SplitQuestion(wanted.adapter, str(fits), self.near.value, far, self.examples.value)

    def _follow_task(self) -> None:
        splits = [name for name in self._panel.session.task.splits if name != "train"]
        far = [name for name in splits if name.startswith("ood-")]
        with self._controls.unheard():
            self.near.options, self.far.options = splits, [_NO_SPLIT, *((n, n) for n in splits)]
            self.near.value = "id" if "id" in splits else splits[0]
            self.far.value = far[0] if far else ""
        self.clear()

    def _seen(self, view: SplitView) -> SplitView:
        """The view with the edges and the colours that are chosen."""
        looks = self._looks
        return replace(
            view,
            group=self.group.value or "",
            role=self.role.value or "",
            direction=self.direction.value,
            without_first=looks.without_first.value,
            scale=looks.scale.value,
            log=looks.log_colours.value,
        )

    def _beside(self) -> SplitView | None:
        """The other of A and B, if its splits were averaged: both have one scale of colours."""
        mine, session = self.view().question.adapter, self._panel.session
        for view in self._views.values():
            if view.question.adapter in {session.adapter_a, session.adapter_b} - {mine}:
                return self._seen(view)
        return None

    def _offer(self) -> None:
        """Offer the groups that were found; show the first group that repeats."""
        cells = self.view().masses[0].cells
        groups = list(dict.fromkeys(cells["group"]))
        roles = cells.groupby("group")["occurrence_role"].unique()
        repeating = [group for group in groups if len(roles[group]) > 1]
        with self._controls.unheard():
            kept = self.group.value
            self.group.options = groups
            self.group.value = kept if kept in groups else (repeating or groups)[0]
        self._choose()

    def _choose(self) -> None:
        """Offer the roles of the group, and draw."""
        view = self.view()
        cells = view.masses[0].cells
        here = (cells["group"] == view.group) & (cells["direction"] == view.direction)
        roles = list(dict.fromkeys(cells.loc[here, "occurrence_role"]))
        with self._controls.unheard():
            kept = self.role.value
            self.role.options = roles
            self.role.value = kept if kept in roles else next(iter(roles), None)
        self._draw()

    def _draw(self) -> None:
        view = self.view()
        for part in (self._edges, self._effects):
            part.layout.display = ""
        if self._listed != _edges_of(view):
            self._strongest.children = ()
        maps, effects = view.maps(self._beside()), view.effect_maps()
        for grids, shown in ((self.grids, maps), (self.effect_grids, effects)):
            for number, grid in enumerate(grids):
                if number < len(shown):
                    grid.share_row(len(shown[number].columns.labels))
                    grid.show(shown[number])
                else:
                    grid.show_nothing("")
        if not maps[0].values.size:
            self._note.say(
                f"No slot of {view.group} is a key but the first one: choose another latent group, "
                "or untick 'Without the first slot'."
            )
            return
        self._note.say(
            f"{counted(view.question.examples, 'example')} per split. Intervals are over examples "
            "of this adapter, and are not corrected for the number of cells. Click a cell to list "
            "the examples that contribute most."
        )

    def _pick(self, number: int, row_number: int, column: int) -> None:
        """List the examples that contribute most to a cell."""
        view, shown = self.view(), self.grids[number].shown
        layer, head = shown.columns.places[column], shown.rows.places[row_number]
        task = self._panel.session.task
        buttons = [
            self._panel.button(
                f"{value:.3f} · {split} · {asked_in(example.prompt).strip()[:60]!r}",
                functools.partial(self._open, example),
                f"Open this example: {example.level} {task.level_name}",
            )
            for split, example, value in view.strongest(layer, head)
        ]
        title = widgets.Label(f"Layer {layer}, head {head}: open one of the strongest examples")
        self._strongest.children, self._listed = (title, *buttons), _edges_of(view)
        self._panel.reveal(self._strongest)

    def _open(self, example: Any) -> None:
        self._panel.session.example = example
        self._panel.session.panel = "playground"


def _edges_of(view: SplitView) -> tuple[object, ...]:
    return view.question, view.group, view.role, view.direction, view.without_first
