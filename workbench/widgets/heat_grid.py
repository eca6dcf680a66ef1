"""A heat map in the browser: a live widget, or the output of a cell that needs no kernel.

grid = HeatGrid() grid.show(HeatMap(weights, Axis("query", labels), Axis("key", labels), "layer 3",
"weight"))

Numbers travel as one binary buffer of float32: a map of 512 x 512 is 1 MB and drawn at once. Labels
are text wherever they appear, never HTML.

The numbers of an output lie in it, so it can be read by mouse and keyboard when the notebook is
opened again. Where scripts may not run, such as on GitHub, a picture of the same map stands there.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anywidget
import numpy as np
import pandas as pd
import traitlets
from matplotlib.figure import Figure

from latent_core.attention.record import AttentionRecord
from latent_core.errors import SettingError
from workbench.pictures.heat_map import Axis, HeatMap, largest_of, nothing, slot_axis
from workbench.pictures.slots import group_colours
from workbench.pictures.still import figure_bytes, heat_figure
from workbench.pictures.theme import show_spaces
from workbench.templates import EXPORT, joined, render

__all__ = ["SCRIPTS", "HeatGrid", "HeatOutput", "attention_heatmap", "cell_heatmap"]

STATIC: Final = Path(__file__).parent
SCRIPTS: Final = (
    "reveal.js",
    "heat_numbers.js",
    "heat_drawing.js",
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


# --- the output of a cell -------------------------------------------------------------------------

_DPI: Final = 100
#: Sizes in pixels, and marks, as `HeatGrid` names them.
_SETTINGS: Final[dict[str, object]] = {
    "cell_width": 30,
    "cell_height": 20,
    "label_width": 0,
    "picks": False,
    "busy": False,
    "note": "",
    "hovered": [-1, -1],
    "highlight": [-1, -1],
    "selected": [-1, -1],
}


@dataclass(frozen=True)
class HeatOutput:
    """A heat map that a notebook shows and keeps.

    Attributes:
        heat_map: its numbers and names.
    """

    heat_map: HeatMap

    def picture(self) -> Figure:
        """The map in print; `picture().savefig("map.svg")` writes it."""
        return heat_figure("", [self.heat_map])

    def __repr__(self) -> str:
        rows, columns = self.heat_map.rows, self.heat_map.columns
        size = f"{len(rows.labels)} {rows.title} x {len(columns.labels)} {columns.title}"
        return f"{self.heat_map.title} ({size})"

    def _repr_html_(self) -> str:
        traits = self.heat_map.traits()
        return render(
            "widgets/heat_output.html",
            title=self.heat_map.title,
            picture=base64.b64encode(figure_bytes(self.picture(), "png", _DPI)).decode(),
            style=(STATIC / "heat_grid.css").read_text(encoding="utf-8"),
            script=joined(*SCRIPTS).replace(EXPORT, ""),
            values=base64.b64encode(traits.pop("values")).decode(),
            map=traits,
            settings=_SETTINGS,
        )


def attention_heatmap(record: AttentionRecord, layer: int, head: int) -> HeatOutput:
    """Draw the weight of every query slot on every captured key slot, of one layer and head.

    Args:
        record: what `capture_attention` returned.
        layer, head: as the backbone counts them; both must have been captured.

    Example:
        >>> import latent_core as lc
        >>> from workbench import attention_heatmap
        >>> record = lc.capture_attention(lc.LatentModel("tiny", "Start_2"), "1+1=", "2")
        >>> picture = attention_heatmap(record, layer=0, head=1)
        >>> type(picture).__name__
        'HeatOutput'
    """
    one = record.select(layers=[layer], heads=[head])
    values = one.weights[0, 0].numpy().T.copy()  # (M, T)
    queries = np.arange(len(one.slots))
    values[np.array(one.keys)[:, None] > queries[None, :]] = np.nan  # no query looks ahead
    heat_map = HeatMap(
        values,
        slot_axis("key", one.keys, one.slots),
        slot_axis("query", queries.tolist(), one.slots),
        f"Attention onto {record.layout}: layer {layer}, head {head}",
        "weight",
        largest=largest_of(values),
        colours=group_colours(one.slots),
    )
    return HeatOutput(heat_map)


def cell_heatmap(
    frame: pd.DataFrame, x: str, y: str, value: str, title: str, signed: bool = False
) -> HeatOutput:
    """Draw one number per cell: attention mass by layer and head, an effect by layer and group, ...

    Args:
        frame: one row per cell, or several that are averaged. Effects of `trace` that are below
            their noise floor are grey.
        x, y, value: its columns.
        title: what the picture shows.
        signed: centre the colours on zero (blue below, red above).

    Raises:
        SettingError: if the frame lacks one of the columns.

    Example:
        >>> import latent_core as lc
        >>> from workbench import cell_heatmap
        >>> record = lc.capture_attention(lc.LatentModel("tiny", "Start_2"), "1+1=", "2")
        >>> picture = cell_heatmap(record.by_group(), "head", "layer", "mass", "Attention")
        >>> type(picture).__name__
        'HeatOutput'
    """
    missing = {x, y, value} - set(frame.columns)
    if missing:
        raise SettingError(
            f"the frame has no column {', '.join(sorted(missing))}; it has "
            f"{', '.join(map(str, frame.columns))}"
        )
    cells = frame.pivot_table(index=y, columns=x, values=value, aggfunc="mean", observed=True)
    values = cells.to_numpy(dtype=np.float32)
    rows, columns = (
        Axis(name, [show_spaces(str(place)) for place in places])
        for name, places in ((y, cells.index), (x, cells.columns))
    )
    floor = float(frame["noise"].mean()) if value == "effect" and "noise" in frame.columns else 0.0
    heat_map = HeatMap(values, rows, columns, title, value, signed, largest_of(values), floor=floor)
    return HeatOutput(heat_map)
