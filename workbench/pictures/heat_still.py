"""Heat maps in print, one below the other: the picture of the attention panel and of an output.

Drawn on white with Matplotlib's objects alone, so that no global state of a notebook changes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from workbench.pictures.heat_map import FLOOR_GREY, Axis, HeatMap

__all__ = ["heat_figure"]

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
_WIDTH, _LEFT, _BAR, _TITLE, _HEAD = 8.4, 1.3, 0.9, 0.35, 0.35

_Box = tuple[float, float, float, float]


def heat_figure(title: str, maps: Sequence[HeatMap], note: str = "") -> Figure:
    """Draw heat maps one below the other.

    Args:
        title: of the whole; empty for none.
        maps: at least one.
        note: a caption.
    """
    # Laid out in inches by hand: Matplotlib's own layouts draw everything twice more to find out.
    heights = [_WIDTH if m.square else min(0.4 + 0.19 * len(m.rows.labels), 8) for m in maps]
    below = [_label_room(one) for one in maps]
    if any(one.uncertain is not None and one.uncertain.any() for one in maps):
        note = f"{note} {_HATCHED}".strip()
    lines = textwrap.wrap(note, 130)
    head = _HEAD if title else 0.05
    total = head + sum(heights) + sum(below) + _TITLE * len(maps) + 0.2 * len(lines)
    figure = Figure(figsize=(_LEFT + _WIDTH + _BAR, total))
    figure.text(0.01, 1 - 0.1 / total, title, va="top", fontsize=12, fontweight="bold")
    top = total - head
    for one, height, room in zip(maps, heights, below, strict=True):
        top -= _TITLE + height
        axes = figure.add_axes(_inches(_LEFT, top, _WIDTH, height, figure))
        bar = figure.add_axes(_inches(_LEFT + _WIDTH + 0.15, top, 0.14, height, figure))
        _draw(figure, axes, bar, one)
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


def _draw(figure: Figure, axes: Axes, bar: Axes, one: HeatMap) -> None:
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
