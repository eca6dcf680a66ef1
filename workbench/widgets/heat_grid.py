"""A heat map in the browser: drawn on a canvas, read by mouse, keyboard and screen reader.

    grid = HeatGrid()
    grid.show(HeatMap(weights, Axis("query", labels), Axis("key", labels), "layer 3", "weight"))

Numbers travel as one binary buffer of float32: a map of 512 x 512 is 1 MB and drawn at once.
Labels are text wherever they appear, never HTML.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

from workbench.pictures.heat_map import HeatMap, nothing
from workbench.widgets.scripts import joined

__all__ = ["SCRIPTS", "HeatGrid"]

STATIC: Final = Path(__file__).parent
SCRIPTS: Final = (
    "reveal.js",
    "heat_numbers.js",
    "heat_sides.js",
    "heat_hatches.js",
    "heat_legend.js",
    "heat_zoom.js",
    "heat_grid.js",
)
_NO_CELL: Final = (-1, -1)
#: Pixels in a row of widgets: of a cell, of what stands left of the cells, and of a map at least.
_CELL, _LEFT, _LEAST = 24, 70, 450


class HeatGrid(anywidget.AnyWidget):
    """A grid of R x C numbers as colours; NaN is a cell that does not exist.

    The keys + and - zoom, and so do buttons and a rectangle that is drawn with the pointer.

    Attributes:
        shown: the heat map that is drawn.
        map: the same as the browser reads it; see `HeatMap.traits`.
        note: one line below; the note alone if there are no cells.
        selected: [row, column] chosen by click or Enter, or set from outside; [-1, -1] for none.
        hovered: [row, column] under the mouse or the keyboard's cursor; [-1, -1] for none.
        highlight: [row, column] to mark from outside, -1 for neither.
        cell_width, cell_height: of the largest cells, in pixels.
        label_width: of the row labels at least, so that grids below each other line up.
        picks: whether a click or Enter selects.
        busy: whether something newer is being computed; what is drawn is dimmed until it is there.
    """

    _esm = joined(*SCRIPTS)
    _css = STATIC / "heat_grid.css"

    map = traitlets.Dict().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    selected = traitlets.List(traitlets.Int(), list(_NO_CELL), minlen=2, maxlen=2).tag(sync=True)
    hovered = traitlets.List(traitlets.Int(), list(_NO_CELL), minlen=2, maxlen=2).tag(sync=True)
    highlight = traitlets.List(traitlets.Int(), list(_NO_CELL), minlen=2, maxlen=2).tag(sync=True)
    cell_width = traitlets.Int(28).tag(sync=True)
    cell_height = traitlets.Int(18).tag(sync=True)
    label_width = traitlets.Int(0).tag(sync=True)
    picks = traitlets.Bool(False).tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self.shown = nothing()
        super().__init__(map=self.shown.traits(), **traits)

    def show(self, heat_map: HeatMap, note: str = "") -> None:
        """Draw another heat map, with a line below it."""
        self.shown = heat_map
        # All at once, so that the browser never draws new marks on old numbers.
        with self.hold_sync():
            self.map = heat_map.traits()
            self.note = note
            self.hovered = self.highlight = list(_NO_CELL)
            self.selected = list(heat_map.chosen or _NO_CELL)
            self.busy = False

    def show_nothing(self, note: str) -> None:
        """Draw no cells, and say why."""
        self.show(nothing(), note)

    def share_row(self, columns: int) -> None:
        """Stand beside other widgets of a row where so many columns, somewhat narrower, fit."""
        self.layout.flex = f"1 1 {max(_LEFT + _CELL * columns, _LEAST)}px"

    def on_pick(self, callback: Callable[[int, int], Any]) -> None:
        """Call `callback(row, column)` when a cell is chosen in the browser or in code."""

        def call(change: Any) -> None:
            row, column = change["new"]
            if row >= 0 and column >= 0:
                callback(row, column)

        self.observe(call, "selected")
