"""Pictures in print: strips of slots and heat maps, and figures as the same bytes each time.

Drawn on white with Matplotlib's objects alone, so that no global state of a notebook changes.
Glyphs that the fonts lack are boxes in a PNG; in an SVG they stay text.
"""

from __future__ import annotations

import io
import textwrap
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.patches import FancyBboxPatch, Rectangle

from workbench.pictures.heat_map import FLOOR_GREY, Axis, HeatMap
from workbench.pictures.slots import SIGNS, SlotCell, SlotStrip
from workbench.pictures.theme import ink_on

__all__ = ["figure_bytes", "heat_figure", "slots_figure"]

_RULES: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "latent",
    "text.parse_math": False,
    "font.family": "sans-serif",
}


#: Matplotlib's settings are the process's own: two threads would undo one another's.
_ONE_AT_A_TIME: Final = threading.Lock()


def figure_bytes(figure: Figure, kind: Literal["png", "svg"], dpi: int = 160) -> bytes:
    """Write a figure as PNG or SVG; the letters of an SVG stay text."""
    buffer = io.BytesIO()
    rules = cast(Any, _RULES)
    with _ONE_AT_A_TIME, matplotlib.rc_context(rules), warnings.catch_warnings():
        # Tokens may have any letters; those that no font has are boxes in a PNG, text in an SVG.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, dpi=dpi, bbox_inches="tight", metadata=metadata)
    return buffer.getvalue()


# --- heat maps, one below the other ---------------------------------------------------------------

#: Above this, a side has numbers instead of labels.
_MOST_LABELS: Final = 90
#: Above this many on a side, cells are too small for their numbers.
_MOST_NUMBERS: Final = 36
#: What hatches say.
_HATCHED: Final = "Hatched: the 95 % interval over examples holds zero."
#: Longer labels of columns stand upright.
_SHORT: Final = 2
_GREY: Final = "#555555"
#: Inches: of a map, of the room left and right of it, of its title, and of the whole's title.
_MAP_WIDTH, _LEFT, _BAR, _MAP_TITLE, _HEAD = 8.4, 1.3, 0.9, 0.35, 0.35

_Box = tuple[float, float, float, float]


def heat_figure(title: str, maps: Sequence[HeatMap], note: str = "") -> Figure:
    """Draw heat maps one below the other.

    Args:
        title: of the whole; empty for none.
        maps: at least one.
        note: a caption.
    """
    # Laid out in inches by hand: Matplotlib's own layouts draw everything twice more to find out.
    heights = [_MAP_WIDTH if m.square else min(0.4 + 0.19 * len(m.rows.labels), 8) for m in maps]
    below = [_label_room(one) for one in maps]
    if any(one.uncertain is not None and one.uncertain.any() for one in maps):
        note = f"{note} {_HATCHED}".strip()
    lines = textwrap.wrap(note, 130)
    head = _HEAD if title else 0.05
    total = head + sum(heights) + sum(below) + _MAP_TITLE * len(maps) + 0.2 * len(lines)
    figure = Figure(figsize=(_LEFT + _MAP_WIDTH + _BAR, total))
    figure.text(0.01, 1 - 0.1 / total, title, va="top", fontsize=12, fontweight="bold")
    top = total - head
    for one, height, room in zip(maps, heights, below, strict=True):
        top -= _MAP_TITLE + height
        axes = figure.add_axes(_inches(_LEFT, top, _MAP_WIDTH, height, figure))
        bar = figure.add_axes(_inches(_LEFT + _MAP_WIDTH + 0.15, top, 0.14, height, figure))
        _draw_map(figure, axes, bar, one)
        top -= room
    figure.text(0.01, 0.05 / total, "\n".join(lines), va="bottom", fontsize=8, color=_GREY)
    return figure


def _inches(left: float, bottom: float, width: float, height: float, figure: Figure) -> _Box:
    across, up = figure.get_size_inches()
    return left / across, bottom / up, width / across, height / up


def _label_room(one: HeatMap) -> float:
    """Inches below a map, for its labels and the side's name."""
    longest = max((len(label) for label in one.columns.labels), default=0)
    upright = longest > _SHORT and len(one.columns.labels) <= _MOST_LABELS
    return 0.55 + (min(0.075 * longest, 1.5) if upright else 0.1)


