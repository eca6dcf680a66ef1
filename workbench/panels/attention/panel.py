"""The attention panel: where a model attends, head by head, and whether the edges matter.

Captures run as jobs, only while the panel is in view. The old maps are dimmed until the new ones
are there. The browser receives one head's map at a time.
"""

from __future__ import annotations

from typing import ClassVar, Final

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from latent_core.errors import SettingError
from latent_core.progress import progress_bar
from workbench.jobs import Job
from workbench.panels.attention.code import attention_code
from workbench.panels.attention.controls import OVER_SPLIT, AttentionControls, HeadChooser
from workbench.panels.attention.measures import DIRECTIONS
from workbench.panels.attention.over_split import OverSplit
from workbench.panels.attention.pointing import link_strip
from workbench.panels.attention.view import AttentionView
from workbench.panels.attention.work import (
    Capture,
    CaptureRequest,
    CaptureStore,
    capture,
    said_of_slots,
    trace_effects,
)
from workbench.panels.base import Panel
from workbench.panels.controls import Quiet, row
from workbench.pictures.still import heat_figure
from workbench.session import Session
from workbench.widgets.heat_grid import HeatGrid
from workbench.widgets.token_strip import TokenStrip
from workbench.widgets.visibility import Visibility

__all__ = ["AttentionPanel"]

_LABELS: Final = 64


