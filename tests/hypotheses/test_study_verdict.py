"""The verdict of a study: its parts are judged as one family."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from latent_core.hypotheses import lab
from latent_core.hypotheses.studies.table import load_study
from latent_core.hypotheses.study_verdict import StudyVerdict
from latent_core.hypotheses.verdict import judge
from tests.hypotheses.made_up import MIXED, records, verdict_of


def test_a_study_is_one_family_and_says_what_it_could_not_run(tmp_path) -> None:
    split = load_study("h3").parts["gain over End"].split
    table = pd.concat([records(MIXED, 0.3, (split, "id")), records("Start_2", 0.0, (split, "id"))])
    study = load_study("H3")
    verdict = lab.run(study, table, lab.plan(study, 5, 20), tmp_path)
    assert set(verdict.parts) == {"gain over Start", "gain grows out of distribution"}
    assert "no records of 'End_2'" in verdict.not_run["gain over End"]
    assert all(part.tests == 2 for part in verdict.parts.values())
    assert verdict.outcome in ("refuted", "inconclusive")
    assert "5 not run" in verdict.reason
    assert repr(verdict) == str(verdict) == verdict.summary()
    assert repr(verdict).startswith(f"H3: {study.claim}\n{verdict.outcome.upper()}: ")
    page = lab.report(verdict, tmp_path / "deep" / "report.html").read_text()
    assert page.count("<svg") >= 4 and "gain grows out of distribution" in page
    assert not re.search(r"<script|src=|https?://|url\(", page)


def test_one_refuted_part_of_many_is_not_yet_a_refuted_study(gain, tmp_path) -> None:
    """Of seven true claims one falls short by accident in 16 % of studies."""
    study = load_study("H3")
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    found = verdict_of(gain, table, tmp_path).evidence

    def of(p_short: float) -> StudyVerdict:
        short = replace(found.effect, low=0.0, high=0.09)
        part = judge(replace(found, p_short=p_short, effect=short), 0.01)
        others = {str(number): judge(replace(found, p_short=1.0), 0.01) for number in range(6)}
        assert part.outcome == "refuted"
        return StudyVerdict(study, {"short": part, **others}, {})

    assert of(0.04).outcome == "inconclusive" and of(0.005).outcome == "refuted"
    assert "refuted by short (adjusted p 0.035)" in of(0.005).reason
    assert "no refutation is significant: short (adjusted p 0.28)" in of(0.04).reason
    assert list(of(0.04).table()["p_refuting"].dropna()) == [pytest.approx(0.28)]


@pytest.mark.parametrize(("p_short", "outcome"), [(0.025, "refuted"), (0.0251, "inconclusive")])
def test_a_part_refutes_its_study_at_an_adjusted_p_of_five_per_cent(
    gain, tmp_path, p_short: float, outcome: str
) -> None:
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    found = verdict_of(gain, table, tmp_path).evidence
    short = replace(found, p_short=p_short, effect=replace(found.effect, low=0.0, high=0.09))
    parts = {"short": judge(short, 0.01), "other": judge(replace(found, p_short=1.0), 0.01)}
    assert StudyVerdict(load_study("H3"), parts, {}).outcome == outcome


def test_a_study_with_a_part_that_was_not_run_is_not_supported(gain, tmp_path) -> None:
    table = pd.concat([records(MIXED, 0.3), records("Start_2", 0.0)])
    parts = {"one": verdict_of(gain, table, tmp_path)}
    assert StudyVerdict(load_study("H3"), parts, {}).outcome == "supported"
    assert StudyVerdict(load_study("H3"), parts, {"two": "why"}).outcome == "inconclusive"
