"""What the attention panel shows as a still picture: overview, open head, causal effect.

Drawn on white with Matplotlib's objects alone, so that no global state of a notebook changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from workbench.heat import Axis, Heat

__all__ = ["heat_figure"]

#: More labels than this on a side are left out for numbers.
_MOST_LABELS: Final = 90
_GREY: Final = "#555555"


def heat_figure(title: str, heats: Sequence[Heat], note: str, colours: dict[str, str]) -> Figure:
    """Heat maps one below the other.

    Args:
        title: of the whole.
        heats: at least one.
        note: a caption.
        colours: by name of latent group.
    """
    heights = [_height(heat) for heat in heats]
    total = sum(heights) + 1.0
    figure = Figure(figsize=(10, total), layout=ConstrainedLayoutEngine(h_pad=0.12))
    axes = figure.subplots(len(heats), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, heat in zip(axes, heats, strict=True):
        _draw(figure, axis, heat, colours)
    figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
    figure.supxlabel(note, fontsize=8, color=_GREY, x=0.01, ha="left", wrap=True)
    return figure


def _height(heat: Heat) -> float:
    rows = len(heat.rows.labels)
    if heat.square:
        return 9.0
    return 1.3 + min(0.19 * rows, 8.0)


def _draw(figure: Figure, axes: Axes, heat: Heat, colours: dict[str, str]) -> None:
    image = axes.imshow(
        np.ma.masked_invalid(heat.values),
        cmap="PuOr_r" if heat.signed else "viridis",
        aspect="equal" if heat.square else "auto",
        interpolation="nearest",
        vmin=-heat.largest if heat.signed else 0.0,
        vmax=heat.largest,
    )
    bar = figure.colorbar(image, ax=axes, pad=0.01, fraction=0.04, aspect=12)
    bar.set_label(heat.value_name, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    axes.set_title(heat.title, fontsize=9.5, loc="left")
    _name(axes, "x", heat.columns, colours, 90)
    _name(axes, "y", heat.rows, colours, 0)
    if heat.chosen is not None:
        row, column = heat.chosen
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#d62728", lw=1.8)
        )


def _name(axes: Axes, which: str, side: Axis, colours: dict[str, str], rotation: int) -> None:
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
    short = all(len(label) <= 2 for label in side.labels)
    options: dict[str, Any] = {"rotation": 0 if short or which == "y" else rotation}
    texts = ticks.set_ticks(range(len(side.labels)), list(side.labels), **options)
    groups = side.groups or [""] * len(side.labels)
    for tick, group in zip(texts, groups, strict=True):
        if group:
            tick.label1.set_color(colours.get(group, "black"))
            tick.label1.set_fontweight("bold")