class AttentionPanel(Panel):
    """Attention of one example in A, in B, or their difference, and its causal effect.

    Every control is a widget whose `value` may be set from code, such as
    `panel.controls.latents.value = "Comma"`.

    Attributes:
        scope, over_split: one example or a split; and the view over a split.
        controls: which attention is captured.
        chooser: the layer and the head whose map is open.
        overview, heat, groups, effects: the heat maps.
        strip: the slots, linked with the open map.
    """

    title: ClassVar[str] = "Attention"
    chooses = "adapters and examples"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._captures = CaptureStore()
        self._opened = False
        self._job: Job | None = None
        self._quiet = Quiet(self.safely(self._update))
        again = self.button(
            "Recapture attention",
            self._capture_again,
            "Run the models again, even if nothing has changed",
        )
        strongest = self.button(
            "Open strongest head",
            self.open_strongest,
            "Open the head with the largest value of the overview",
        )
        self.trace = self.button(
            "Measure causal effect",
            self.start_trace,
            "Cut these edges, one layer at a time, and measure the change of log p(response)",
        )
        self.controls = AttentionControls(self, self._update, again)
        self.chooser = HeadChooser(self, self._draw_head, strongest)
        self._make_views()
        self.visibility = Visibility()
        self.over_split = OverSplit(self, self.controls)
        self.scope = self.controls.scope
        head = widgets.VBox([self.chooser, self.strip, self.heat])
        head.layout.flex = "1 1 640px"  # beside the overview where both fit
        self._one = widgets.VBox(
            [
                row(self.overview, head, align_items="flex-start"),
                row(self.trace),
                row(self.groups, self.effects, align_items="flex-start"),
            ]
        )
        self.build(self.visibility, self.controls, self._one, self.over_split)
        self.on(self.scope, "value", lambda _: self._show_scope())
        self._observe()
        self._show_scope()

    @property
    def over_examples(self) -> bool:
        """Whether attention over a split is shown."""
        return bool(self.scope.value == OVER_SPLIT)

    def _show_scope(self) -> None:
        """Show one example's attention, or that over a split, and its controls alone."""
        self._one.layout.display = "none" if self.over_examples else ""
        self.over_split.layout.display = "" if self.over_examples else "none"
        self.controls.for_split(self.over_examples)
        self._update()

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
        link_strip(self, self.strip, self.heat)
        self.on(self.visibility, "seen", lambda seen: self._update() if not self._ready else None)
        traits = ("adapter_a", "adapter_b", "prompt", "example", "intervention")
        self.follow(self._session_changed, *traits)

    def _session_changed(self) -> None:
        self.controls.follow_session()
        self._quiet.changed()

    # --- capturing --------------------------------------------------------------------------------

    def _find(self, request: CaptureRequest) -> Capture | None:
        """A capture for a request, if there is one."""
        return self._captures.find(request, self.controls.measure.value)

    def _found(self) -> list[Capture]:
        """The captures that exist, of those that the controls ask for."""
        found = map(self._find, self.controls.requests)
        return [one for one in found if one is not None]

    @property
    def _ready(self) -> bool:
        return len(self._found()) == len(self.controls.requests)

    def capture(self) -> Job | None:
        """Capture what the controls ask for, in view or not; None if nothing is missing."""
        missing = [one for one in self.controls.requests if self._find(one) is None]
        if not missing:
            self._draw()
            return None
        for grid in (self.overview, self.heat, self.groups, self.effects):
            grid.busy = True
        measure, edges = self.controls.measure.value, self.controls.edges
        requests = dict.fromkeys(missing)
        work = [self._captures.widened(request) for request in requests]
        models = [self.session.models[request.adapter] for request in requests]

        def run() -> list[Capture]:
            found = []
            with progress_bar(len(work), "capturing attention", "model") as bar:
                for model, (request, known) in zip(models, work, strict=True):
                    found.append(capture(model, request, measure, edges, known))
                    bar.update()
            return found

        job = self.start(run, self._keep, key="capture", replace=True, watch=self._watch)
        self._job = job  # here, since a watch is heard late while a cell runs
        return job

    def prepare(self) -> None:
        """See `Panel.prepare`."""
        if self.over_examples:
            self.over_split.prepare()
        elif self.session.prompt and (job := self.capture()) is not None:
            self.session.jobs.settle(job)

    def _watch(self, job: Job) -> None:
        ended = not job.active and job.state != "done"
        if ended and self._job is job and not self._ready:  # and no other job replaced it
            why = "see the status line below" if job.state == "failed" else "the job was cancelled"
            self._show_nothing(f"No attention captured: {why}. Press 'Recapture attention'.")

    def _keep(self, found: list[Capture]) -> None:
        self._captures.keep(found, self.controls.subjects)
        if self._ready:
            self._draw()

    def _update(self) -> None:
        """After any change: draw what is captured, and capture the rest if the panel is in view."""
        self.controls.offer_groups()
        self.controls.offer_clean()
        if self.over_examples:
            self.over_split.follow_controls()
            return
        if self.session.prompt == "":
            self._show_nothing("Type a prompt, or choose an example, to see attention.")
        elif self._ready or self.visibility.seen:
            self.capture()
        else:
            self._show_nothing("Attention is captured when this panel comes into view.")

    def _capture_again(self) -> None:
        self._captures.clear()
        self.capture()

    # --- drawing ----------------------------------------------------------------------------------

    def view(self) -> AttentionView:
        """The heat maps as data.

        Raises:
            SettingError: while nothing is captured.
        """
        if not self._ready:
            raise SettingError(
                "nothing is captured yet; show the panel and wait, or call its prepare()"
            )
        controls = self.controls
        shown, *rest = [one.maps for one in self._found()]
        other, effects = None, None
        if not rest:
            other = self._find(controls.request("B" if controls.sides == ("A",) else "A"))
            (request,) = controls.requests
            effects = self._captures.effects(request, controls.direction.value)
        return AttentionView(
            shown=shown,
            minus=rest[0] if rest else None,
            beside=None if other is None else other.maps,
            name=controls.name,
            measure=controls.measure.value,
            edges=controls.edges,
            all_slots=controls.all_slots.value,
            effects=effects,
            scale=controls.scale.value,
            log=controls.log_colours.value,
            same_text=controls.subtracts_clean,
        )

    def _draw(self) -> None:
        view = self.view()
        layers, heads = view.record.layers, view.record.heads
        self.chooser.offer(layers, heads, has_heads=self.controls.has_heads)
        self.strip.prompt_length = view.both.prompt_length
        said = said_of_slots(list(self._found()), view.same_text)
        self.strip.show(view.both.slots, colours=view.colours, chances=said)
        if not self._opened:
            self._opened = self._open_first()
        for grid in (self.overview, self.groups, self.effects):
            grid.share_row(len(layers))
        self._draw_overview(view)
        self._draw_head()
        self._draw_effects(view)

    def _draw_overview(self, view: AttentionView) -> None:
        notes = [note for one in self._found() for note in one.notes]
        said = dict.fromkeys(f"{note.removesuffix('.')}." for note in notes)
        try:
            how = "Click a cell to open that head. On the keyboard, press Enter."
            self.overview.show(view.overview(self.chooser.cell), " ".join([how, *said]))
        except SettingError as reason:
            self.overview.show_nothing(_sentence(reason))

    def _draw_head(self) -> None:
        if not self._ready:
            return  # drawn when the capture is done
        view, cell = self.view(), self.chooser.cell
        try:
            self.heat.show(view.head(cell), view.note())
        except SettingError as reason:
            self.heat.show_nothing(self._unless_said(reason))
        if self.overview.shown.values.size:
            head = 0 if cell.head is None else view.record.heads.index(cell.head)
            self.overview.selected = [head, view.record.layers.index(cell.layer)]

    def _draw_effects(self, view: AttentionView) -> None:
        try:
            mass = view.groups()
        except SettingError as reason:
            self.trace.layout.display = "none"
            self.groups.show_nothing(self._unless_said(reason))
            self.effects.show_nothing("")
            return
        self.trace.layout.display = ""
        if view.effects is not None:
            self.groups.show(mass)
            self.effects.show(view.effect(), view.agreement())
            return
        passes = len(view.record.groups) * len(view.record.layers)
        todo = (
            "Attention weights do not show what the model uses. 'Measure causal effect' cuts these "
            "edges and measures the change of log p(response). It takes "
            f"{passes} forward passes, one for each group and layer."
        )
        self.groups.show(mass, todo)
        self.effects.show_nothing("")

    def _unless_said(self, reason: SettingError) -> str:
        """A reason as a sentence; nothing if the overview gives it already."""
        sentence = _sentence(reason)
        return "" if sentence == self.overview.note else sentence

    def _show_nothing(self, note: str) -> None:
        self.overview.show_nothing(note)
        self.trace.layout.display = "none"
        for grid in (self.heat, self.groups, self.effects):
            grid.show_nothing("")
        self.strip.show(())

    # --- opening, pointing ------------------------------------------------------------------------

    def open_strongest(self) -> bool:
        """Open the head with the largest value of the overview; False if there is none."""
        cell = self.view().strongest(self.controls.edges)
        if cell is not None:
            self.chooser.choose(*cell)
        return cell is not None

    def _open_first(self) -> bool:
        """Open the head that looks most at latents that repeat: the first slot hides all others."""
        view = self.view()
        groups = self.session.models[self._found()[0].request.adapter].layout.groups
        repeating = [group.name for group in groups if group.repeats]
        edges = view.edges._replace(group=view.edges.group or next(iter(repeating), None))
        cell = view.strongest(edges) or view.strongest(view.edges)
        if cell is not None:
            self.chooser.choose(*cell)
        return cell is not None

    def _open_at(self, row: int | None, column: int) -> None:
        if not self._ready:
            return
        record, cell = self.view().record, self.chooser.cell
        head = cell.head if row is None or cell.head is None else record.heads[row]
        if (record.layers[column], head) != cell:
            self.chooser.choose(record.layers[column], head)
        self.heat.send({"kind": "reveal", "focus": False})  # the next cell is a key away

    # --- the causal effect ------------------------------------------------------------------------

    def start_trace(self) -> Job | None:
        """Cut the direction's edges in each layer and measure the response again.

        Raises:
            SettingError: while nothing is captured, or for a difference.
        """
        self.view().groups()
        (one,), direction = self._found(), self.controls.direction.value
        model = self.session.models[one.request.adapter]

        def keep(effects: pd.DataFrame) -> None:
            self._captures.keep_effects(one.request, direction, effects)
            if self._ready:
                self._draw_effects(self.view())
                self.reveal(self.effects)

        return self.start(
            lambda: trace_effects(model, one, DIRECTIONS[direction]), keep, key="trace"
        )

    # --- exports ----------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """See `Panel.table`: the cells of the overview, of the open map, and the effects."""
        if self.over_examples:
            return self.over_split.table()
        return self.view().table(self.chooser.cell)

    def picture(self) -> Figure:
        """See `Panel.picture`."""
        if self.over_examples:
            return self.over_split.picture()
        view = self.view()
        maps, note = view.maps(self.chooser.cell)
        return heat_figure(f"Attention of {view.name}", maps, note)

    def code(self) -> str:
        """See `Panel.code`."""
        if self.over_examples:
            return self.over_split.code()
        return attention_code(
            self.session,
            self._found(),
            self.controls.measure.value,
            self.controls.edges,
            self.controls.all_slots.value,
            self.chooser.cell,
            traced=self.view().effects is not None,
            minus_clean=self.controls.subtracts_clean,
        )


def _sentence(reason: object) -> str:
    text = str(reason)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
