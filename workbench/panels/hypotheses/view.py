"""What the hypotheses panel shows: tables of plans, verdicts and the journal, and the effects.

The effects are the drawing that the report has. `latent_core.hypotheses.report` lays it out. Here
it is shown as SVG, whose colours follow the theme of JupyterLab, and painted by Matplotlib for PNG
and print. In the tables' HTML every text is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from matplotlib.figure import Figure

from latent_core.hypotheses.plan import power_table
from latent_core.hypotheses.report.drawing import PALETTES, STYLE, Drawing, svg
from latent_core.hypotheses.report.figures import effects_of
from latent_core.hypotheses.verdict import Verdict, interval_text
from latent_core.wording import counted, duration_range
from workbench.panels.hypotheses.work import Planned, Result
from workbench.templates import render

__all__ = [
    "effects_html",
    "effects_picture",
    "journal_html",
    "outcome_html",
    "painted",
    "plan_html",
    "verdict_html",
]

_STYLE: Final = """<style>
.latent-lab { container-type: inline-size; overflow-x: auto;
  font: 13px/1.45 var(--jp-ui-font-family, sans-serif);
  color: var(--jp-ui-font-color1, inherit); max-width: 1100px; }
.latent-lab p { margin: 6px 0; }
.latent-lab table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 6px 0; }
.latent-lab th, .latent-lab td { padding: 4px 14px 4px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--jp-border-color2, #ddd); }
.latent-lab th { font-weight: 600; white-space: nowrap; }
.latent-lab td { min-width: 9em; }
.latent-lab td.n { white-space: nowrap; min-width: 0; }
@container (max-width: 900px) { .latent-lab th, .latent-lab td.n { white-space: normal; } }
.latent-lab small { color: var(--jp-ui-font-color2, #666); }
.latent-lab code { font-size: 12px; background: none; overflow-wrap: anywhere; color: inherit; }
.latent-lab summary { cursor: pointer; }
.latent-lab ul { margin: 4px 0; padding-left: 20px; }
</style>"""
_SIGNS: Final = {"supported": "✓", "refuted": "✗", "inconclusive": "○"}
_MOST_ENTRIES: Final = 50
_FEW_SEEDS: Final = (1, 2, 3, 5, 10, 20)


def plan_html(planned: Planned) -> str:
    """What will be run, what it could show, and how long it takes."""
    asked, plans = planned.asked, planned.plans
    time = _time(planned.seconds)
    shared = "; work that parts share is done once" if len(plans) > 1 else ""
    size = f"{counted(asked.seeds, 'seed')} of {asked.examples} examples per split"
    parts = [
        f"<p><b>Plan:</b> {size}, on {escape(asked.target.words)}. "
        f"<b>Time on this machine:</b> {time}{shared}.</p>"
    ]
    if asked.seeds == 1:
        parts.append(
            "<p>There is one training seed, so the verdict will be about "
            f"{'these adapters' if len(plans) > 1 else 'this adapter'} only.</p>"
        )
    rows = "".join(
        f"<tr><td>{escape(name)}<br><small><code>{escape(str(plan.hypothesis.contrast))}</code>"
        f"</small></td><td class=n>{_measured(plan.hypothesis)}</td>"
        f"<td class=n>{_expected(plan.hypothesis)}</td>"
        f"<td class=n>{plan.power:.0%} <small>if the effect is {plan.effect:g}</small></td>"
        f"<td class=n>{plan.power_refute:.0%} <small>if there is no effect</small></td>"
        f"<td class=n>{_time(planned.added_seconds[name])}</td></tr>"
        for name, plan in plans.items()
    )
    heads = (
        "part",
        "metric and split",
        "expected",
        "power to support",
        "power to refute",
        "added time",
    )
    parts.append(_table("plan", heads, rows))
    parts += _refused(planned.refused, "Cannot be tested on this target")
    first = next(iter(plans.values()))
    table = power_table(first, _FEW_SEEDS)
    here = table[table["effect"] == round(first.effect, 4)]
    powers = ", ".join(f"{row.seeds}: {row.power:.0%}" for row in here.itertuples())
    a = first.assumptions
    steps = "\n".join(
        f"{name}\n" + "\n".join(f"  {step}" for step in plan.steps) for name, plan in plans.items()
    )
    parts.append(
        "<details><summary>Assumptions of the power, and steps of the test</summary>"
        f"<p>Standard deviations of {a.sd_seeds:.2g} between seeds and {a.sd_examples:.2g} between "
        f"examples, {escape(a.source)}. Power to support by the number of seeds: {powers}. Holm's "
        f"correction counts {counted(first.tests, 'test')} and the family's tests in the journal. "
        f"The power does not include the controls.</p><pre>{escape(steps)}</pre></details>"
    )
    return _div("".join(parts))


def outcome_html(result: Result) -> str:
    """The verdict on the whole claim, in one line."""
    head = f"<b>{escape(result.planned.asked.title)}</b>"
    if outcome := result.outcome:
        title = outcome.upper() if result.study is None else result.study.title
        head = f"<b>{_SIGNS[outcome]} {escape(title)}</b> — {head}"
    return _div(f"<p>{head}</p>")


def verdict_html(result: Result) -> str:
    """The verdicts, and why, part by part."""
    rows = "".join(
        f"<tr><td>{escape(name)}<br><small>{escape(v.hypothesis.claim)}</small></td>"
        f"<td class=n><b>{_SIGNS[v.outcome]} {escape(v.title.lower())}</b></td>"
        f"<td class=n>{escape(interval_text(v.effect))}</td>"
        f"<td class=n>{_expected(v.hypothesis)}</td><td class=n>{v.p_holm:.2g}</td>"
        f"<td>{_why(v)}</td></tr>"
        for name, v in result.parts.items()
    )
    heads = ("part", "verdict", "estimate", "expected", "adjusted p", "why")
    parts = [_table("verdict", heads, rows), *_refused(result.not_run, "Not run")]
    if (study := result.study) is not None:
        parts.append(f"<p><small>{study.rule} Here: {escape(study.reason)}.</small></p>")
    return _div("".join(parts))


def journal_html(entries: Sequence[dict[str, Any]], path: str) -> str:
    """The tests of a journal, newest first, and the plans that were never carried out."""
    tests = [e for e in entries if e["kind"] == "test"]
    if not entries:
        return _div(
            f"<p>The journal in <code>{escape(path)}</code> is empty. Every plan that is run and "
            "every verdict is added to it. Entries are never changed.</p>"
        )
    done = {e["plan"]["created"] for e in tests}
    shown = [e for e in entries if e["kind"] == "test" or e["plan"]["created"] not in done]
    rows = "".join(_entry(e) for e in reversed(shown[-_MOST_ENTRIES:]))
    left = len(shown) - _MOST_ENTRIES
    more = f"<p><small>{left} older entries are not shown.</small></p>" if left > 0 else ""
    heads = ("when (UTC)", "claim", "size", "outcome", "estimate", "adjusted p", "earlier tests")
    return _div(
        f"<details><summary>Journal: {counted(len(tests), 'test')} in "
        f"<code>{escape(path)}</code></summary>{_table('journal', heads, rows)}{more}</details>"
    )


def _time(seconds: float | None) -> str:
    """`about 4-9 s`, `about 2-5 min`; words where it is not known."""
    return "an unknown time" if seconds is None else f"about {duration_range(seconds)}"


def _entry(entry: dict[str, Any]) -> str:
    h, plan, outcome = entry["hypothesis"], entry["plan"], entry.get("outcome")
    contrast = h["contrast"]
    family = "" if h["family"] == h["claim"] else f"<b>{escape(h['family'])}</b> "
    cells = [
        escape(entry["time"][:16].replace("T", " ")),
        f"{family}{escape(h['claim'])}<br><small><code>{escape(contrast['treatment'])} - "
        f"{escape(contrast['control'])}</code>, {escape(h['metric'])} on {escape(h['task'])} "
        f"{escape(h['split'])}</small>",
        f"{plan['seeds']} of {plan['examples']}",
    ]
    if outcome is None:
        cells += ["planned, not finished", "", "", ""]
    else:
        title = ("strongly " if outcome["strongly"] else "") + outcome["outcome"]
        cells += [
            f"{_SIGNS[outcome['outcome']]} {escape(title)}",
            f"{outcome['mean']:+.3f} [{outcome['low']:+.3f}, {outcome['high']:+.3f}]",
            f"{outcome['p_holm']:.2g}",
            escape(entry["history"]),
        ]
    kinds = ["n", "", "n", "n", "n", "n", ""]
    return f"<tr>{''.join(f'<td class={k!r}>{c}</td>' for k, c in zip(kinds, cells, strict=True))}"


def _why(verdict: Any) -> str:
    lines = [verdict.reason[:1].upper() + verdict.reason[1:], verdict.settle, verdict.history]
    lines += [f"note: {note}" for note in verdict.evidence.notes]
    lines += [f"control {name} not run: {why}" for name, why in verdict.evidence.not_run.items()]
    head, *rest = [escape(line) for line in lines if line]
    return "<br>".join([head, *(f"<small>{line}</small>" for line in rest)])


def _measured(h: Any) -> str:
    less = f" minus {h.contrast.minus_split}" if h.contrast.minus_split else ""
    return escape(f"{h.metric}, {h.loaded_task.name} {h.split}{less}")


def _expected(h: Any) -> str:
    return f"{h.sign * h.smallest_effect:+g} or {'more' if h.sign > 0 else 'less'}"


def _refused(reasons: Any, words: str) -> list[str]:
    if not reasons:
        return []
    items = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in reasons.items())
    return [f"<p>{words}:</p><ul>{items}</ul>"]


def _table(label: str, heads: Sequence[str], rows: str) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f'<table aria-label="{label}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _div(body: str) -> str:
    return f'{_STYLE}<div class="latent-lab">{body}</div>'


# --- the effects ----------------------------------------------------------------------------------

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
