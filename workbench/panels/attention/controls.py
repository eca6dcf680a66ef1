"""The attention panel's controls: which attention is captured, and which head's map is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal, cast

import ipywidgets as widgets

from workbench.panels.attention.measures import DIRECTIONS, MEASURES, Cell, Direction
from workbench.panels.attention.view import SCALES
from workbench.panels.attention.work import CaptureRequest
from workbench.panels.base import Panel
from workbench.panels.controls import ROW, Controls, checkbox, field, row

__all__ = [
    "ANSWER",
    "DIFFERENCE",
    "ONE_EXAMPLE",
    "OVER_SPLIT",
    "OWN",
    "AttentionControls",
    "HeadChooser",
    "Side",
]

Side = Literal["A", "B"]
DIFFERENCE: Final = "A - B"
ANSWER, OWN = "reference answer", "generated"
ONE_EXAMPLE, OVER_SPLIT = "one example", "over a split"
_ALL_GROUPS: Final = ("all", "")  # None would leave the list blank
#: Of toggle buttons, whose description stands above them otherwise.
_INLINE: Final = {"display": "flex", "width": "max-content", "align_items": "center"}


class AttentionControls(widgets.VBox):
    """Which model, measure, edges and response.

    Attributes:
        scope: one example or a split.
        side: `A`, `B` or `A - B`.
        measure: one of `MEASURES`.
        direction: one of `DIRECTIONS`.
        latents: the latent group whose edges are shown; empty for all.
        response: whether the model reads the reference answer or generates its own response.
        all_slots: whether the open head is shown with all slots.
        scale, log_colours: the scale of colours.
        without_first: whether the first slot is left out as a key.
        intervene: whether the session's intervention applies.
        minus_clean: whether the maps without the intervention are subtracted.
    """

    def __init__(self, panel: Panel, changed: Callable[[], None], *buttons: widgets.Button) -> None:
        """Make the controls.

        Args:
            panel: where errors are shown.
            changed: called when a control changes.
            buttons: stand after the controls.
        """
        self._session = panel.session
        self.scope = _toggle("View", [ONE_EXAMPLE, OVER_SPLIT], "130px")
        self.side = _toggle("Model", ["A", "B", DIFFERENCE], "56px")
        self.measure = field(widgets.Dropdown, "Measure", "220px", options=list(MEASURES))
        self.direction = field(widgets.Dropdown, "Query → key", "210px", options=list(DIRECTIONS))
        self.latents = field(widgets.Dropdown, "Latent group", "200px", options=[_ALL_GROUPS])
        self.latents.tooltip = "Show only the attention to or from this latent group"
        self.response = _toggle("Response", [ANSWER, OWN], "150px")
        self.response.tooltips = [
            "The model reads the example's answer (teacher forcing)",
            "The model generates its own response first",
        ]
        self.all_slots = checkbox("Show all slots", "Show attention from all slots onto all slots")
        self.intervene = checkbox(
            "Apply intervention",
            "Capture the attention while the intervention of the session is active",
        )
        self.minus_clean = checkbox(
            "Minus clean",
            "Show how the intervention changes attention, and the log-probability of each token of "
            "the response, which both runs read",
        )
        self.scale = field(widgets.Dropdown, "Colours", "210px", options=list(SCALES))
        self.log_colours = checkbox("Logarithmic colours", "Colours go by powers of ten")
        self.without_first = checkbox(
            "Without the first slot",
            "Leave out the first slot, onto which many heads put most weight",
        )
        looked_at = (self.side, self.measure, self.direction, self.latents)
        of_what = (self.response, self.all_slots, self.intervene, self.minus_clean)
        colours = (self.scale, self.log_colours, self.without_first)
        self._of_one = row(*looked_at[1:]), row(self.response, self.all_slots, *buttons)
        change = row(self.intervene, self.minus_clean)
        super().__init__(
            [
                row(self.scope, self.side, self._of_one[0]),
                row(change, self._of_one[1], row(*colours)),
            ]
        )
        self._controls = Controls(panel)
        self._controls.on(lambda _: changed(), *looked_at, *of_what, *colours)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The models that are captured; the second is subtracted from the first."""
        both = self.side.value == DIFFERENCE
        return ("A", "B") if both else (cast(Side, self.side.value),)

    @property
    def subtracts_clean(self) -> bool:
        """Whether a run without the intervention is subtracted from one with it."""
        applies = self.intervene.value and self._session.intervention != "none"
        return bool(applies and self.minus_clean.value and self.side.value != DIFFERENCE)

    @property
    def requests(self) -> tuple[CaptureRequest, ...]:
        """What is captured; the second is subtracted from the first."""
        found = tuple(self.request(side) for side in self.sides)
        if not self.subtracts_clean:
            return found
        (one,) = found
        changed = replace(one, chances=True, clean_response=one.answer is None)
        return changed, replace(one, chances=True, intervention="none")

    @property
    def subjects(self) -> list[CaptureRequest]:
        """What captures are kept of: A, B, and what is shown."""
        both = self.request("A"), self.request("B")
        return [one.subject for one in (*both, *self.requests)]

    @property
    def name(self) -> str:
        """What is shown, such as `A - B (Comma_2 - Start_2)`."""
        requests, side = self.requests, self.side.value
        change = requests[0].intervention
        if self.subtracts_clean:
            return f"{side} ({requests[0].adapter}), {change} - clean"
        names = " - ".join(request.adapter for request in requests)
        under = "" if change == "none" else f", with {change}"
        return f"{side} ({names}{under})"

    @property
    def edges(self) -> Direction:
        """The queries and keys whose edges are shown."""
        return DIRECTIONS[self.direction.value]._replace(
            group=self.latents.value or None, skip_first=self.without_first.value
        )

    @property
    def has_heads(self) -> bool:
        """Whether the measure has a map per head."""
        return MEASURES[self.measure.value].has_heads

    def request(self, side: Side) -> CaptureRequest:
        """The capture that the controls describe."""
        session, measure = self._session, MEASURES[self.measure.value]
        example = session.example
        true_answer = example is not None and self.response.value == ANSWER
        return CaptureRequest(
            adapter=session.adapter_a if side == "A" else session.adapter_b,
            prompt=session.prompt,
            answer=example.answer if example is not None and true_answer else None,
            intervention=session.intervention if self.intervene.value else "none",
            all_slots=self.all_slots.value or measure.all_slots or self.edges.target == "text",
            gradient=measure.gradient,
        )

    def for_split(self, over_split: bool) -> None:
        """Hide the controls that have no meaning over a split, or show them again."""
        for part in (*self._of_one, self.minus_clean):
            part.layout.display = "none" if over_split else ""
        side, scale = self.side.value, self.scale.value
        with self._controls.unheard():
            self.side.options = ["A", "B"] if over_split else ["A", "B", DIFFERENCE]
            self.side.value = side if side in self.side.options else "A"
            shared = "shared by all maps" if over_split else SCALES[0]
            self.scale.options = [(shared, SCALES[0]), *((one, one) for one in SCALES[1:])]
            self.scale.value = scale

    def follow_session(self) -> None:
        """Offer the choices that the session's models, example and intervention allow."""
        session = self._session
        self.side.tooltips = [
            f"A: {session.adapter_a}",
            f"B: {session.adapter_b}",
            f"{session.adapter_a} minus {session.adapter_b}",
        ]
        none = session.intervention == "none"
        self.intervene.description = (
            "Apply intervention (none is set)" if none else f"Apply {session.intervention}"
        )
        self.intervene.disabled = none
        self.offer_clean()
        self.response.disabled = session.example is None
        self.offer_groups()

    def offer_clean(self) -> None:
        """Offer to subtract the clean run where an intervention applies to one model."""
        applies = self.intervene.value and not self.intervene.disabled
        self.minus_clean.disabled = not applies or self.side.value == DIFFERENCE

    def offer_groups(self) -> None:
        """Offer the latent groups of the models; the chosen one stays if it is among them."""
        models = [self._session.models[self.request(side).adapter] for side in self.sides]
        names = dict.fromkeys(group.name for model in models for group in model.layout.groups)
        options = (_ALL_GROUPS, *((name, name) for name in names))
        if tuple(self.latents.options) != options:
            chosen = self.latents.value
            with self._controls.unheard():
                self.latents.options = options
                self.latents.value = chosen if chosen in names else ""


