"""Strips of slots in print: what a paper or a closed notebook shows.

Glyphs that the fonts lack are boxes in a PNG; in an SVG they stay text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch

from workbench.pictures.palette import ink_on
from workbench.pictures.slots import SIGNS, SlotCell, SlotStrip

__all__ = ["slots_figure"]

_WIDTH: Final = 10.0  # inches
_LINE: Final = 0.42  # of one line of slots
_TITLE: Final = 0.30
_GAP: Final = 0.12
_FONT: Final = ["DejaVu Sans Mono", "DejaVu Sans"]
_SIZE: Final = 9
#: Every slot has room for a position id of so many digits: the spacing tells nothing of ids.
_ROOM: Final = "0000"
#: Ink and line style of a verdict.
_MARKS: Final = {"right": ("#2e7d32", "-"), "wrong": ("#c62828", (0, (3, 2)))}
_SIGN: Final[dict[str, Any]] = {
    "family": ["DejaVu Sans"],
    "ha": "center",
    "va": "center",
    "weight": "bold",
}


def slots_figure(title: str, strips: Sequence[SlotStrip]) -> Figure:
    """Draw strips below each other, under a title."""
    figure = Figure(figsize=(_WIDTH, 1.0), dpi=100)
    measure = _Measure(figure)
    lines = [_lines(strip, measure) for strip in strips]
    height = _TITLE + sum(_TITLE * (1 + s.title.count("\n") * 0.6) + _GAP for s in strips)
    height += sum(len(part) for part in lines) * _LINE
    figure.set_size_inches(_WIDTH, height)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    axes.text(0.1, _TITLE / 2, title, fontsize=11, weight="bold", va="center")
    top = _TITLE + _GAP
    for strip, rows in zip(strips, lines, strict=True):
        axes.text(0.1, top, strip.title, fontsize=9, va="top", color="#333333")
        top += _TITLE * (1 + strip.title.count("\n") * 0.6)
        cells = strip.cells
        for row in rows:
            for left, width, index in row:
                _draw(axes, strip, cells[index], index, left, top, width)
            top += _LINE
        top += _GAP
    return figure


class _Measure:
    """Widths of texts in inches."""

    def __init__(self, figure: Figure) -> None:
        self._renderer = FigureCanvasAgg(figure).get_renderer()
        self._font = FontProperties(family=_FONT, size=_SIZE)
        self._dpi = figure.dpi

    def __call__(self, text: str) -> float:
        # Measured by a letter's width: glyphs that no font has would warn here already.
        width = self._renderer.get_text_width_height_descent("m", self._font, False)[0]
        return float(len(text) * width / self._dpi)


def _lines(strip: SlotStrip, measure: _Measure) -> list[list[tuple[float, float, int]]]:
    """By line: left edge, width and index of each slot."""
    lines: list[list[tuple[float, float, int]]] = [[]]
    left = 0.1
    for index, cell in enumerate(strip.cells):
        width = measure(cell.label) + (0.02 if cell.group is None else 0.18)
        width = max(width, measure(_ROOM) * 0.7)
        if index == strip.bar and index:
            left += 0.1
        if left + width > _WIDTH - 0.1 and lines[-1]:
            lines.append([])
            left = 0.1
        lines[-1].append((left, width, index))
        left += width
        if cell.breaks:
            lines.append([])
            left = 0.1
    return [line for line in lines if line]


def _draw(
    axes: Axes, strip: SlotStrip, cell: SlotCell, index: int, left: float, top: float, width: float
) -> None:
    middle, baseline, ink = left + width / 2, top + 0.13, "#111111"
    if cell.group is not None:
        colour = strip.colour_of(cell.group)
        ink = ink_on(colour)
        box = FancyBboxPatch(
            (left + 0.06, top + 0.04),
            width - 0.12,
            0.18,
            boxstyle="round,pad=0.02,rounding_size=0.09",
            facecolor=colour,
            linewidth=0,
        )
        axes.add_patch(box)
    words: dict[str, Any] = {"family": _FONT, "fontsize": _SIZE, "ha": "center", "va": "center"}
    axes.text(middle, baseline, cell.label, color=ink, **words)
    axes.text(middle, top + 0.32, str(cell.position), fontsize=6, ha="center", color="#666666")
    if index == strip.bar and index:
        axes.plot([left - 0.06] * 2, [top, top + 0.34], color="#555555", linewidth=1.2)
    if cell.mark:
        ink, style = _MARKS[cell.mark]
        axes.plot([left, left + width], [top + 0.24] * 2, color=ink, linewidth=1.4, linestyle=style)
        if strip.ends_mark(index):
            axes.text(left + width, top + 0.02, SIGNS[cell.mark], fontsize=7, color=ink, **_SIGN)
    if index == strip.flagged:
        axes.text(left, top + 0.02, "≠", fontsize=8, color="#8a4b00", **_SIGN)
