"""The figures of tests and verdicts, which the report and the hypotheses panel draw.

Effects with intervals, scores of each seed, and scores by split.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from latent_core.hypotheses.report.drawing import (
    Box,
    Drawing,
    Label,
    Line,
    Mark,
    Style,
    Symbol,
    Tip,
)
from latent_core.hypotheses.verdict import Verdict
from latent_core.wording import counted

__all__ = [
    "EffectRow",
    "curves",
    "effects",
    "effects_of",
    "figures_of",
    "measured",
    "slopes",
    "ticks",
]

WIDTH: Final = 720
#: Average width of a letter of 12 pixels.
LETTER: Final = 6.3
#: Letters of a line of a row's label.
WRAP: Final = 36
#: How each outcome is marked; a row without an outcome is a control.
SYMBOLS: Final[dict[str, tuple[Style, Symbol, bool]]] = {
    "supported": ("supported", "circle", False),
    "refuted": ("refuted", "cross", False),
    "inconclusive": ("inconclusive", "diamond", True),
    "": ("soft", "tick", False),
}


class EffectRow(NamedTuple):
    """An effect with its interval.

    Attributes:
        label: name of the row.
        mean, low, high: estimate and interval.
        least: the smallest effect with the direction's sign; None for a control.
        outcome: supported, refuted or inconclusive; empty for a control.
        verdict: text beside the row.
        tip: text for the pointer, after the label and the numbers.
    """

    label: str
    mean: float
    low: float
    high: float
    least: float | None = None
    outcome: str = ""
    verdict: str = ""
    tip: str = ""


def effects(rows: Sequence[EffectRow], measured: str) -> Drawing:
    """Lay out effects under one another, each with the region that its claim has to reach.

    Args:
        rows: from top to bottom.
        measured: name of the axis.
    """
    broken = [_broken(row.label) for row in rows]
    left = 24 + LETTER * max(len(line) for lines in broken for line in lines)
    right = WIDTH - 24 - LETTER * max(len(row.verdict) for row in rows)
    numbers = [0.0, *(v for row in rows for v in (row.low, row.high, 1.3 * (row.least or 0.0)))]
    axis = ticks(min(numbers), max(numbers))
    low, high = axis[0], axis[-1]
    top, step = 24, 44
    bottom = top + step * len(rows)

    def x(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    boxes, lines, marks, labels, tips = [], [], [], [], []
    for value in axis:
        lines.append(Line(x(value), top, x(value), bottom, "grid"))
        labels.append(Label(x(value), bottom + 18, f"{value:g}", "soft", "middle"))
    for number, (row, names) in enumerate(zip(rows, broken, strict=True)):
        y = top + step * number + step / 2 + 3
        style, symbol, hollow = SYMBOLS[row.outcome]
        if row.least is not None:
            first, last = sorted((x(row.least), x(high if row.least > 0 else low)))
            boxes.append(Box(first, y - step / 2, last - first, step - 4))
            lines.append(Line(x(row.least), y - step / 2, x(row.least), y + step / 2 - 4, "edge"))
        lines += [
            Line(x(row.low), y, x(row.high), y, style),
            Line(x(row.low), y - 5, x(row.low), y + 5, style),
            Line(x(row.high), y - 5, x(row.high), y + 5, style),
        ]
        marks.append(Mark(x(row.mean), y, 5, style, symbol, hollow))
        ink: Style = "soft" if row.least is None else "ink"
        labels += [
            Label(left - 12, y + 4 + 14 * (place - (len(names) - 1) / 2), name, ink, "end")
            for place, name in enumerate(names)
        ]
        labels.append(Label(x(row.mean), y - 9, f"{row.mean:+.3f}", "soft", "middle"))
        labels.append(Label(right + 12, y + 4, row.verdict, style))
        said = f"{row.label}: {row.mean:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
        said = "; ".join(filter(None, (said, row.verdict, row.tip)))
        tips.append(Tip(0, y - step / 2, WIDTH, step - 4, said))
    lines.append(Line(x(0), top - 4, x(0), bottom, "ink"))
    least = {row.least for row in rows if row.least is not None}
    if len(least) == 1:
        value = least.pop()
        labels.append(Label(x(value), top - 8, f"smallest effect {value:+g}", "soft", "middle"))
    labels.append(Label((left + right) / 2, bottom + 38, measured, "soft", "middle"))
    return Drawing(WIDTH, bottom + 46, measured, boxes, lines, marks, labels, tips)


def slopes(
    names: tuple[str, str], pairs: Sequence[tuple[str, float, float]], measured: str
) -> Drawing:
    """Lay out each seed's mean score under control and treatment, joined by a line.

    Args:
        names: of the left and the right side.
        pairs: label, left value, right value.
        measured: name of the axis.
    """
    values = [v for _, a, b in pairs for v in (a, b)]
    axis = ticks(min(0.0, *values), max(values))
    height, left, right = 190, 190, WIDTH - 190
    y = _scale(axis, 30, height)
    lines, marks = _grid(axis, y, left, right), list[Mark]()
    labels = [Label(left - 34, y(value) + 4, f"{value:g}", "soft", "end") for value in axis]
    labels += [_cut(left, 16, names[0], 52), _cut(right, 16, names[1], 52)]
    ends = _apart([y(b) for _, _, b in pairs])
    for (label, a, b), end in zip(pairs, ends, strict=True):
        lines.append(Line(left, y(a), right, y(b), "main"))
        marks += [Mark(left, y(a), 4, "main", hollow=True), Mark(right, y(b), 4, "main")]
        labels.append(Label(right + 12, end + 4, f"{label}: {b - a:+.3f}", "soft"))
    labels.append(Label(WIDTH / 2, height + 52, measured, "soft", "middle"))
    return Drawing(WIDTH, height + 60, measured, (), lines, marks, labels)


def curves(
    splits: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]], measured: str
) -> Drawing:
    """Lay out mean scores by split, one line per condition.

    Args:
        splits: along the axis.
        rows: label and one value per split; the first line is solid, the others are dashed.
        measured: name of the axis.
    """
    values = [v for _, row in rows for v in row]
    axis = ticks(min(0.0, *values), max(values))
    height, left, right = 190, 60, WIDTH - 200
    y = _scale(axis, 20, height)

    def x(number: int) -> float:
        return left + 20 + (right - left - 40) * number / max(1, len(splits) - 1)

    lines, marks = _grid(axis, y, left, right), list[Mark]()
    labels = [Label(left - 8, y(value) + 4, f"{value:g}", "soft", "end") for value in axis]
    labels += [Label(x(i), height + 40, name, "soft", "middle") for i, name in enumerate(splits)]
    ends = _apart([y(row[-1]) for _, row in rows])
    for number, ((label, row), end) in enumerate(zip(rows, ends, strict=True)):
        style: Style = "dashed" if number else "main"
        for i, (value, following) in enumerate(itertools.pairwise(row)):
            lines.append(Line(x(i), y(value), x(i + 1), y(following), style))
        marks += [Mark(x(i), y(v), 4, "main", hollow=number > 0) for i, v in enumerate(row)]
        labels.append(Label(x(len(row) - 1) + 12, end + 4, label, "soft"))
    labels.append(Label((left + right) / 2, height + 60, measured, "soft", "middle"))
    return Drawing(WIDTH, height + 68, measured, (), lines, marks, labels)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers that span from `low` to `high`, about so many."""
    if high - low < 1e-6:
        high = low + 1.0
    span = high - low
    raw = span / about
    size = 10 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw - 1e-12)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _scale(axis: Sequence[float], top: float, height: float) -> Callable[[float], float]:
    """Return the height in pixels of a value; the axis spans `height` from `top`."""
    return lambda value: top + height * (axis[-1] - value) / (axis[-1] - axis[0])


