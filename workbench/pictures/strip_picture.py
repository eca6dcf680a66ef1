"""Strips of slots as a still picture on white: what a paper or a closed notebook shows.

Glyphs that the fonts lack are drawn as boxes in a PNG; in an SVG they stay text. Knows slots; no
widgets, no sessions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch

from workbench.pictures.palette import ink_on
from workbench.pictures.theme import show_spaces

__all__ = ["Strip", "draw_strips"]

_WIDTH: Final = 10.0  # inches
_LINE: Final = 0.42  # of one line of slots
_TITLE: Final = 0.30
_GAP: Final = 0.12
_FONT: Final = ["DejaVu Sans Mono", "DejaVu Sans"]
_SIZE: Final = 9
_MARKS: Final = {"right": ("#2e7d32", "-", "✓"), "wrong": ("#c62828", (0, (3, 2)), "✗")}


@dataclass(frozen=True)
class Strip:
    """One strip.

    Attributes:
        title: one line above it.
        slots: as `token_strip.slot_dicts` gives them.
        prompt_length: slots of the prompt; -1 for no bar.
        flagged: the slot with a sign `≠`; -1 for none.
    """

    title: str
    slots: Sequence[Mapping[str, Any]]
    prompt_length: int = -1
    flagged: int = -1


def draw_strips(title: str, strips: Sequence[Strip], colours: Mapping[str, str]) -> Figure:
    """Strips below each other, under a title; `colours` by group."""
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
        for row in rows:
            for left, width, index in row:
                _draw(axes, strip, index, left, top, width, colours)
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


def _text(slot: Mapping[str, Any]) -> str:
    return str(slot["text"]) if slot["group"] is not None else show_spaces(slot["text"]) or "∅"


def _lines(strip: Strip, measure: _Measure) -> list[list[tuple[float, float, int]]]:
    """By line: left edge, width and index of each slot."""
    lines: list[list[tuple[float, float, int]]] = [[]]
    left = 0.1
    for index, slot in enumerate(strip.slots):
        latent = slot["group"] is not None
        width = measure(_text(slot)) + (0.18 if latent else 0.02)
        width = max(width, measure(str(slot["position"])) * 0.7 + 0.05)
        if index == strip.prompt_length and index:
            left += 0.1
        if left + width > _WIDTH - 0.1 and lines[-1]:
            lines.append([])
            left = 0.1
        lines[-1].append((left, width, index))
        left += width
        if not latent and "\n" in slot["text"]:
            lines.append([])
            left = 0.1
    return [line for line in lines if line]


def _draw(
    axes: Any,
    strip: Strip,
    index: int,
    left: float,
    top: float,
    width: float,
    colours: Mapping[str, str],
) -> None:
    slot = strip.slots[index]
    middle, baseline = left + width / 2, top + 0.13
    latent = slot["group"] is not None
    colour = colours.get(str(slot["group"]), "#999999")
    if latent:
        box = FancyBboxPatch(
            (left + 0.06, top + 0.04),
            width - 0.12,
            0.18,
            boxstyle="round,pad=0.02,rounding_size=0.09",
            facecolor=colour,
            linewidth=0,
        )
        axes.add_patch(box)
    words = {"family": _FONT, "fontsize": _SIZE, "ha": "center", "va": "center"}
    axes.text(middle, baseline, _text(slot), color=ink_on(colour) if latent else "#111111", **words)
    axes.text(middle, top + 0.32, str(slot["position"]), fontsize=6, ha="center", color="#666666")
    if index == strip.prompt_length and index:
        axes.plot([left - 0.06] * 2, [top, top + 0.34], color="#555555", linewidth=1.2)
    if mark := slot["mark"]:
        ink, style, sign = _MARKS[mark]
        axes.plot([left, left + width], [top + 0.24] * 2, color=ink, linewidth=1.4, linestyle=style)
        ends = index + 1 == len(strip.slots) or strip.slots[index + 1]["mark"] != mark
        if ends:
            axes.text(left + width, top + 0.02, sign, fontsize=7, color=ink, **_SIGN)
    if index == strip.flagged:
        axes.text(left, top + 0.02, "≠", fontsize=8, color="#8a4b00", **_SIGN)


_SIGN: Final[dict[str, Any]] = {
    "family": ["DejaVu Sans"],
    "ha": "center",
    "va": "center",
    "weight": "bold",
}
