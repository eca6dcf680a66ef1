"""What the attention panel shows as a still picture: overview, open head, causal effect.

Drawn on white with Matplotlib's objects alone, so that no global state of a notebook changes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from workbench.pictures.heat import Axis, Heat
from workbench.pictures.palette import SIGNED

__all__ = ["heat_figure"]

#: More labels than this on a side are left out for numbers.
_MOST_LABELS: Final = 90
#: Longer labels of columns stand upright.
_SHORT: Final = 2
_GREY: Final = "#555555"
_SIGNED: Final = LinearSegmentedColormap.from_list("signed", SIGNED)
#: Inches: of a map, of what is left and right of it, of its title, and of the whole's.
_WIDTH, _LEFT, _BAR, _TITLE, _HEAD = 8.4, 1.3, 0.9, 0.35, 0.35

_Box = tuple[float, float, float, float]


def heat_figure(title: str, heats: Sequence[Heat], note: str, colours: dict[str, str]) -> Figure:
    """Heat maps one below the other.

    Args:
        title: of the whole.
        heats: at least one.
        note: a caption.
        colours: by name of latent group.
    """
    # Laid out in inches by hand: Matplotlib's own layouts draw everything twice more to find out.
    heights = [
        _WIDTH if heat.square else min(0.4 + 0.19 * len(heat.rows.labels), 8) for heat in heats
    ]
    below = [_label_room(heat) for heat in heats]
    lines = textwrap.wrap(note, 130)
    total = _HEAD + sum(heights) + sum(below) + _TITLE * len(heats) + 0.2 * len(lines)
    figure = Figure(figsize=(_LEFT + _WIDTH + _BAR, total))
    figure.text(0.01, 1 - 0.1 / total, title, va="top", fontsize=12, fontweight="bold")
    top = total - _HEAD
    for heat, height, room in zip(heats, heights, below, strict=True):
        top -= _TITLE + height
        axes = figure.add_axes(_inches(_LEFT, top, _WIDTH, height, figure))
        bar = figure.add_axes(_inches(_LEFT + _WIDTH + 0.15, top, 0.14, height, figure))
        _draw(figure, axes, bar, heat, colours)
        top -= room
    figure.text(0.01, 0.05 / total, "\n".join(lines), va="bottom", fontsize=8, color=_GREY)
    return figure


def _inches(left: float, bottom: float, width: float, height: float, figure: Figure) -> _Box:
    across, up = figure.get_size_inches()
    return left / across, bottom / up, width / across, height / up


def _label_room(heat: Heat) -> float:
    """Inches below a map, for its labels and the side's name."""
    upright = max((len(label) for label in heat.columns.labels), default=0) > _SHORT
    shown = len(heat.columns.labels) <= _MOST_LABELS
    longest = max((len(label) for label in heat.columns.labels), default=0)
    return 0.55 + (min(0.075 * longest, 1.5) if upright and shown else 0.1)


def _draw(figure: Figure, axes: Axes, bar: Axes, heat: Heat, colours: dict[str, str]) -> None:
    image = axes.imshow(
        np.ma.masked_invalid(heat.values),
        cmap=_SIGNED if heat.signed else "viridis",
        aspect="auto",
        interpolation="nearest",
        vmin=-heat.largest if heat.signed else 0.0,
        vmax=heat.largest,
    )
    figure.colorbar(image, cax=bar).set_label(heat.value_name, fontsize=8)
    bar.tick_params(labelsize=7)
    axes.set_title(heat.title, fontsize=9.5, loc="left")
    _name(axes, "x", heat.columns, colours)
    _name(axes, "y", heat.rows, colours)
    if heat.chosen is not None:
        row, column = heat.chosen
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#d62728", lw=1.8)
        )


def _name(axes: Axes, which: str, side: Axis, colours: dict[str, str]) -> None:
    set_label = axes.set_xlabel if which == "x" else axes.set_ylabel
    set_label(side.title, fontsize=8.5, color=_GREY)
    axes.tick_params(axis="both", length=2, labelsize=7)
    ticks = axes.xaxis if which == "x" else axes.yaxis
    if len(side.labels) > _MOST_LABELS:
        numbers = list(side.numbers or range(len(side.labels)))
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
