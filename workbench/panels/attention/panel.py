"""The attention panel: where a model looks, head by head, and whether that matters.

Captures run as jobs, only while the panel is in view; what is drawn is dimmed until the new one is
there. The browser is sent one head's map at a time.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

import pandas as pd
from matplotlib.figure import Figure

from latent_core.errors import SettingError
from latent_core.progress import progress_bar
from workbench.jobs import Job
from workbench.panels.attention.captures import Captures
from workbench.panels.attention.code import attention_code
from workbench.panels.attention.controls import AttentionControls, HeadChooser, Side, row
from workbench.panels.attention.data import DIRECTIONS, Cell
from workbench.panels.attention.view import AttentionView
from workbench.panels.attention.work import Taken, capture, trace_effects
from workbench.panels.base import Panel
from workbench.pictures.heat_figure import heat_figure
from workbench.pictures.palette import colours_of
from workbench.session import Session
from workbench.widgets.heat_grid import HeatGrid
from workbench.widgets.token_strip import TokenStrip
from workbench.widgets.visibility import Visibility

__all__ = ["AttentionPanel"]

#: Seconds of quiet after a change of the session before a capture begins.
_QUIET: Final = 0.25
_LABELS: Final = 64


class AttentionPanel(Panel):
    """Attention of one example in A, in B, or their difference; and its causal effect.

    Every control is a widget whose `value` may be set from code, such as
    `panel.controls.latents.value = "Comma"`.

    Attributes:
        controls: what is looked at.
        chooser: the layer and the head whose map is open.
        overview, heat, groups, effects: the heat maps.
        strip: the slots, linked with the open map.
    """

    title: ClassVar[str] = "Attention"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._captures = Captures()
        self._opened = False
        self._job: Job | None = None
        self._timer: asyncio.TimerHandle | None = None
        narrow = {"width": "max-content"}
        again = self.button("Capture anew", self._again, layout=narrow)
        strongest = self.button(
            "Strongest", self.open_strongest, "open the brightest head", layout=narrow
        )
        self.trace = self.button(
            "Cut these edges", self.start_trace, "measure the causal effect by layer", layout=narrow
        )
        self.controls = AttentionControls(self, self._update, again)
        self.chooser = HeadChooser(self, self._draw_head, strongest)
        self._make_views()
        self.visibility = Visibility()
        self.build(
            self.visibility,
            self.controls,
            self.overview,
            self.chooser,
            self.strip,
            self.heat,
            row(self.trace),
            self.groups,
            self.effects,
        )
        self._observe()

    def _make_views(self) -> None:
        self.overview = HeatGrid(picks=True, cell_width=30, cell_height=17, label_width=_LABELS)
        self.heat = HeatGrid(cell_width=22, cell_height=18)
        self.groups = HeatGrid(cell_width=30, cell_height=20, label_width=_LABELS, picks=True)
        self.effects = HeatGrid(cell_width=30, cell_height=20, label_width=_LABELS, picks=True)
        self.strip = TokenStrip(label="slots of the example")

    def _observe(self) -> None:
        self.overview.on_pick(self.safely(self._open_at))
        for grid in (self.groups, self.effects):
            grid.on_pick(self.safely(lambda row, column: self._open_at(None, column)))
        self.on(self.heat, "hovered", self._point_at_strip)
        self.on(self.strip, "hovered", self._point_at_map)
        self.on(self.visibility, "seen", lambda seen: self._update() if not self._ready else None)
        traits = ("adapter_a", "adapter_b", "prompt", "example", "intervention")
        self.follow(self._session_changed, *traits)

    def _session_changed(self) -> None:
        self.controls.follow_session()
        if self._timer is not None:
            self._timer.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._update()
        else:  # typing, or dragging a control, changes it many times a second
            self._timer = loop.call_later(_QUIET, self.safely(self._update))

    # --- what is wanted ---------------------------------------------------------------------------

    def _find(self, side: Side) -> Taken | None:
        """The capture of a side, if it is there."""
        return self._captures.find(self.controls.request(side), self.controls.measure.value)

    def _taken(self) -> list[Taken]:
        """The captures that are there, of those that are asked for."""
        found = [self._find(side) for side in self.controls.sides]
        return [taken for taken in found if taken is not None]

    @property
    def _ready(self) -> bool:
        return len(self._taken()) == len(self.controls.sides)

    def capture(self) -> Job | None:
        """Capture what the controls ask for, in view or not; None if it is there already."""
        missing = [side for side in self.controls.sides if self._find(side) is None]
        if not missing:
            self._draw()
            return None
        for grid in (self.overview, self.heat, self.groups, self.effects):
            grid.busy = True
        measure, edges = self.controls.measure.value, self.controls.edges
        requests = dict.fromkeys(self.controls.request(side) for side in missing)
        work = [self._captures.widened(request) for request in requests]
        models = [self.session.models[request.adapter] for request in requests]

        def run() -> list[Taken]:
            found = []
            with progress_bar(len(work), "capturing attention", "model") as bar:
                for model, (request, known) in zip(models, work, strict=True):
                    found.append(capture(model, request, measure, edges, known))
                    bar.update()
            return found

        return self.start(run, self._keep, key="capture", replace=True, watch=self._watch)

    def prepare(self) -> None:
        """See `Panel.prepare`."""
        if self.session.prompt and (job := self.capture()) is not None:
            self.session.jobs.settle(job)

    def _watch(self, job: Job) -> None:
        if job.active:
            self._job = job
        elif job.state != "done" and self._job is job:  # and it was not replaced by another
            why = "the line at the bottom says why" if job.state == "failed" else "it was cancelled"
            self._show_nothing(f"Nothing was captured: {why}. 'Capture anew' tries again.")

    def _keep(self, found: list[Taken]) -> None:
        self._captures.keep(found, [self.controls.request(side).subject for side in ("A", "B")])
        if self._ready:
            self._draw()

    def _update(self) -> None:
        """After any change: draw what is there, capture what is not, if anybody looks."""
        self.controls.offer_groups()
        if self.session.prompt == "":
            self._show_nothing("Type a prompt, or choose an example, to see attention.")
        elif self._ready or self.visibility.seen:
            self.capture()
        else:
            self._show_nothing("Captured as soon as the panel is in view, or by .prepare().")

    def _again(self) -> None:
        self._captures.clear()
        self.capture()

    # --- what is shown ----------------------------------------------------------------------------

    def view(self) -> AttentionView:
        """What is shown, as data.

        Raises:
            SettingError: while nothing is captured.
        """
        if not self._ready:
            raise SettingError(
                "nothing is captured yet; show the panel and wait, or call its prepare()"
            )
        controls = self.controls
        shown, *rest = [taken.captured for taken in self._taken()]
        other, effects = None, None
        if not rest:
            other = self._find("B" if controls.sides == ("A",) else "A")
            request = controls.request(controls.sides[0])
            effects = self._captures.effects(request, controls.direction.value)
        return AttentionView(
            shown=shown,
            minus=rest[0] if rest else None,
            beside=None if other is None else other.captured,
            name=self._name(),
            measure=controls.measure.value,
            edges=controls.edges,
            all_slots=controls.all_slots.value,
            effects=effects,
        )

    def _name(self) -> str:
        requests = [self.controls.request(side) for side in self.controls.sides]
        names = " - ".join(request.adapter for request in requests)
        change = requests[0].intervention
        under = "" if change == "none" else f", with {change}"
        return f"{self.controls.side.value} ({names}{under})"

    def _draw(self) -> None:
        view = self.view()
        layers, heads = view.record.layers, view.record.heads
        self.chooser.offer(layers, heads, has_heads=self.controls.has_heads)
        slots = view.record.slots
        self.strip.prompt_length = view.record.prompt_length
        self.strip.show(slots, colours=self._colours(view))
        if not self._opened:
            self._opened = self.open_strongest()
        self._draw_overview(view)
        self._draw_head()
        self._draw_effects(view)

    def _draw_overview(self, view: AttentionView) -> None:
        notes = [note for taken in self._taken() for note in taken.notes]
        said = dict.fromkeys(f"{note.removesuffix('.')}." for note in notes)
        try:
            how = "Click a cell, or press Enter, to open it."
            self.overview.show(view.overview(self.chooser.cell), " ".join([how, *said]))
        except SettingError as reason:
            self.overview.show_nothing(_sentence(reason))

    def _draw_head(self) -> None:
        if not self._ready:
            return  # what is being captured is drawn when it is there
        view, cell = self.view(), self.chooser.cell
        try:
            self.heat.show(view.head(cell), view.note(), self._colours(view))
        except SettingError as reason:
            said = self.overview.note  # once is enough
            self.heat.show_nothing("" if _sentence(reason) == said else _sentence(reason))
        if self.overview.values:
            head = 0 if cell.head is None else view.record.heads.index(cell.head)
            self.overview.selected = [head, view.record.layers.index(cell.layer)]

    def _draw_effects(self, view: AttentionView) -> None:
        try:
            mass = view.groups()
        except SettingError as reason:
            said = self.overview.note
            self.trace.layout.display = "none"
            self.groups.show_nothing("" if _sentence(reason) == said else _sentence(reason))
            self.effects.show_nothing("")
            return
        self.trace.layout.display = ""
        colours = self._colours(view)
        if view.effects is not None:
            self.groups.show(mass, "", colours)
            self.effects.show(view.effect(), view.agreement(), colours)
            return
        runs = len(view.record.groups) * len(view.record.layers)
        todo = (
            f"Attention is not explanation. 'Cut these edges' measures how the response's "
            f"probability changes without them: {runs} runs, one for each group and layer."
        )
        self.groups.show(mass, todo, colours)
        self.effects.show_nothing("")

    def _show_nothing(self, note: str) -> None:
        self.overview.show_nothing(note)
        self.trace.layout.display = "none"
        for grid in (self.heat, self.groups, self.effects):
            grid.show_nothing("")
        self.strip.show(())

    @staticmethod
    def _colours(view: AttentionView) -> dict[str, str]:
        return colours_of(slot.group for slot in view.record.slots if slot.group is not None)

    # --- opening, pointing ------------------------------------------------------------------------

    def open_strongest(self) -> bool:
        """Show the map of the head that has most of the overview's measure; False if none has."""
        view = self.view()
        try:
            heat = view.overview(Cell(view.record.layers[0], None))
        except SettingError:
            return False
        row, column = divmod(int(abs(heat.values).argmax()), heat.values.shape[1])
        self.chooser.choose(view.record.layers[column], view.record.heads[row])
        return True

    def _open_at(self, row: int | None, column: int) -> None:
        if not self._ready:
            return
        record, cell = self.view().record, self.chooser.cell
        head = cell.head if row is None or cell.head is None else record.heads[row]
        if (record.layers[column], head) != cell:
            self.chooser.choose(record.layers[column], head)

    def _point_at_strip(self, hovered: list[int]) -> None:
        row, column = hovered
        across = self.heat.column_title == "query"
        numbers = self.heat.column_numbers if across else self.heat.row_numbers
        self.strip.hovered = numbers[column if across else row] if row >= 0 else -1

    def _point_at_map(self, slot: int) -> None:
        if self.heat.hovered != [-1, -1]:
            return  # the map itself is pointed at
        sides = (self.heat.row_numbers, self.heat.column_numbers)
        self.heat.highlight = [side.index(slot) if slot in side else -1 for side in sides]

    # --- the causal effect ------------------------------------------------------------------------

    def start_trace(self) -> Job | None:
        """Cut the direction's edges in each layer and measure the response anew.

        Raises:
            SettingError: while nothing is captured, or for a difference.
        """
        self.view().groups()
        (taken,), direction = self._taken(), self.controls.direction.value
        model = self.session.models[taken.request.adapter]

        def keep(effects: pd.DataFrame) -> None:
            self._captures.keep_effects(taken.request, direction, effects)
            if self._ready:
                self._draw_effects(self.view())

        return self.start(
            lambda: trace_effects(model, taken, DIRECTIONS[direction]), keep, key="trace"
        )

    # --- exports ----------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """See `Panel.table`: the overview's cells, the open map's, and the effects."""
        return self.view().table(self.chooser.cell)

    def picture(self) -> Figure:
        """See `Panel.picture`."""
        view = self.view()
        heats, note = view.heats(self.chooser.cell)
        return heat_figure(f"Attention of {view.name}", heats, note, self._colours(view))

    def code(self) -> str:
        """See `Panel.code`."""
        view = self.view()
        return attention_code(
            self.session,
            self._taken(),
            self.controls.measure.value,
            self.controls.edges,
            self.controls.all_slots.value,
            self.chooser.cell,
            traced=view.effects is not None,
        )


def _sentence(reason: object) -> str:
    text = str(reason)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
