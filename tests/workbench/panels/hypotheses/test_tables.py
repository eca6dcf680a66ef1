"""Tables of the hypotheses panel: a study that answers in a word says its word."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from latent_core.hypotheses.studies.carrier import DONOR, DROPPED, NOISE
from latent_core.hypotheses.studies.table import load_study
from latent_core.hypotheses.study_verdict import StudyVerdict
from latent_core.hypotheses.verdict import judge
from tests.hypotheses.made_up import effect, evidence
from workbench.panels.hypotheses.tables import outcome_html, verdict_html
from workbench.panels.hypotheses.work import Result


def test_a_study_shows_its_word_and_no_rule_of_other_studies() -> None:
    harm = judge(evidence(effect(0.3, 0.4, 0.5)), 0.01)
    none = judge(replace(evidence(effect(-0.1, 0.0, 0.1)), p_short=0.001), 1.0)
    assert (harm.outcome, none.outcome) == ("supported", "refuted")
    parts = {DROPPED: harm, NOISE: harm, DONOR: none}
    verdict = StudyVerdict(load_study("carry"), parts, {})
    planned = SimpleNamespace(asked=SimpleNamespace(title="What do latents carry?", name=""))
    result = Result(planned, verdict, Path())  # type: ignore[arg-type]
    shown = outcome_html(result)
    assert "MARK" in shown and "REFUTED" not in shown
    table = verdict_html(result)
    assert "The word follows from the verdicts of the parts by a fixed rule." in table
    assert "the model needs them, and states of another example do as well" in table
    assert "A study is supported if every part" not in table