def _draw_map(figure: Figure, axes: Axes, bar: Axes, one: HeatMap) -> None:
    image = axes.imshow(
        np.ma.masked_invalid(one.values),
        cmap=LinearSegmentedColormap.from_list("scale", one.scale.light),
        aspect="auto",
        interpolation="nearest",
        norm=(LogNorm if one.log else Normalize)(one.low, one.largest, clip=True),
    )
    below = np.abs(one.values) < one.floor
    if below.any():
        axes.imshow(
            np.ma.masked_where(~below, one.values),
            cmap=ListedColormap([FLOOR_GREY]),
            aspect="auto",
            interpolation="nearest",
        )
    if one.uncertain is not None:
        for row, column in zip(*np.nonzero(one.uncertain), strict=True):
            cell = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, lw=0, edgecolor=_GREY)
            cell.set_hatch("////")
            axes.add_patch(cell)
    _write_numbers(axes, image, one)
    figure.colorbar(image, cax=bar).set_label(one.value_name, fontsize=8)
    bar.tick_params(labelsize=7)
    axes.set_title(one.title, fontsize=9.5, loc="left")
    _name(axes, "x", one.columns, one.colours)
    _name(axes, "y", one.rows, one.colours)
    if one.chosen is not None:
        row, column = one.chosen
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#d62728", lw=1.8)
        )


def _write_numbers(axes: Axes, image: AxesImage, one: HeatMap) -> None:
    """Write in each cell what its colour stands for, as the canvas does, where it is readable."""
    if max(one.values.shape) > _MOST_NUMBERS or one.square or one.largest < 0.05:
        return
    colours = image.to_rgba(np.ma.masked_invalid(one.values))
    for (row, column), value in np.ndenumerate(one.values):
        if np.isnan(value) or abs(value) < one.floor:
            continue
        colour = colours[row, column]
        dark = np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.55
        hatched = one.uncertain is not None and one.uncertain[row, column]
        axes.text(
            column,
            row,
            _short(float(value)),
            ha="center",
            va="center",
            fontsize=6.5,
            color="white" if dark else "#111111",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.6} if hatched else None,
        )


def _short(value: float) -> str:
    """A number as short as it gets, such as `.25`, for inside a cell."""
    size = abs(value)
    decimals = 2 if size < 0.995 else 1 if size < 9.95 else 0
    text = "0" if size < 0.005 else f"{value:.{decimals}f}"
    sign, digits = ("\u2212", text[1:]) if text.startswith("-") else ("", text)
    return sign + (digits[1:] if digits.startswith("0.") else digits)


def _name(axes: Axes, which: str, side: Axis, colours: Mapping[str, str]) -> None:
    set_label = axes.set_xlabel if which == "x" else axes.set_ylabel
    set_label(side.title, fontsize=8.5, color=_GREY)
    axes.tick_params(axis="both", length=2, labelsize=7)
    ticks = axes.xaxis if which == "x" else axes.yaxis
    if len(side.labels) > _MOST_LABELS:
        numbers = side.places
        step = max(1, round(len(numbers) / 12 / 10) * 10)
        places = [place for place, number in enumerate(numbers) if number % step == 0]
        ticks.set_ticks(places, [str(numbers[place]) for place in places])
        return
    texts = ticks.set_ticks(range(len(side.labels)), list(side.labels))
    groups = side.groups or [""] * len(side.labels)
    for tick, label, group in zip(texts, side.labels, groups, strict=True):
        tick.label1.set_rotation(90 if which == "x" and len(label) > _SHORT else 0)
        if group:
            tick.label1.set_color(colours.get(group, "black"))
            tick.label1.set_fontweight("bold")


# --- strips of slots ------------------------------------------------------------------------------

_STRIP_WIDTH: Final = 10.0  # inches
_LINE: Final = 0.42  # of one line of slots
_STRIP_TITLE: Final = 0.30
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
    figure = Figure(figsize=(_STRIP_WIDTH, 1.0), dpi=100)
    measure = _Measure(figure)
    lines = [_lines(strip, measure) for strip in strips]
    height = _STRIP_TITLE + sum(
        _STRIP_TITLE * (1 + s.title.count("\n") * 0.6) + _GAP for s in strips
    )
    height += sum(len(part) for part in lines) * _LINE
    figure.set_size_inches(_STRIP_WIDTH, height)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, _STRIP_WIDTH)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    axes.text(0.1, _STRIP_TITLE / 2, title, fontsize=11, weight="bold", va="center")
    top = _STRIP_TITLE + _GAP
    for strip, rows in zip(strips, lines, strict=True):
        axes.text(0.1, top, strip.title, fontsize=9, va="top", color="#333333")
        top += _STRIP_TITLE * (1 + strip.title.count("\n") * 0.6)
        cells = strip.cells
        for row in rows:
            for left, width, index in row:
                _draw_strip(axes, strip, cells[index], index, left, top, width)
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
        if left + width > _STRIP_WIDTH - 0.1 and lines[-1]:
            lines.append([])
            left = 0.1
        lines[-1].append((left, width, index))
        left += width
        if cell.breaks:
            lines.append([])
            left = 0.1
    return [line for line in lines if line]


def _draw_strip(
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
