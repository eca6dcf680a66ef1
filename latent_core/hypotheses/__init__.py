"""The hypothesis lab: a claim about latent tokens, what evidence it takes, and a verdict.

    h = Hypothesis(
        claim="Comma latents keep the rule alive in long outputs",
        task="generation", split="ood", metric="graded",
        contrast=Contrast(treatment="drop(Comma, after=3)", control="none"),
        direction="less", smallest_effect=0.10)
    plan = h.plan(seeds=5, examples=100)
    verdict = h.test(models, plan)

`STUDIES` holds the built-in ones, each a family of hypotheses.
"""

from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Condition, Contrast
from latent_core.hypotheses.evidence import find_out, judge_family
from latent_core.hypotheses.journal import Journal
from latent_core.hypotheses.plan import Assumptions, Plan
from latent_core.hypotheses.studies.builtin import STUDIES
from latent_core.hypotheses.studies.study import Study, StudyVerdict, load_study
from latent_core.hypotheses.verdict import Verdict

__all__ = [
    "STUDIES",
    "Assumptions",
    "Condition",
    "Contrast",
    "Hypothesis",
    "Journal",
    "Plan",
    "Study",
    "StudyVerdict",
    "Verdict",
    "find_out",
    "judge_family",
    "load_study",
]
