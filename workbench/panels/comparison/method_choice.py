"""Which methods of a comparison are shown: a checkbox for each, and buttons for all and none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as widgets

from workbench.panels.base import Panel
from workbench.panels.controls import ROW, Controls, checkbox, row

__all__ = ["MethodChoice"]


class MethodChoice(widgets.HBox):
    """Checkboxes that alone decide which curves and rows there are.

    Attributes:
        boxes: one for each method.
    """

    def __init__(self, panel: Panel, changed: Callable[[], None]) -> None:
        """`changed` is called when other methods are to be shown."""
        self._changed = changed
        self.boxes = row()
        every = panel.button("Show all", lambda: self._tick(True), "Show every method")
        none = panel.button("Show none", lambda: self._tick(False), "Hide every method")
        super().__init__([every, none, self.boxes], layout=widgets.Layout(**ROW))
        self._controls = Controls(panel)

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods."""
        return tuple(box.description for box in self.boxes.children)

    @property
    def ticked(self) -> list[str]:
        """The methods that are shown."""
        return [box.description for box in self.boxes.children if box.value]

    def offer(self, methods: Sequence[str]) -> None:
        """Offer these methods; one that was hidden stays so."""
        if self.methods == tuple(methods):
            return
        hidden = set(self.methods) - set(self.ticked)
        boxes = [checkbox(name, f"Show {name}", name not in hidden) for name in methods]
        self._controls.on(lambda _: self._changed(), *boxes)
        self.boxes.children = boxes

    def _tick(self, shown: bool) -> None:
        with self._controls.unheard():
            for box in self.boxes.children:
                box.value = shown
        self._changed()
