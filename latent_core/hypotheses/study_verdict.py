"""The joint verdict of a study: what its parts' verdicts say of its question together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd

from latent_core.errors import MovedName
from latent_core.hypotheses.study import Conclusion, Study
from latent_core.hypotheses.verdict import Decision, Verdict, interval_text
from latent_core.statistics.inference import holm
from latent_core.wording import as_html, counted

__all__ = ["StudyVerdict"]

#: Significance level for refuting a part, adjusted over the parts of a study.
REFUTING_LEVEL: Final = 0.05


@dataclass(frozen=True, repr=False)
class StudyVerdict:
    """The verdict of a study.

    A study is supported if every part is. It is refuted if a part is refuted and the adjusted
    p-value of refuting it (Holm, over all parts) is at most 0.05. A part that could not be run
    leaves it inconclusive at best. A study that answers in a word has a rule of its own
    (`Study.conclude`); a part counts as refuted there if the adjusted p-value is at most 0.05.

    Attributes:
        study: the study.
        parts: verdicts by the part's name.
        not_run: parts that could not be run, with the reason.
    """

    study: Study
    parts: Mapping[str, Verdict]
    not_run: Mapping[str, str]

    @property
    def p_refuting(self) -> dict[str, float]:
        """The p-value of each refuted part, adjusted by Holm's correction over all parts."""
        adjusted = holm([verdict.evidence.p_short for verdict in self.parts.values()])
        return {
            name: p
            for (name, verdict), p in zip(self.parts.items(), adjusted, strict=True)
            if verdict.outcome == "refuted"
        }

    @property
    def conclusion(self) -> Conclusion | None:
        """The answer, if the study answers in a word."""
        if self.study.conclude is None:
            return None
        refuting = self.p_refuting
        outcomes = {
            name: "inconclusive" if refuting.get(name, 0.0) > REFUTING_LEVEL else verdict.outcome
            for name, verdict in self.parts.items()
        }
        return self.study.conclude(outcomes, tuple(self.not_run))

    @property
    def title(self) -> str:
        """The outcome in capitals, or the word of a study that answers in one."""
        if self.conclusion is None:
            return self.outcome.upper()
        one_seed = any(verdict.effect.seeds == 1 for verdict in self.parts.values())
        return self.conclusion.word.upper() + " (ONE SEED)" * one_seed

    @property
    def rule(self) -> str:
        """How the verdict follows from those of the parts, in a sentence or two."""
        if self.conclusion is not None:
            return "The word follows from the verdicts of the parts by a fixed rule."
        return (
            "A study is supported if every part is supported. It is refuted if a part is refuted "
            f"with an adjusted p-value of at most {REFUTING_LEVEL:g}."
        )

    @property
    def outcome(self) -> Decision:
        """Supported, refuted or inconclusive."""
        if self.conclusion is not None:
            return self.conclusion.outcome
        if any(p <= REFUTING_LEVEL for p in self.p_refuting.values()):
            return "refuted"
        outcomes = {verdict.outcome for verdict in self.parts.values()}
        return "supported" if outcomes == {"supported"} and not self.not_run else "inconclusive"

    @property
    def reason(self) -> str:
        """How many parts were supported, refuted and inconclusive, and what follows."""
        outcomes = [verdict.outcome for verdict in self.parts.values()]
        counts = {name: outcomes.count(name) for name in ("supported", "refuted", "inconclusive")}
        shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        tail = f", {len(self.not_run)} not run" if self.not_run else ""
        parts = counted(len(outcomes) + len(self.not_run), "part")
        if self.conclusion is not None:
            return f"{self.conclusion.reason}; of {parts}, {shown}{tail}"
        shares = {f"{name} (adjusted p {p:.2g})": p for name, p in self.p_refuting.items()}
        if significant := [text for text, p in shares.items() if p <= REFUTING_LEVEL]:
            tail += f"; the study claims all parts, so it is refuted by {' and '.join(significant)}"
        elif shares:
            tail += f"; with Holm's correction, no refutation is significant: {', '.join(shares)}"
        return f"of {parts}, {shown}{tail}"

    def table(self) -> pd.DataFrame:
        """Return one row per part: verdict, estimate, expected, p-values, seeds, records."""
        p_refuting = self.p_refuting
        return pd.DataFrame(
            [
                {
                    "part": name,
                    "verdict": verdict.title.lower(),
                    "estimate": interval_text(verdict.effect),
                    "expected": f"{'+' if verdict.hypothesis.sign > 0 else '-'}"
                    f"{verdict.hypothesis.smallest_effect:g}",
                    "p_holm": round(verdict.p_holm, 4),
                    "p_refuting": p_refuting.get(name, math.nan),
                    "seeds": verdict.effect.seeds,
                    "records": verdict.effect.records,
                }
                for name, verdict in self.parts.items()
            ]
        )

    def __repr__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """Return the verdict in lines of plain text, part by part."""
        study = self.study
        lines = [
            f"{study.key}: {study.claim}",
            f"{self.title}: {self.reason}",
        ]
        for name, verdict in self.parts.items():
            lines += ["", f"-- {name} --", verdict.summary()]
        lines += [f"\nnot run: {name}: {why}" for name, why in self.not_run.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return as_html(self.summary())

    report = MovedName("lc.lab.report(verdict, path)")
