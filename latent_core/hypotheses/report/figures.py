"""The few figures of a report as plain SVG text: no plotting library, nothing fetched, no script.

Colours are CSS classes of the page (`report`), so that a figure follows its theme and prints in
black; shapes, not colours, tell things apart. Every label is escaped.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

__all__ = ["Bar", "curves", "intervals", "slopes", "ticks"]

WIDTH = 660
LETTER = 6.6  # average width of a letter at the figures' 12 px


class Bar(NamedTuple):
    """One line of an interval plot: a mean and its interval; `minor` ones are drawn lighter."""

    label: str
    mean: float
    low: float
    high: float
    minor: bool = False


def intervals(bars: Sequence[Bar], least: float, caption: str) -> str:
    """Intervals under one another, with zero and the region that the claim has to reach.

    Args:
        bars: from top to bottom.
        least: the smallest effect with the direction's sign.
        caption: what is measured, for the axis and for who cannot see the figure.
    """
    left = min(250.0, 16 + LETTER * max(len(bar.label) for bar in bars))
    numbers = [least * 1.3, 0.0] + [v for bar in bars for v in (bar.low, bar.high)]
    axis = ticks(min(numbers), max(numbers))
    low, high = min(axis[0], *numbers), max(axis[-1], *numbers)
    height = 34 * len(bars)

    def x(value: float) -> float:
        return left + (WIDTH - 24 - left) * (value - low) / (high - low)

    edge = x(high) if least > 0 else x(low)
    first, last = sorted((x(least), edge))
    parts = [
        f'<rect class="reached" x="{first:.1f}" y="18" width="{last - first:.1f}" '
        f'height="{height}"/>',
        _line(x(least), 18, x(least), 18 + height, "edge"),
        _line(x(0), 12, x(0), 18 + height, "zero"),
        _text(x(least), 10, f"smallest effect {least:+g}", "small", "middle"),
    ]
    for number, bar in enumerate(bars):
        y = 18 + 34 * number + 17
        kind = "minor" if bar.minor else "main"
        parts += [
            _text(left - 10, y + 4, bar.label, kind, "end"),
            _line(x(bar.low), y, x(bar.high), y, kind),
            _line(x(bar.low), y - 5, x(bar.low), y + 5, kind),
            _line(x(bar.high), y - 5, x(bar.high), y + 5, kind),
            _dot(x(bar.mean), y, kind, 3.5 if bar.minor else 5),
            _text(x(bar.mean), y - 9, f"{bar.mean:+.3f}", "small", "middle"),
        ]
    parts += _axis(axis, x, 18 + height, caption, (left + WIDTH - 24) / 2)
    return _svg(parts, 18 + height + 42, caption)


def slopes(names: tuple[str, str], pairs: Sequence[tuple[str, float, float]], caption: str) -> str:
    """Each seed's mean score under control and treatment, joined by a line.

    Args:
        names: of the left and the right side.
        pairs: label, left value, right value.
        caption: what is measured.
    """
    values = [v for _, a, b in pairs for v in (a, b)]
    axis = ticks(min(0.0, *values), max(values))
    low, high, height = axis[0], max(axis[-1], *values), 190
    left, right = 190, WIDTH - 190

    def y(value: float) -> float:
        return 30 + height - height * (value - low) / (high - low)

    parts = []
    for value in axis:
        parts += [
            _line(left, y(value), right, y(value), "grid"),
            _text(left - 34, y(value) + 4, f"{value:g}", "small", "end"),
        ]
    for side, name, at in ((left, names[0], "middle"), (right, names[1], "middle")):
        parts.append(_text(side, 16, name, "main", at, limit=52))
    ends = _apart([y(b) for _, _, b in pairs])
    for (label, a, b), end in zip(pairs, ends, strict=True):
        parts += [
            _line(left, y(a), right, y(b), "main"),
            _dot(left, y(a), "hollow", 4),
            _dot(right, y(b), "main", 4),
            _text(right + 12, end + 4, f"{label}: {b - a:+.3f}", "small", "start"),
        ]
    parts.append(_text(WIDTH / 2, height + 52, caption, "small", "middle"))
    return _svg(parts, height + 60, caption)


def curves(
    splits: Sequence[str], lines: Sequence[tuple[str, Sequence[float]]], caption: str
) -> str:
    """Mean scores by split, one line per condition.

    Args:
        splits: along the axis.
        lines: label and one value per split; the first is drawn full, the second dashed.
        caption: what is measured.
    """
    values = [v for _, row in lines for v in row]
    axis = ticks(min(0.0, *values), max(values))
    low, high, height, left, right = axis[0], max(axis[-1], *values), 190, 60, WIDTH - 200

    def y(value: float) -> float:
        return 20 + height - height * (value - low) / (high - low)

    def x(number: int) -> float:
        return left + 20 + (right - left - 40) * number / max(1, len(splits) - 1)

    parts = []
    for value in axis:
        parts += [
            _line(left, y(value), right, y(value), "grid"),
            _text(left - 8, y(value) + 4, f"{value:g}", "small", "end"),
        ]
    parts += [_text(x(i), height + 40, name, "small", "middle") for i, name in enumerate(splits)]
    ends = _apart([y(row[-1]) for _, row in lines])
    for number, ((label, row), end) in enumerate(zip(lines, ends, strict=True)):
        kind = "dashed" if number else "main"
        for i in range(len(row) - 1):
            parts.append(_line(x(i), y(row[i]), x(i + 1), y(row[i + 1]), kind))
        mark = "hollow" if number else "main"
        parts += [_dot(x(i), y(v), mark, 4) for i, v in enumerate(row)]
        parts.append(_text(x(len(row) - 1) + 12, end + 4, label, "small", "start", limit=30))
    parts.append(_text((left + right) / 2, height + 60, caption, "small", "middle"))
    return _svg(parts, height + 68, caption)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that span from `low` to `high`, about so many."""
    if high - low < 1e-6:
        high = low + 1.0
    span = high - low
    raw = span / about
    size = 10 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw - 1e-12)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _apart(places: Sequence[float], least: float = 15.0) -> list[float]:
    """Heights of labels, moved apart so that none covers another; the order stays."""
    order = np.argsort(places, kind="stable")
    found = list(places)
    for before, after in itertools.pairwise(order):
        found[after] = max(found[after], found[before] + least)
    excess = max(0.0, max(found) - max(places)) / 2 if found else 0.0
    return [place - excess for place in found]


def _axis(
    values: Sequence[float], x: Callable[[float], float], y: float, caption: str, middle: float
) -> list[str]:
    parts = [_line(x(values[0]), y, x(values[-1]), y, "zero")]
    for value in values:
        parts += [
            _line(x(value), y, x(value), y + 5, "zero"),
            _text(x(value), y + 18, f"{value:g}", "small", "middle"),
        ]
    return [*parts, _text(middle, y + 36, caption, "small", "middle")]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _dot(x: float, y: float, kind: str, radius: float) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str, limit: int = 90) -> str:
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    title = f"<title>{escape(text)}</title>" if shown != text else ""
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{title}'
        f"{escape(shown)}</text>"
    )


def _svg(parts: Sequence[str], height: float, caption: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(caption)}">'
        f"{''.join(parts)}</svg>"
    )
