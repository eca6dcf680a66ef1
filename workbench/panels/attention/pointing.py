"""The link of the open map and the strip of slots: pointing, and colours by weight."""

from __future__ import annotations

from workbench.panels.attention.view import shades_of
from workbench.panels.base import Panel
from workbench.widgets.heat_grid import HeatGrid
from workbench.widgets.token_strip import TokenStrip

__all__ = ["link_strip"]


def link_strip(panel: Panel, strip: TokenStrip, heat: HeatGrid) -> None:
    """Link the two: a cell marks its query and its key, and a slot marks its row and column.

    The other slots are coloured by the weight of their edge to the slot that is pointed at, or
    else chosen: those before it as keys of it, those after it as queries onto it.
    """

    def shade() -> None:
        slot = strip.hovered if strip.hovered >= 0 else strip.selected
        strip.shades = [] if slot < 0 else shades_of(heat.shown, slot, len(strip.slots))

    def point_at_strip(hovered: list[int]) -> None:
        row, column = hovered
        rows, columns = heat.shown.rows, heat.shown.columns
        if row < 0:
            strip.hovered = strip.paired = -1
            return
        across, down = columns.places[column], rows.places[row]
        first = columns.title == "query"
        strip.hovered, strip.paired = (across, down) if first else (down, across)

    def point_at_map(slot: int) -> None:
        shade()
        if heat.hovered != [-1, -1]:
            return  # the map itself is pointed at
        sides = [side.places for side in (heat.shown.rows, heat.shown.columns)]
        heat.highlight = [side.index(slot) if slot in side else -1 for side in sides]

    panel.on(heat, "hovered", point_at_strip)
    panel.on(strip, "hovered", point_at_map)
    panel.on(strip, "selected", lambda _: shade())
