"""The attention panel: where a model looks, head by head, and whether that matters.

Captures run as jobs, only while the panel is in view; what is drawn is dimmed until the new one is
there. The browser is sent one head's map at a time.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final, Literal, cast

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from latent_core.errors import SettingError
from latent_core.progress import progress_bar
from workbench.attention_captures import Captures
from workbench.attention_code import attention_code
from workbench.attention_data import DIRECTIONS, MEASURES, Cell, Direction
from workbench.attention_jobs import Request, Taken, capture, trace_effects
from workbench.attention_view import AttentionView
from workbench.heat_grid import HeatGrid
from workbench.jobs import Job
from workbench.palette import colours_of
from workbench.panel import Panel
from workbench.pictures_attention import heat_figure
from workbench.session import Session
from workbench.token_strip import TokenStrip
from workbench.visibility import Visibility

__all__ = ["AttentionPanel"]

Side = Literal["A", "B"]
DIFFERENCE: Final = "A - B"
ANSWER, OWN = "true answer", "own response"
#: Seconds of quiet after a change of the session before a capture begins.
_QUIET: Final = 0.25
_LABELS: Final = 64
_ALL_GROUPS: Final = ("all", "")  # None would leave the list blank
#: Of toggle buttons, whose description stands above them otherwise.
_INLINE: Final = {"display": "flex", "width": "max-content", "align_items": "center"}


class AttentionPanel(Panel):
    """Attention of one example in A, in B, or their difference; and its causal effect.

    Every control is a widget whose `value` may be set from code:

    Attributes:
        side: `A`, `B` or `A - B`.
        measure: one of `MEASURES`.
        direction: one of `DIRECTIONS`.
        latents: the group of those that are looked at, or that look at text; empty for all.
        response: whether the model reads the true answer or writes its own response.
        all_slots: whether the open head is shown with all slots.
        intervene: whether the session's intervention applies.
        layer, head: the map that is open.
        overview, heat, groups, effects: the heat maps.
        strip: the slots, linked with the open map.
    """

    title: ClassVar[str] = "Attention"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._captures = Captures()
        self._opened = False
        self._drawing = False
        self._offering = False
        self._job: Job | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._make_controls()
        self._make_views()
        self.visibility = Visibility()
        self.build(
            self.visibility,
            _row(self.side, self.measure, self.direction, self.latents),
            _row(self.response, self.all_slots, self.intervene, self.again),
            self.overview,
            _row(self.layer, self.head, self.strongest),
            self.strip,
            self.heat,
            _row(self.trace),
            self.groups,
            self.effects,
        )
        self._observe()

    # --- widgets ----------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.side = widgets.ToggleButtons(
            options=["A", "B", DIFFERENCE],
            description="Model",
            style=_style(button_width="56px"),
            layout=_INLINE,
        )
        self.measure = _chooser("Measure", list(MEASURES), "220px")
        self.direction = _chooser("Edges", list(DIRECTIONS), "180px")
        self.latents = _chooser("Latents", [_ALL_GROUPS], "180px")
        self.latents.tooltip = "the latents at the end, or at the start, of these edges"
        self.response = widgets.ToggleButtons(
            options=[ANSWER, OWN],
            description="Response",
            style=_style(button_width="112px"),
            layout=_INLINE,
            tooltips=[
                "the model reads the example's answer (teacher forcing)",
                "the model writes its own response first",
            ],
        )
        self.all_slots = _check("All slots", "show attention from all slots onto all slots")
        self.intervene = _check("With the intervention", "apply the session's intervention")
        # Lists, since a slider's handle would have no name for a screen reader.
        self.layer, self.head = _chooser("Layer", [0], "130px"), _chooser("Head", [0], "130px")
        narrow = {"width": "max-content"}
        self.strongest = self.button(
            "Strongest", self.open_strongest, "open the brightest head", layout=narrow
        )
        self.again = self.button("Capture anew", self._again, layout=narrow)
        self.trace = self.button(
            "Cut these edges", self.start_trace, "measure the causal effect by layer", layout=narrow
        )

    def _make_views(self) -> None:
        self.overview = HeatGrid(picks=True, cell_width=30, cell_height=17, label_width=_LABELS)
        self.heat = HeatGrid(cell_width=22, cell_height=18)
        self.groups = HeatGrid(cell_width=30, cell_height=20, label_width=_LABELS, picks=True)
        self.effects = HeatGrid(cell_width=30, cell_height=20, label_width=_LABELS, picks=True)
        self.strip = TokenStrip(label="slots of the example")

    def _observe(self) -> None:
        for control in (self.side, self.measure, self.response, self.intervene):
            self.on(control, "value", lambda _: self._update())
        for control in (self.direction, self.all_slots, self.latents):
            self.on(control, "value", lambda _: self._update())
        for control in (self.layer, self.head):
            self.on(control, "value", lambda _: self._draw_head())
        self.overview.on_pick(self.safely(self._open_at))
        for grid in (self.groups, self.effects):
            grid.on_pick(self.safely(lambda row, column: self._open_at(None, column)))
        self.on(self.heat, "hovered", self._point_at_strip)
        self.on(self.strip, "hovered", self._point_at_map)
        self.on(self.visibility, "seen", lambda seen: self._update() if not self._ready else None)
        self.follow(self._session_changed, "adapter_a", "adapter_b", "prompt", "example")
        self.follow(self._session_changed, "intervention")

    def _session_changed(self) -> None:
        self._offer_groups()
        session = self.session
        self.side.tooltips = [
            f"A: {session.adapter_a}",
            f"B: {session.adapter_b}",
            f"{session.adapter_a} minus {session.adapter_b}",
        ]
        none = session.intervention == "none"
        self.intervene.description = (
            "With the intervention (none is set)" if none else f"With {session.intervention}"
        )
        self.intervene.disabled = none
        self.response.disabled = session.example is None
        if self._timer is not None:
            self._timer.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._update()
        else:  # typing, or dragging a control, changes it many times a second
            self._timer = loop.call_later(_QUIET, self.safely(self._update))

    # --- what is wanted ---------------------------------------------------------------------------

    @property
    def sides(self) -> tuple[Side, ...]:
        """The models whose captures are needed."""
        return ("A", "B") if self.side.value == DIFFERENCE else (cast(Side, self.side.value),)

    @property
    def edges(self) -> Direction:
        """The queries and keys that are looked at."""
        return DIRECTIONS[self.direction.value]._replace(group=self.latents.value or None)

    def request(self, side: Side) -> Request:
        """The capture that the controls ask for."""
        session, measure = self.session, MEASURES[self.measure.value]
        example = session.example
        true_answer = example is not None and self.response.value == ANSWER
        return Request(
            adapter=session.adapter_a if side == "A" else session.adapter_b,
            prompt=session.prompt,
            answer=example.answer if example is not None and true_answer else None,
            intervention=session.intervention if self.intervene.value else "none",
            all_slots=self.all_slots.value or measure.all_slots or self.edges.target == "text",
            gradient=measure.gradient,
        )

    def _find(self, side: Side) -> Taken | None:
        """The capture of a side, if it is there."""
        return self._captures.find(self.request(side), self.measure.value)

    @property
    def _ready(self) -> bool:
        return all(self._find(side) is not None for side in self.sides)

    def capture(self) -> Job | None:
        """Capture what the controls ask for, in view or not; None if it is there already."""
        missing = [side for side in self.sides if self._find(side) is None]
        if not missing:
            self._draw()
            return None
        for grid in (self.overview, self.heat, self.groups, self.effects):
            grid.busy = True
        measure, edges = self.measure.value, self.edges
        requests = dict.fromkeys(self.request(side) for side in missing)
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
        self._captures.keep(found, [self.request(side).subject for side in ("A", "B")])
        if self._ready:
            self._draw()

    def _offer_groups(self) -> None:
        """The groups of the models that are shown; what was chosen stays, if it is one of them."""
        models = [self.session.models[self.request(side).adapter] for side in self.sides]
        names = dict.fromkeys(group.name for model in models for group in model.layout.groups)
        options = (_ALL_GROUPS, *((name, name) for name in names))
        if tuple(self.latents.options) == options:
            return
        chosen, self._offering = self.latents.value, True
        try:
            self.latents.options = options
            self.latents.value = chosen if chosen in names else ""
        finally:
            self._offering = False

    def _update(self) -> None:
        """After any change: draw what is there, capture what is not, if anybody looks."""
        if self._offering:
            return  # whoever offers groups goes on to this
        self._offer_groups()
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
        taken = [self._find(side) for side in self.sides]
        if any(one is None for one in taken):
            raise SettingError(
                "nothing is captured yet; show the panel and wait, or call its prepare()"
            )
        captured = [one.captured for one in taken if one is not None]
        other = None if len(captured) == 2 else self._find("B" if self.sides == ("A",) else "A")
        return AttentionView(
            shown=captured[0],
            minus=captured[1] if len(captured) == 2 else None,
            beside=None if other is None else other.captured,
            name=self._name(),
            measure=self.measure.value,
            edges=self.edges,
            all_slots=self.all_slots.value,
            effects=self._captures.effects(self.request(self.sides[0]), self.direction.value)
            if len(self.sides) == 1
            else None,
        )

    @property
    def cell(self) -> Cell:
        """The map that is open."""
        has_heads = MEASURES[self.measure.value].has_heads
        return Cell(self.layer.value, self.head.value if has_heads else None)

    def _name(self) -> str:
        requests = [self.request(side) for side in self.sides]
        names = " - ".join(request.adapter for request in requests)
        change = requests[0].intervention
        return f"{self.side.value} ({names}" + (")" if change == "none" else f", with {change})")

    def _draw(self) -> None:
        view = self.view()
        self._drawing = True
        try:
            self.layer.options, self.head.options = view.record.layers, view.record.heads
            self.head.disabled = not MEASURES[self.measure.value].has_heads
        finally:
            self._drawing = False
        slots = view.record.slots
        self.strip.prompt_length = view.record.prompt_length
        self.strip.show(slots, colours=self._colours(view))
        if not self._opened:
            self._opened = self.open_strongest()
        self._draw_overview(view)
        self._draw_head()
        self._draw_effects(view)

    def _draw_overview(self, view: AttentionView) -> None:
        taken = [self._find(side) for side in self.sides]
        notes = [note for one in taken if one is not None for note in one.notes]
        said = dict.fromkeys(f"{note.removesuffix('.')}." for note in notes)
        try:
            how = "Click a cell, or press Enter, to open it."
            self.overview.show(view.overview(self.cell), " ".join([how, *said]))
        except SettingError as reason:
            self.overview.show_nothing(_sentence(reason))

    def _draw_head(self) -> None:
        if self._drawing or not self._ready:
            return  # what is being captured is drawn when it is there
        view = self.view()
        try:
            self.heat.show(view.head(self.cell), view.note(), self._colours(view))
        except SettingError as reason:
            said = self.overview.note  # once is enough
            self.heat.show_nothing("" if _sentence(reason) == said else _sentence(reason))
        if self.overview.values:
            row = 0 if self.cell.head is None else view.record.heads.index(self.cell.head)
            self.overview.selected = [row, view.record.layers.index(self.cell.layer)]

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

    def open_map(self, layer: int, head: int | None = None) -> None:
        """Show one head's map."""
        self._drawing = True
        try:
            self.layer.value = layer
            if head is not None:
                self.head.value = head
        finally:
            self._drawing = False
        self._draw_head()

    def open_strongest(self) -> bool:
        """Show the map of the head that has most of the overview's measure; False if none has."""
        view = self.view()
        try:
            heat = view.overview(Cell(view.record.layers[0], None))
        except SettingError:
            return False
        row, column = divmod(int(abs(heat.values).argmax()), heat.values.shape[1])
        self.open_map(view.record.layers[column], view.record.heads[row])
        return True

    def _open_at(self, row: int | None, column: int) -> None:
        if not self._ready:
            return
        record = self.view().record
        has_heads = MEASURES[self.measure.value].has_heads
        head = record.heads[row] if row is not None and has_heads else self.head.value
        if (record.layers[column], head) != (self.layer.value, self.head.value):
            self.open_map(record.layers[column], head)

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
        taken, direction = cast(Taken, self._find(self.sides[0])), self.direction.value
        model = self.session.models[taken.request.adapter]

        def keep(effects: pd.DataFrame) -> None:
            self._captures.keep_effects(taken.request, direction, effects)
            if self._find(self.sides[0]) is not None:
                self._draw_effects(self.view())

        return self.start(
            lambda: trace_effects(model, taken, DIRECTIONS[direction]), keep, key="trace"
        )

    # --- exports ----------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """See `Panel.table`: the overview's cells, the open map's, and the effects."""
        return self.view().table(self.cell)

    def picture(self) -> Figure:
        """See `Panel.picture`."""
        view = self.view()
        heats, note = view.heats(self.cell)
        return heat_figure(f"Attention of {view.name}", heats, note, self._colours(view))

    def code(self) -> str:
        """See `Panel.code`."""
        view = self.view()
        return attention_code(
            self.session,
            [taken for side in self.sides if (taken := self._find(side)) is not None],
            self.measure.value,
            self.edges,
            self.all_slots.value,
            self.cell,
            traced=view.effects is not None,
        )


def _row(*children: widgets.Widget) -> widgets.HBox:
    layout = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 14px"}
    return widgets.HBox(children, layout=layout)


def _style(**more: str) -> dict[str, str]:
    return {"description_width": "68px", **more}


def _check(label: str, tooltip: str) -> widgets.Checkbox:
    return widgets.Checkbox(
        description=label, tooltip=tooltip, indent=False, layout={"width": "max-content"}
    )


def _chooser(label: str, options: list[Any], width: str) -> widgets.Dropdown:
    return widgets.Dropdown(
        options=options,
        description=label,
        style={"description_width": "initial"},
        layout={"width": width},
    )


def _sentence(reason: object) -> str:
    text = str(reason)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
