"""The verdict of a study: its parts are judged as one family."""

import math
import re
from dataclasses import replace

import pandas as pd
import pytest

from latent_core.hypotheses import lab
from latent_core.hypotheses.studies.table import load_study
from latent_core.hypotheses.study_verdict import StudyVerdict
from latent_core.hypotheses.verdict import Verdict, judge
from tests.hypotheses.made_up import MIXED, effect, evidence, records

HELPS = evidence(effect(0.3, 0.4, 0.5))  # strongly supported


def short(p_short: float) -> Verdict:
    """The verdict of a part that is refuted, because its interval falls short."""
    part = judge(replace(HELPS, effect=effect(-0.1, 0.0, 0.1), p_short=p_short), 0.5)
    assert part.outcome == "refuted"
    return part


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


def test_one_refuted_part_of_many_is_not_yet_a_refuted_study() -> None:
    """Of seven true claims one falls short by accident in 16 % of studies."""

    def of(p_short: float) -> StudyVerdict:
        others = {str(number): judge(HELPS, 0.01) for number in range(6)}
        return StudyVerdict(load_study("H3"), {"short": short(p_short), **others}, {})

    assert of(0.04).outcome == "inconclusive" and of(0.005).outcome == "refuted"
    assert "refuted by short (adjusted p 0.035)" in of(0.005).reason
    assert "no refutation is significant: short (adjusted p 0.28)" in of(0.04).reason
    assert list(of(0.04).table()["p_refuting"].dropna()) == [pytest.approx(0.28)]


@pytest.mark.parametrize(("p_short", "outcome"), [(0.025, "refuted"), (0.0251, "inconclusive")])
def test_a_part_refutes_its_study_at_an_adjusted_p_of_five_per_cent(p_short, outcome) -> None:
    parts = {"short": short(p_short), "other": judge(HELPS, 0.01)}
    assert StudyVerdict(load_study("H3"), parts, {}).outcome == outcome


def test_a_study_with_a_part_that_was_not_run_is_not_supported() -> None:
    parts = {"one": judge(HELPS, 0.01)}
    assert StudyVerdict(load_study("H3"), parts, {}).outcome == "supported"
    assert StudyVerdict(load_study("H3"), parts, {"two": "why"}).outcome == "inconclusive"


def test_a_study_is_said_and_tabled_part_by_part() -> None:
    claim = replace(HELPS.hypothesis, direction="less")
    parts = {
        "helps": judge(HELPS, 0.012345),
        "short": short(0.01),
        "less": judge(replace(HELPS, hypothesis=claim, p_short=0.03), 0.01),
        "open": judge(replace(HELPS, untried=True), 0.01),
    }
    study = load_study("H3")
    verdict = StudyVerdict(study, parts, {"later": "no adapter"})
    assert verdict.p_refuting == pytest.approx({"short": 0.04, "less": 0.09})
    assert verdict.reason == (
        "of 5 parts, 1 supported, 2 refuted, 1 inconclusive, 1 not run; the study claims all "
        "parts, so it is refuted by short (adjusted p 0.04)"
    )
    weaker = StudyVerdict(study, {**parts, "short": short(0.02)}, {})
    assert weaker.outcome == "inconclusive"
    assert weaker.reason == (
        "of 4 parts, 1 supported, 2 refuted, 1 inconclusive; with Holm's correction, no "
        "refutation is significant: short (adjusted p 0.08), less (adjusted p 0.09)"
    )
    both = StudyVerdict(study, {"one": short(0.01), "two": short(0.02)}, {})
    assert both.reason.endswith("refuted by one (adjusted p 0.02) and two (adjusted p 0.02)")
    assert StudyVerdict(study, {"helps": parts["helps"]}, {}).reason == "of 1 part, 1 supported"
    nothing_refuted = StudyVerdict(study, {"helps": parts["helps"]}, {}).table()
    assert nothing_refuted["p_refuting"].dtype == float
    rows = verdict.table().to_dict("records")
    assert [row.pop("p_refuting") for row in rows] == pytest.approx(
        [math.nan, 0.04, 0.09, math.nan], nan_ok=True
    )
    assert [row["expected"] for row in rows] == ["+0.25", "+0.25", "-0.25", "+0.25"]
    assert rows[0] == {
        "part": "helps",
        "verdict": "strongly supported",
        "estimate": "+0.400 [+0.300, +0.500]",
        "expected": "+0.25",
        "p_holm": 0.0123,
        "seeds": 5,
        "records": 100,
    }
    text = verdict.summary()
    assert text.startswith(f"H3: {study.claim}\nREFUTED: {verdict.reason}\n\n-- helps --\n")
    assert f"\n\n-- open --\n{parts['open'].summary()}" in text
    assert text.endswith("\n\nnot run: later: no adapter") and "<pre" in verdict._repr_html_()