def _grid(
    axis: Sequence[float], y: Callable[[float], float], left: float, right: float
) -> list[Line]:
    return [Line(left, y(value), right, y(value), "grid") for value in axis]


def _cut(x: float, y: float, text: str, limit: int) -> Label:
    """Return a centred label of at most `limit` letters."""
    if len(text) <= limit:
        return Label(x, y, text, "ink", "middle")
    return Label(x, y, text[: limit - 1] + "…", "ink", "middle", full=text)


def _broken(label: str) -> list[str]:
    """Return a label as one line, or as two if it is long."""
    if len(label) <= WRAP:
        return [label]
    cut = label.rfind(" ", 0, WRAP)
    cut = WRAP if cut < 1 else cut
    rest = label[cut:].strip()
    return [label[:cut], rest if len(rest) <= WRAP else rest[: WRAP - 1] + "…"]


def _apart(places: Sequence[float], least: float = 15.0) -> list[float]:
    """Return heights of labels, moved apart so that none covers another; the order stays."""
    order = np.argsort(places, kind="stable")
    found = list(places)
    for before, after in itertools.pairwise(order):
        found[after] = max(found[after], found[before] + least)
    excess = max(0.0, max(found) - max(places)) / 2 if found else 0.0
    return [place - excess for place in found]