class HeadChooser(widgets.HBox):
    """Which head's map is open.

    Attributes:
        layer, head: lists, since a screen reader finds no name for a slider's handle.
    """

    def __init__(self, panel: Panel, changed: Callable[[], None], *buttons: widgets.Button) -> None:
        """Make the lists.

        Args:
            panel: where errors are shown.
            changed: called when another map is chosen.
            buttons: stand after the lists.
        """
        self._changed = changed
        self.layer, self.head = (
            field(widgets.Dropdown, "Layer", "130px", options=[0]),
            field(widgets.Dropdown, "Head", "130px", options=[0]),
        )
        super().__init__([self.layer, self.head, *buttons], layout=widgets.Layout(**ROW))
        self._controls = Controls(panel)
        self._controls.on(lambda _: changed(), self.layer, self.head)

    @property
    def cell(self) -> Cell:
        """The map that is open; its head is None where heads are averaged."""
        return Cell(self.layer.value, None if self.head.disabled else self.head.value)

    def offer(self, layers: Sequence[int], heads: Sequence[int], *, has_heads: bool) -> None:
        """Offer these layers and heads, without calling back."""
        with self._controls.unheard():
            self.layer.options, self.head.options = layers, heads
            self.head.disabled = not has_heads

    def choose(self, layer: int, head: int | None = None) -> None:
        """Open one map; without `head`, of the same head."""
        with self._controls.unheard():
            self.layer.value = layer
            if head is not None:
                self.head.value = head
        self._changed()


def _toggle(label: str, options: list[str], width: str) -> widgets.ToggleButtons:
    """Make buttons of which one is pressed, behind their label."""
    style = {"description_width": "68px", "button_width": width}
    return widgets.ToggleButtons(options=options, description=label, style=style, layout=_INLINE)
