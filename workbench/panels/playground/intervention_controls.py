"""The controls of the session's intervention: a row per latent group, a form, and the text form.

If one of them changes, the others and the session follow. Text that cannot be read is answered
with an error in place, and the session keeps its intervention.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import ipywidgets as widgets

from latent_core.errors import LatentError
from workbench.panels.base import Panel
from workbench.panels.controls import Controls
from workbench.panels.playground.intervention_text import (
    OPERATIONS,
    ArgumentField,
    Switch,
    joined,
    operation,
    read_switches,
    write_switch,
)
from workbench.widgets.combo_box import ComboBox
from workbench.widgets.text_line import TextLine

__all__ = ["GroupSwitch", "InterventionControls"]

_PLACES: Final = ("Start", "End", "Comma", "Newline", "Equals", "Sentence", "4", "8", "16")
_MOST: Final = 8
_TRAINED: Final = 0  # of a count: as trained; None would select nothing


class GroupSwitch(widgets.HBox):
    """One latent group: whether it is placed, how many latents, and where.

    Attributes:
        switch: its state; set by `show`.
    """

    def __init__(
        self,
        panel: Panel,
        name: str,
        counts: dict[str, int],
        change: Callable[[Switch], None],
        heading: str,
    ) -> None:
        """Make the row of a group.

        Args:
            panel: where its errors are shown.
            name: of the group.
            counts: its latents by side, `A` and `B`, where they have the group.
            change: called with the state that the user sets.
            heading: in front of the row.
        """
        where = "in A and B" if len(counts) == 2 else f"in {next(iter(counts))} only"
        self.on = widgets.Checkbox(
            value=True,
            description=name,
            tooltip=f"Untick to remove the latents of {name}; {where}",
            indent=False,
            layout=widgets.Layout(width="auto", min_width="76px"),
        )
        own = " | ".join(str(count) for count in dict.fromkeys(counts.values()))
        self._trained = f"as trained: {own}"
        self.count = widgets.Dropdown(
            options=self._counts(),
            description="Count",
            tooltip=f"Latents of {name} per occurrence",
            layout=_stretching("158px", "190px"),
            style={"description_width": "46px"},
        )
        self.place = ComboBox(
            options=_PLACES,
            placeholder=f"as trained: {name}",
            description="Place",
            tooltip=f"Where {name} goes, in the notation of layouts: Start, 8, Before[=], ...",
            layout=_stretching("120px", "240px"),
            style={"description_width": "46px"},
        )
        self.switch = Switch()
        self._change = change
        super().__init__(
            [_label(heading), self.on, self.count, self.place, widgets.Label(where)],
            layout=widgets.Layout(align_items="center", flex_flow="row wrap"),
        )
        self._controls = Controls(panel)
        self._controls.on(lambda _: self._changed(), self.on, self.count, self.place)

    def show(self, switch: Switch) -> None:
        """Show the state of the group."""
        self.switch = switch
        count = switch.count or _TRAINED
        with self._controls.unheard():
            self.on.value = switch.on
            if count not in dict(self.count.options).values():
                self.count.options = self._counts(count)
            self.count.value = count
            self.place.value = switch.place
        self.count.disabled = self.place.disabled = not switch.on

    def _changed(self) -> None:
        self._change(Switch(self.on.value, self.count.value or None, self.place.value.strip()))

    def _counts(self, more: int = 1) -> list[tuple[str, int]]:
        numbers = sorted({*range(1, _MOST + 1), more})
        return [(self._trained, _TRAINED), *((str(n), n) for n in numbers)]


class InterventionControls(widgets.VBox):
    """Reads and writes `session.intervention`.

    Attributes:
        text: the field with the text form.
        none: the button that removes the intervention.
        kind, fields, add: the form for another intervention.
        switches: rows by group, of the layouts of A and B.
        error: the text that could not be read, and what was expected.
    """

    def __init__(self, panel: Panel) -> None:
        self._panel, self.session = panel, panel.session
        self.switches: dict[str, GroupSwitch] = {}
        self._rows = widgets.VBox()
        self.text = widgets.Text(
            description="Intervention",
            placeholder="none",
            continuous_update=False,
            tooltip="For example drop(Comma, after=3) & scale(Start, 0.5)",
            layout=widgets.Layout(flex="1 1 auto", width="auto"),
            style={"description_width": "90px"},
        )
        self.none = panel.button("Remove intervention", self._remove)
        self.error = TextLine(quiet=True)
        self.kind = widgets.Dropdown(
            options=list(OPERATIONS),
            description="Operation",
            layout=widgets.Layout(width="270px"),
            style={"description_width": "90px"},
        )
        self.fields: dict[str, Any] = {}
        self._fields = widgets.HBox(layout=widgets.Layout(flex_flow="row wrap"))
        self.add = panel.button(
            "Add intervention",
            self._add,
            "Add this operation to the intervention",
        )
        super().__init__(
            [
                self._rows,
                widgets.HBox(
                    [self.kind, self._fields, self.add],
                    layout=widgets.Layout(flex_flow="row wrap"),
                ),
                widgets.HBox([self.text, self.none]),
                self.error,
            ]
        )
        panel.on(self.text, "value", self._typed)
        panel.on(self.kind, "value", lambda value: self._choose())
        panel.follow(self._new_groups, "adapter_a", "adapter_b", "models")
        panel.follow(self._show, "intervention")

    def say(self, message: str) -> None:
        """Show an error of the intervention; an empty message removes it."""
        self.error.say(message, "error" if message else "")

    def _groups(self) -> dict[str, dict[str, int]]:
        """By group name: its count in A, in B, or in both."""
        found: dict[str, dict[str, int]] = {}
        for side, model in (("A", self.session.model_a), ("B", self.session.model_b)):
            for group in model.layout.groups:
                found.setdefault(group.name, {})[side] = group.count
        return found

    def _recurring(self) -> set[str]:
        """Names of the groups that may occur more than once in a text."""
        models = (self.session.model_a, self.session.model_b)
        groups = (group for model in models for group in model.layout.groups)
        return {group.name for group in groups if group.repeats}

    def _new_groups(self) -> None:
        groups = self._groups()
        self.switches = {
            name: GroupSwitch(
                self._panel, name, counts, self._switcher(name), "" if number else "Latents"
            )
            for number, (name, counts) in enumerate(groups.items())
        }
        empty = widgets.Label("Neither A nor B has latents. Choose an adapter that has some.")
        none = widgets.HBox([_label("Latents"), empty])
        self._rows.children = tuple(self.switches.values()) or (none,)
        self._choose()
        self._show()

    def _switcher(self, name: str) -> Callable[[Switch], None]:
        def change(switch: Switch) -> None:
            self._try(
                lambda: write_switch(self.session.intervention, list(self.switches), name, switch)
            )

        return change

    def _typed(self, text: str) -> None:
        if text.strip() != self.session.intervention:
            self._try(lambda: text)

    def _remove(self) -> None:
        self._try(lambda: "none")
        self._show()

    def _add(self) -> None:
        values = {name: field.value for name, field in self.fields.items()}
        self._try(
            lambda: joined(self.session.intervention, operation(self.kind.value, values)),
        )

    def _try(self, make: Callable[[], str]) -> None:
        """Set the session's intervention, or say why not."""
        try:
            self.session.intervention = make()
        except LatentError as error:
            self.say(str(error))
        else:
            self._show()

    def _show(self) -> None:
        """Show the session's intervention."""
        self.say("")
        text = self.session.intervention
        self.text.value = "" if text == "none" else text
        for name, switch in read_switches(text, list(self.switches)).items():
            self.switches[name].show(switch)

    def _choose(self) -> None:
        """Offer the fields of the chosen operation."""
        chosen, groups = OPERATIONS[self.kind.value], list(self.switches)
        if chosen.verb == "drop":  # by occurrence, so groups that recur come first
            groups.sort(key=lambda name: name not in self._recurring())
        self.fields = {field.name: _widget(field, groups) for field in chosen.fields}
        self._fields.children = tuple(self.fields.values())


