"""A heat map for the browser: drawn on a canvas, read by mouse, keyboard and screen reader.

    grid = HeatGrid()
    grid.show(Heat(weights, Axis("query", labels), Axis("key", labels), "layer 3", "weight"))

Numbers travel as one binary buffer of float32, so a map of 512 x 512 is 1 MB and drawn at once.
Labels are text wherever they appear, never HTML. Knows no attention, no models and no sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import anywidget
import numpy as np
import traitlets

from workbench.pictures.heat import Axis, Heat

__all__ = ["HeatGrid"]

STATIC: Final = Path(__file__).parent
NOTHING: Final = (-1, -1)


class HeatGrid(anywidget.AnyWidget):
    """A grid of R x C numbers as colours; NaN is a cell that does not exist.

    Attributes:
        values: (R, C) float32, row-major, as bytes.
        row_labels, column_labels, ...: the two sides; see `workbench.pictures.heat.Axis`.
        title, note: one line above and one below; the note alone if there are no cells.
        value_name: what a value is called.
        signed: whether colours diverge from zero; else they go up from `low`.
        low, high: values of the first and last colour.
        colours: colour of each group, by name.
        selected: [row, column] chosen by click or Enter, or set from outside; [-1, -1] for none.
        hovered: [row, column] under the mouse or the keyboard's cursor; [-1, -1] for none.
        highlight: [row, column] to mark from outside, -1 for neither.
        square: whether cells are as wide as high.
        cell_width, cell_height: of the largest cells, in pixels.
        label_width: of the row labels at least, so that grids below each other line up.
        picks: whether a click or Enter selects.
        busy: whether something newer is being computed; what is drawn is dimmed until it is there.
    """

    _esm = STATIC / "heat_grid.js"
    _css = STATIC / "heat_grid.css"

    values = traitlets.Bytes().tag(sync=True)
    row_title = traitlets.Unicode().tag(sync=True)
    row_labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    row_groups = traitlets.List(traitlets.Unicode()).tag(sync=True)
    row_numbers = traitlets.List(traitlets.Int()).tag(sync=True)
    column_title = traitlets.Unicode().tag(sync=True)
    column_labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    column_groups = traitlets.List(traitlets.Unicode()).tag(sync=True)
    column_numbers = traitlets.List(traitlets.Int()).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    value_name = traitlets.Unicode("value").tag(sync=True)
    signed = traitlets.Bool(False).tag(sync=True)
    low = traitlets.Float(0.0).tag(sync=True)
    high = traitlets.Float(1.0).tag(sync=True)
    colours = traitlets.Dict().tag(sync=True)
    selected = traitlets.List(traitlets.Int(), list(NOTHING), minlen=2, maxlen=2).tag(sync=True)
    hovered = traitlets.List(traitlets.Int(), list(NOTHING), minlen=2, maxlen=2).tag(sync=True)
    highlight = traitlets.List(traitlets.Int(), list(NOTHING), minlen=2, maxlen=2).tag(sync=True)
    square = traitlets.Bool(False).tag(sync=True)
    cell_width = traitlets.Int(28).tag(sync=True)
    cell_height = traitlets.Int(18).tag(sync=True)
    label_width = traitlets.Int(0).tag(sync=True)
    picks = traitlets.Bool(False).tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)

    def show(self, heat: Heat, note: str = "", colours: Mapping[str, str] | None = None) -> None:
        """Draw something else.

        Args:
            heat: what to draw.
            note: a line below.
            colours: by name of group.
        """
        values = np.ascontiguousarray(heat.values, dtype="<f4")
        # All at once, so that the browser never draws new numbers between old labels.
        with self.hold_sync():
            for name, value in (heat.rows.traits("row") | heat.columns.traits("column")).items():
                setattr(self, name, value)
            self.title, self.note, self.value_name = heat.title, note, heat.value_name
            self.low, self.high = -heat.largest if heat.signed else 0.0, heat.largest
            self.signed, self.square = heat.signed, heat.square
            self.colours = dict(colours or {})
            self.values = values.tobytes()
            self.hovered = self.highlight = list(NOTHING)
            self.selected = list(heat.chosen or NOTHING)
            self.busy = False

    def show_nothing(self, note: str, title: str = "") -> None:
        """Draw no cells, and say why."""
        side = Axis("", ())
        values = np.empty((0, 0), np.float32)
        self.show(Heat(values, side, side, title, self.value_name, False, 1.0), note)

    @property
    def array(self) -> np.ndarray:
        """What is drawn, (R, C)."""
        shape = (len(self.row_labels), len(self.column_labels))
        return np.frombuffer(self.values, "<f4").reshape(shape)

    def on_pick(self, callback: Callable[[int, int], Any]) -> None:
        """Call `callback(row, column)` when a cell is chosen in the browser or in code."""

        def call(change: Any) -> None:
            row, column = change["new"]
            if row >= 0 and column >= 0:
                callback(row, column)

        self.observe(call, "selected")
