"""The effects of a result, live and as a picture: the drawing that the report has.

`latent_core.hypotheses.report` lays it out. Here it is shown as SVG, whose colours follow the theme
of JupyterLab, and painted by Matplotlib for PNG and print.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from matplotlib.figure import Figure

from latent_core.hypotheses.report.drawing import PALETTES, STYLE, Drawing, svg
from latent_core.hypotheses.report.figures import effects_of
from latent_core.hypotheses.verdict import Verdict
from workbench.templates import render

__all__ = ["effects_html", "effects_picture", "painted"]

#: Pixels of a drawing to an inch of a picture.
_DPI: Final = 80
_MARKERS: Final = {"circle": "o", "cross": "x", "diamond": "D", "tick": "|"}
#: Line style and width by the style of a line; the colour by the same name, but for these.
_DASHES: Final[dict[str, Any]] = {"edge": (0, (3, 3)), "dashed": (0, (5, 4))}
_COLOURS: Final = {"edge": "main", "dashed": "soft"}
_THIN: Final = ("ink", "soft", "grid", "edge")


def effects_html(verdicts: Mapping[str, Verdict]) -> str:
    """Return the effects of verdicts by name, as SVG with its style sheet."""
    return render(
        "panels/hypotheses/figure.html",
        figure=svg(effects_of(verdicts)),
        style=STYLE,
        palettes=PALETTES,
    )


def effects_picture(verdicts: Mapping[str, Verdict], title: str) -> Figure:
    """Return the same drawing on white, below its title."""
    return painted(effects_of(verdicts), title)


def painted(drawing: Drawing, title: str) -> Figure:
    """Paint a drawing with Matplotlib."""
    colours = PALETTES["light"]
    figure = Figure(figsize=(drawing.width / _DPI, (drawing.height + 36) / _DPI))
    axes = figure.add_axes((0, 0, 1, drawing.height / (drawing.height + 36)))
    axes.set(xlim=(0, drawing.width), ylim=(drawing.height, 0))
    axes.axis("off")
    for box in drawing.boxes:
        bottom, top = [box.y + box.height] * 2, [box.y] * 2
        across = [box.x, box.x + box.width]
        axes.fill_between(across, bottom, top, color=colours["reach"], linewidth=0)
    for line in drawing.lines:
        axes.plot(
            [line.x1, line.x2],
            [line.y1, line.y2],
            color=colours[_COLOURS.get(line.style, line.style)],
            linestyle=_DASHES.get(line.style, "-"),
            linewidth=0.9 if line.style in _THIN else 1.8,
            solid_capstyle="butt",
        )
    for mark in drawing.marks:
        axes.plot(
            mark.x,
            mark.y,
            linestyle="none",
            marker=_MARKERS[mark.symbol],
            markersize=2 * mark.radius * 72 / _DPI,
            markeredgewidth=1.8,
            color=colours[mark.style],
            markerfacecolor=colours["paper"] if mark.hollow else colours[mark.style],
        )
    sides: Final = {"start": "left", "middle": "center", "end": "right"}
    for label in drawing.labels:
        axes.text(
            label.x,
            label.y,
            label.text,
            color=colours[label.style],
            fontsize=12 * 0.92 * 72 / _DPI,
            ha=sides[label.anchor],
        )
    figure.suptitle(title, fontsize=11, wrap=True, y=0.99, va="top")
    return figure