def _label(text: str) -> widgets.Label:
    """Text in the column of the descriptions."""
    label = widgets.Label(text, layout={"width": "90px", "margin": "0 4px 0 0"})
    label.layout.justify_content = "flex-end"
    return label


def _stretching(least: str, most: str) -> widgets.Layout:
    """As wide as its row allows, so that the row stays one where the page is narrow."""
    return widgets.Layout(flex=f"1 1 {least}", width="auto", min_width="0", max_width=most)


def _widget(field: ArgumentField, groups: list[str]) -> Any:
    """A widget for one argument."""
    common: dict[str, Any] = {
        "description": field.label or field.name,
        "style": {"description_width": "initial"},
    }
    first = groups[0] if groups else "latents"
    if field.kind == "slots":
        options = dict.fromkeys((*groups, *field.choices, "latents"))
        return ComboBox(
            value=str(field.value) or first,
            options=tuple(options),
            tooltip="Slots, such as Comma, Comma.0, Comma@2, Start+Comma or latents",
            layout={"width": "200px"},
            **common,
        )
    if field.kind in ("group", "choice"):
        options = dict.fromkeys(groups if field.kind == "group" else field.choices)
        if field.kind == "choice" and field.name == "by":
            options |= dict.fromkeys(groups)
        value = field.value if field.kind == "choice" else next(iter(options), None)
        return widgets.Dropdown(
            options=tuple(options), value=value, layout={"width": "190px"}, **common
        )
    if field.kind == "number":
        return widgets.FloatText(value=field.value, step=0.1, layout={"width": "140px"}, **common)
    if field.kind == "whole":
        return widgets.IntText(value=field.value, layout={"width": "130px"}, **common)
    return ComboBox(
        value=str(field.value), options=field.choices, layout={"width": "260px"}, **common
    )
