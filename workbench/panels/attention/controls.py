"""The attention panel's controls: what it looks at, and which head's map is open.

They know what they ask for, and nothing of what was captured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, cast

import ipywidgets as widgets

from workbench.panels.attention.data import DIRECTIONS, MEASURES, Cell, Direction
from workbench.panels.attention.work import Request
from workbench.panels.base import Controls, Panel

__all__ = ["ANSWER", "DIFFERENCE", "OWN", "AttentionControls", "HeadChooser", "Side", "row"]

Side = Literal["A", "B"]
DIFFERENCE: Final = "A - B"
ANSWER, OWN = "true answer", "own response"
_ALL_GROUPS: Final = ("all", "")  # None would leave the list blank
#: Of toggle buttons, whose description stands above them otherwise.
_INLINE: Final = {"display": "flex", "width": "max-content", "align_items": "center"}


class AttentionControls(widgets.VBox):
    """Whose attention, which measure of it, on which edges, and of which response.

    Attributes:
        side: `A`, `B` or `A - B`.
        measure: one of `MEASURES`.
        direction: one of `DIRECTIONS`.
        latents: the group of those that are looked at, or that look at text; empty for all.
        response: whether the model reads the true answer or writes its own response.
        all_slots: whether the open head is shown with all slots.
        intervene: whether the session's intervention applies.
    """

    def __init__(self, panel: Panel, changed: Callable[[], None], *buttons: widgets.Button) -> None:
        """Controls that call `changed` when one of them is turned; `buttons` stand after them."""
        self._session = panel.session
        self.side = _toggle("Model", ["A", "B", DIFFERENCE], "56px")
        self.measure = _chooser("Measure", list(MEASURES), "220px")
        self.direction = _chooser("Edges", list(DIRECTIONS), "180px")
        self.latents = _chooser("Latents", [_ALL_GROUPS], "180px")
        self.latents.tooltip = "the latents at the end, or at the start, of these edges"
        self.response = _toggle("Response", [ANSWER, OWN], "112px")
        self.response.tooltips = [
            "the model reads the example's answer (teacher forcing)",
            "the model writes its own response first",
        ]
        self.all_slots = _check("All slots", "show attention from all slots onto all slots")
        self.intervene = _check("With the intervention", "apply the session's intervention")
        looked_at = (self.side, self.measure, self.direction, self.latents)
        of_what = (self.response, self.all_slots, self.intervene)
        super().__init__([row(*looked_at), row(*of_what, *buttons)])
        self._controls = Controls(panel)
        self._controls.on(lambda _: changed(), *looked_at, *of_what)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The models that are looked at; the second is taken from the first."""
        both = self.side.value == DIFFERENCE
        return ("A", "B") if both else (cast(Side, self.side.value),)

    @property
    def edges(self) -> Direction:
        """The queries and keys that are looked at."""
        return DIRECTIONS[self.direction.value]._replace(group=self.latents.value or None)

    @property
    def has_heads(self) -> bool:
        """Whether the measure tells heads apart."""
        return MEASURES[self.measure.value].has_heads

    def request(self, side: Side) -> Request:
        """The capture that is asked for."""
        session, measure = self._session, MEASURES[self.measure.value]
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

    def follow_session(self) -> None:
        """Offer what the session's models, example and intervention leave to choose."""
        session = self._session
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
        self.offer_groups()

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
        layer, head: lists, since a slider's handle would have no name for a screen reader.
    """

    def __init__(self, panel: Panel, changed: Callable[[], None], *buttons: widgets.Button) -> None:
        """Lists that call `changed` when another map is chosen; `buttons` stand after them."""
        self._changed = changed
        self.layer, self.head = _chooser("Layer", [0], "130px"), _chooser("Head", [0], "130px")
        super().__init__([self.layer, self.head, *buttons], layout=_ROW)
        self._controls = Controls(panel)
        self._controls.on(lambda _: changed(), self.layer, self.head)

    @property
    def cell(self) -> Cell:
        """The map that is open; of all heads together where they are not told apart."""
        return Cell(self.layer.value, None if self.head.disabled else self.head.value)

    def offer(self, layers: Sequence[int], heads: Sequence[int], *, has_heads: bool) -> None:
        """The layers and heads there are; calls nothing."""
        with self._controls.unheard():
            self.layer.options, self.head.options = layers, heads
            self.head.disabled = not has_heads

    def choose(self, layer: int, head: int | None = None) -> None:
        """Choose one map; without `head`, of the same head."""
        with self._controls.unheard():
            self.layer.value = layer
            if head is not None:
                self.head.value = head
        self._changed()


_ROW: Final = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 14px"}


def row(*children: widgets.Widget) -> widgets.HBox:
    """Widgets side by side, in further lines where they do not fit."""
    return widgets.HBox(children, layout=_ROW)


def _toggle(label: str, options: list[str], width: str) -> widgets.ToggleButtons:
    style = {"description_width": "68px", "button_width": width}
    return widgets.ToggleButtons(options=options, description=label, style=style, layout=_INLINE)


def _check(label: str, tooltip: str) -> widgets.Checkbox:
    return widgets.Checkbox(
        description=label, tooltip=tooltip, indent=False, layout={"width": "max-content"}
    )


def _chooser(label: str, options: list[Any], width: str) -> widgets.Dropdown:
    style = {"description_width": "initial"}
    return widgets.Dropdown(
        options=options, description=label, style=style, layout={"width": width}
    )
