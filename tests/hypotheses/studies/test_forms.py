"""A study takes the form that most of the runs can answer."""

import latent_core as lc
from latent_core.hypotheses.studies.forms import fitted
from latent_core.hypotheses.studies.table import load_study


def test_a_study_takes_the_form_that_most_of_the_runs_can_answer() -> None:
    tiny = lc.load_backbone("tiny")
    h1 = load_study("H1")
    assert fitted(h1, {"repetition": {"Start_2"}}, tiny) == (h1, 0)
    # "Start_2" is both the control of the same size and none of the same computation
    have = {"Start_1+Comma_1", "Start_1+Comma_1; tied", "Start_2", "Start_2+Comma_2"}
    fit = fitted(h1, {"generation": have}, tiny)
    assert (fit.study.layout, fit.parts) == ("Start_1+Comma_1", 5)
    both = {"generation": {"Start_4+Comma_4"}, "repetition": {"Start_1+Comma_1", "Start_1+8_1"}}
    fit = fitted(load_study("placement"), both, tiny)
    assert (fit.study.key, fit.parts) == ("placement-repetition", 2)
    both["generation"] |= {"Start_4+8_4"}  # of equals, the study as it is
    assert fitted(load_study("placement"), both, tiny).study is load_study("placement")