#: What stands in the latents' places under a control, where its name does not say it.
_STAND_INS: Final = {"filler": "full stops"}


def effects_of(verdicts: Mapping[str, Verdict]) -> Drawing:
    """Draw the effects of verdicts by name; those of a single verdict's controls, too."""
    if len(verdicts) == 1:
        ((label, verdict),) = verdicts.items()
        return effects(
            [_row(label, verdict), *_control_rows(verdict)],
            f"difference in {measured(verdict)}, with 95 % interval",
        )
    metrics = " or ".join(dict.fromkeys(v.hypothesis.metric for v in verdicts.values()))
    rows = [_row(label, verdict) for label, verdict in verdicts.items()]
    return effects(rows, f"difference in {metrics} score, with 95 % interval")


def figures_of(verdict: Verdict) -> list[Drawing]:
    """Draw a verdict: its effect, its seeds, and its splits if the claim is about several."""
    h = verdict.hypothesis
    found = [effects_of({"effect": verdict})]
    if verdict.effect.seeds > 1 and not h.contrast.minus_split:
        by_seed = verdict.frame.groupby("seed")[["control", "treatment"]].mean()
        pairs = [(f"seed {s}", r["control"], r["treatment"]) for s, r in by_seed.iterrows()]
        sides = (h.contrast.control, h.contrast.treatment)
        found.append(slopes(sides, pairs, f"mean {measured(verdict)}"))
    if len(h.terms) > 1:
        means = verdict.means().loc[list(h.terms)]
        rows = [("treatment", list(means["treatment"])), ("control", list(means["control"]))]
        found.append(curves(list(means.index), rows, f"mean {h.metric} by split"))
    return found


def measured(verdict: Verdict) -> str:
    """Return what a verdict's claim is measured by: `graded on repetition, ood-8`."""
    h = verdict.hypothesis
    text = f"{h.metric} on {h.loaded_task.name}, {h.split}"
    return f"{text}, minus the same on {h.contrast.minus_split}" if h.contrast.minus_split else text


def _row(label: str, verdict: Verdict) -> EffectRow:
    h, e = verdict.hypothesis, verdict.effect
    return EffectRow(
        label,
        e.mean,
        e.low,
        e.high,
        least=h.sign * h.smallest_effect,
        outcome=verdict.outcome,
        verdict=verdict.title.lower(),
        tip=f"{counted(e.seeds, 'training seed')}, {counted(e.records, 'pair')}",
    )


def _control_rows(verdict: Verdict) -> list[EffectRow]:
    rows = []
    for control in verdict.evidence.controls:
        name = _STAND_INS.get(control.name, f"{control.name} latents")
        for text, found in (("with", control.effect), ("beyond", control.specific)):
            rows.append(EffectRow(f"{text} {name}", found.mean, found.low, found.high))
    return rows
