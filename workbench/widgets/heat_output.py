"""A heat map as the output of a cell: drawn by the live widget's script, without a kernel.

The numbers lie in the output itself, so it can be read by mouse and keyboard when the notebook is
opened again. Where scripts may not run, such as on GitHub, a picture of the same map stands there.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from latent_core.attention.record import AttentionRecord
from latent_core.errors import SettingError
from workbench.pictures.heat_map import Axis, HeatMap, largest_of, slot_axis
from workbench.pictures.heat_still import heat_figure
from workbench.pictures.slots import group_colours
from workbench.pictures.still import figure_bytes
from workbench.pictures.theme import show_spaces
from workbench.templates import render
from workbench.widgets.heat_grid import SCRIPTS
from workbench.widgets.scripts import EXPORT, joined

__all__ = ["HeatOutput", "attention_heatmap", "cell_heatmap"]

STATIC: Final = Path(__file__).parent
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
            script=joined(*SCRIPTS, "heat_output.js").replace(EXPORT, ""),
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
