"""A verdict as one self-contained HTML page that also reads well on paper.

No script, no font, no picture from elsewhere. Every text that comes from outside is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path

from latent_core.files import write_file
from latent_core.hypotheses.report.figures import Bar, curves, intervals, slopes
from latent_core.hypotheses.verdict import Verdict, exact_text, interval_text
from latent_core.statistics.inference import Effect
from latent_core.wording import counted

__all__ = ["write_report"]

STYLE = """
:root { --ink:#1b1b1f; --soft:#5c5f66; --line:#d5d7db; --paper:#fff; --reach:#e7eef8;
  --main:#1f4e9c; --supported:#1a6b35; --refuted:#a3261d; --inconclusive:#7a5a00;
  color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink:#e8e8ea; --soft:#a9acb3; --line:#44474d;
  --paper:#17181b; --reach:#20304a; --main:#8fb6ff; --supported:#6fd08c; --refuted:#ff9389;
  --inconclusive:#e6c35c; } }
@media print { :root { --ink:#000; --soft:#333; --line:#999; --paper:#fff; --reach:#eee;
  --main:#000; --supported:#000; --refuted:#000; --inconclusive:#000; }
  --size:10pt }
@page { margin: 13mm 15mm; }
body { font: var(--size, 16px)/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); max-width: 760px; margin: 2.5rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .4rem; }
h2 { font-size: 1.15rem; margin: 0 0 .3rem; }
section { border-top: 1px solid var(--line); padding: 1.3rem 0 .6rem; }
p { margin: .4rem 0 .8rem; } .claim::first-letter { text-transform: uppercase; }
.soft, figcaption { color: var(--soft); font-size: .88rem; }
.verdict { display: inline-block; border: 1.5px solid currentColor; border-radius: 4px;
  padding: 0 .5em; font-size: .8em; font-weight: 650; letter-spacing: .03em; }
.supported { color: var(--supported); } .refuted { color: var(--refuted); }
.inconclusive { color: var(--inconclusive); }
table { border-collapse: collapse; width: 100%; font-size: .88rem; margin: .6rem 0 1rem; }
th, td { text-align: left; vertical-align: top; padding: .28rem .6rem .28rem 0;
  border-bottom: 1px solid var(--line); } th { font-weight: 600; }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 1rem 0; } svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg text.small, svg text.minor { fill: var(--soft); }
