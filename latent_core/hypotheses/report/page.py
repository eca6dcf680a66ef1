"""The report page: verdicts as one self-contained HTML file that also reads well on paper.

The page has no script and loads nothing. Its template escapes every text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from markupsafe import Markup

from latent_core.files import write_file
from latent_core.hypotheses.report.drawing import PALETTES, svg
from latent_core.hypotheses.report.figures import effects_of, figures_of, measured
from latent_core.hypotheses.verdict import Verdict, exact_text, interval_text
from latent_core.statistics.inference import Effect
from latent_core.templates import renderer
from latent_core.wording import counted

__all__ = ["write_report"]

_render: Final = renderer(Path(__file__).parent)


class Fact(NamedTuple):
    """A line of a section: a name and a text, set as code or not."""

    name: str
    text: str
    code: bool = False


@dataclass(frozen=True)
class Part:
    """A section of the page: one verdict in words and figures."""

    name: str
    outcome: str
    verdict: str
    claim: str
    reason: str
    estimate: str
    least: str
    p_holm: str
    figures: Sequence[Markup]
    facts: Sequence[Fact]


def write_report(
    path: str | Path,
    title: str,
    verdicts: Sequence[Verdict],
    *,
    names: Sequence[str] = (),
    outcome: str = "",
    verdict: str = "",
    reason: str = "",
    paragraphs: Sequence[str] = (),
    not_run: Mapping[str, str] | None = None,
) -> Path:
    """Write the page.

    Args:
        path: the file; its folder is made if missing.
        title: title of the page.
        verdicts: one section each.
        names: names of the sections; empty for a single verdict, whose claim is the title.
        outcome, verdict, reason: of all verdicts together, if they are a study; `verdict` is the
            outcome as readers see it.
        paragraphs: texts below the title.
        not_run: parts of the study that could not be run, with the reason.

    Raises:
        LatentError: if the file cannot be written.
    """
    labels = list(names) or [""] * len(verdicts)
    together = dict(zip(labels, verdicts, strict=True))
    overview = svg(effects_of(together)) if len(together) > 1 else None
    packages = ("latent-workbench", "torch", "transformers", "scipy")
    page = _render(
        "page.html",
        title=title,
        outcome=outcome,
        verdict=verdict or outcome.upper(),
        reason=reason,
        paragraphs=paragraphs,
        overview=overview,
        parts=[_part(label, verdict) for label, verdict in together.items()],
        not_run=not_run or {},
        versions=", ".join(f"{name} {version(name)}" for name in packages),
        palettes=PALETTES,
    )
    return write_file(path, page.encode(), f"the report {path}")


def _part(label: str, verdict: Verdict) -> Part:
    h = verdict.hypothesis
    return Part(
        name=label,
        outcome=verdict.outcome,
        verdict=verdict.title,
        claim=h.claim,
        reason=verdict.reason,
        estimate=interval_text(verdict.effect),
        least=f"{h.sign * h.smallest_effect:+g}",
        p_holm=f"{verdict.p_holm:.2g}",
        figures=[svg(drawing) for drawing in figures_of(verdict)],
        facts=_facts(verdict),
    )


def _facts(verdict: Verdict) -> list[Fact]:
    h, e, plan = verdict.hypothesis, verdict.effect, verdict.plan
    assumed, evidence = plan.assumptions, verdict.evidence
    scores = [
        f"{split}: treatment {row['treatment']:.2f}, control {row['control']:.2f}"
        for split, row in verdict.means().iterrows()
    ]
    return [
        Fact("treatment", h.contrast.treatment, code=True),
        Fact("control", h.contrast.control, code=True),
        Fact("measured", measured(verdict)),
        Fact("expected", f"{h.direction}, by at least {h.smallest_effect:g}"),
        Fact("estimate", interval_text(e)),
        Fact(
            "p-value",
            f"{e.p:.2g}; adjusted {verdict.p_holm:.2g} (Holm, {counted(verdict.tests, 'test')} of "
            f"family {h.family_name}){exact_text(e)}",
        ),
        Fact(
            "data",
            f"training seeds {', '.join(map(str, evidence.seeds))}; {e.records} paired examples",
        ),
        Fact("mean scores", "; ".join(scores)),
        Fact("standard deviations", _spread(e)),
        Fact(
            "planned",
            f"{plan.created[:16].replace('T', ' ')} UTC: {counted(plan.seeds, 'seed')} of "
            f"{plan.examples} examples; power {plan.power:.0%} for a true effect of "
            f"{plan.effect:g}, with sd {assumed.sd_seeds:.2g} between seeds and "
            f"{assumed.sd_examples:.2g} between examples ({assumed.source})",
        ),
        Fact("to decide the claim", verdict.settle),
        Fact("journal", verdict.history),
        Fact("notes", "; ".join(evidence.notes)),
        Fact("not run", "; ".join(f"{name}: {why}" for name, why in evidence.not_run.items())),
    ]


def _spread(effect: Effect) -> str:
    between = "" if effect.seeds == 1 else f"{effect.sd_seeds:.2f} between seeds, "
    return f"{between}{effect.sd_examples:.2f} between examples"