svg line.main { stroke: var(--main); stroke-width: 2; } svg line.minor { stroke: var(--soft); }
svg line.dashed { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 4; }
svg circle.main { fill: var(--main); } svg circle.minor { fill: var(--soft); }
svg circle.hollow { fill: var(--paper); stroke: var(--main); stroke-width: 1.5; }
svg line.zero { stroke: var(--ink); } svg line.grid { stroke: var(--line); }
svg line.edge { stroke: var(--main); stroke-dasharray: 3 3; }
svg rect.reached { fill: var(--reach); }
code { font-size: .92em; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: 8.5rem 1fr; gap: .2rem .8rem; font-size: .88rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media print { body { max-width: none; margin: 0; padding: 0; line-height: 1.35; }
  section { break-inside: avoid; padding: .6rem 0 .2rem; } h2 { break-after: avoid; }
  p { margin: .2rem 0 .4rem; } figure { margin: .3rem 8%; }
  dl { grid-template-columns: 5.2rem 1fr 5.2rem 1.2fr; font-size: .8rem; gap: .1rem .6rem; }
  dt.wide { grid-column: 1; } dd.wide { grid-column: 2 / -1; } }
"""

HOW = (
    "An interval holds for new training seeds and new examples: the hull of Student's t on the "
    "seeds' means and of a hierarchical bootstrap, seeds then examples (with one seed, of t and "
    "BCa over its examples). Supported: the interval lies beyond zero in the stated direction, the "
    "estimate reaches the smallest effect, p after Holm is at most 0.05, and no control shows the "
    "same effect; strongly, where the whole interval reaches it. Refuted: the whole interval falls "
    "short of the smallest effect, or what is left of the effect beyond a control does. Else "
    "inconclusive. Several claims together are supported if each is, and refuted if one is and "
    "Holm over all of them finds that no accident."
)


def write_report(
    path: str | Path,
    title: str,
    verdicts: Sequence[Verdict],
    *,
    names: Sequence[str] = (),
    outcome: str = "",
    reason: str = "",
    paragraphs: Sequence[str] = (),
    not_run: Mapping[str, str] | None = None,
) -> Path:
    """Write the page.

    Args:
        path: of the file; its folder is made if missing.
        title: of the page.
        verdicts: one section each.
        names: of the sections; one alone needs none, its claim being the title.
        outcome, reason: of all of them together, if they are a study.
        paragraphs: what stands under the title.
        not_run: parts of the study that could not be run, with the reason.

    Raises:
        LatentError: if it cannot be written.
    """
    badge = f' <span class="verdict {outcome}">{escape(outcome.upper())}</span>' if outcome else ""
    body = [f"<h1>{escape(title)}</h1>", f"<p>{badge} {escape(reason)}</p>" * bool(badge)]
    body += [f"<p>{escape(text)}</p>" for text in paragraphs]
    labels = list(names) or [""] * len(verdicts)
    if len(verdicts) > 1:
        body.append(_overview(labels, verdicts))
    if not_run:
        items = "".join(f"<li>{escape(n)}: {escape(why)}</li>" for n, why in not_run.items())
        body.append(f"<p>Not run:</p><ul>{items}</ul>")
    sections = [_section(label, verdict) for label, verdict in zip(labels, verdicts, strict=True)]
    # Below the overview of a study, so that each claim has a page of its own on paper.
    sections.insert(
        0 if len(verdicts) > 1 else 1,
        f'<section class="soft"><p>{HOW}</p><p>{_versions()}</p></section>',
    )
    body += sections
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"{''.join(body)}</body></html>\n"
    )
    return write_file(path, page.encode(), f"the report {path}")


def _overview(labels: Sequence[str], verdicts: Sequence[Verdict]) -> str:
    rows = "".join(
        f"<tr><td>{escape(label)}</td><td>{_badge(v)}</td>"
        f'<td class="n">{interval_text(v.effect)}</td>'
        f'<td class="n">{v.hypothesis.sign * v.hypothesis.smallest_effect:+g}</td>'
        f'<td class="n">{v.p_holm:.2g}</td></tr>'
        for label, v in zip(labels, verdicts, strict=True)
    )
    heads = ("part", "verdict", "estimate", "smallest effect", "p (Holm)")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _section(label: str, verdict: Verdict) -> str:
    h, e, plan = verdict.hypothesis, verdict.effect, verdict.plan
    assumed = plan.assumptions
    measured = f"{h.metric} on {h.loaded_task.name}, {h.split}"
    if h.contrast.minus_split:
        measured += f", less the same on {h.contrast.minus_split}"
    bars = [Bar("the claim's contrast", e.mean, e.low, e.high)]
    for control in verdict.finding.controls:
        shown, beyond = control.effect, control.specific
        bars.append(Bar(f"with {control.name} latents", shown.mean, shown.low, shown.high, True))
        bars.append(Bar(f"beyond {control.name}", beyond.mean, beyond.low, beyond.high, True))
    figures = [_figure(intervals(bars, h.sign * h.smallest_effect, f"difference in {measured}"))]
    if e.seeds > 1 and not h.contrast.minus_split:
        by_seed = verdict.frame.groupby("seed")[["control", "treatment"]].mean()
        pairs = [(f"seed {s}", r["control"], r["treatment"]) for s, r in by_seed.iterrows()]
        figures.append(
            _figure(slopes((h.contrast.control, h.contrast.treatment), pairs, f"mean {measured}"))
        )
    if len(h.terms) > 1:
        means = verdict.means().loc[list(h.terms)]
        lines = [("treatment", list(means["treatment"])), ("control", list(means["control"]))]
        figures.append(_figure(curves(list(means.index), lines, f"mean {h.metric} by split")))
    facts = {
        "treatment": f"<code>{escape(h.contrast.treatment)}</code>",
        "control": f"<code>{escape(h.contrast.control)}</code>",
        "measured": escape(measured),
        "expected": f"{h.direction}, by {h.smallest_effect:g} at least",
        "estimate": escape(interval_text(e)),
        "p": f"{e.p:.2g}; {verdict.p_holm:.2g} after Holm over {verdict.tests} of family "
        f"{escape(h.family_name)}{escape(exact_text(e))}",
        "rests on": f"training seeds {', '.join(map(str, verdict.finding.seeds))}; {e.records} "
        "paired examples",
        "scores": escape(_scores(verdict)),
        "spread found": _spread(e),
        "planned": f"{plan.created[:16].replace('T', ' ')} UTC: {counted(plan.seeds, 'seed')} "
        f"of {plan.examples} examples; power {plan.power:.0%} for a true effect of "
        f"{plan.effect:g}, with sd {assumed.sd_seeds:.2g} between seeds and "
        f"{assumed.sd_examples:.2g} between examples ({escape(assumed.source)})",
        "would settle it": escape(verdict.settle),
        "journal": escape(verdict.history),
        "notes": escape("; ".join(verdict.finding.notes)),
        "not run": escape("; ".join(f"{n}: {w}" for n, w in verdict.finding.not_run.items())),
    }
    listed = "".join(
        f"<dt{wide}>{name}</dt><dd{wide}>{text}</dd>"
        for name, text in facts.items()
        if text
        for wide in [' class="wide"' * (len(text) > 90)]
    )
    claim = f'<p class="claim">{escape(h.claim)}.</p>' if label else ""
    return (
        f"<section><h2>{escape(label or 'Verdict')} {_badge(verdict)}</h2>{claim}"
        f"<p>{escape(verdict.reason[:1].upper() + verdict.reason[1:])}</p>"
        f"{''.join(figures)}<dl>{listed}</dl></section>"
    )


def _badge(verdict: Verdict) -> str:
    return f'<span class="verdict {verdict.outcome}">{escape(verdict.title)}</span>'


def _figure(svg: str) -> str:
    return f"<figure>{svg}</figure>"


def _scores(verdict: Verdict) -> str:
    return "; ".join(
        f"{split}: treatment {row['treatment']:.2f}, control {row['control']:.2f}"
        for split, row in verdict.means().iterrows()
    )


def _spread(effect: Effect) -> str:
    between = "" if effect.seeds == 1 else f"{effect.sd_seeds:.2f} between seeds, "
    return f"sd {between}{effect.sd_examples:.2f} between examples"


def _versions() -> str:
    names = ("latent-workbench", "torch", "transformers", "scipy", "statsmodels")
    return ", ".join(f"{name} {version(name)}" for name in names)
