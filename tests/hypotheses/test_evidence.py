"""Evidence: a planted effect is found, and what only looks like one is told apart."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from latent_core.hypotheses import lab
from latent_core.hypotheses.conditions import Contrast
from tests.copying import copying_model
from tests.hypotheses.made_up import MIXED, records, verdict_of


def test_a_planted_effect_is_found_and_its_controls_have_lost_it(commas, tmp_path) -> None:
    plan = lab.plan(commas, seeds=2, examples=30)
    verdict = lab.run(commas, [copying_model(), copying_model()], plan, tmp_path, progress=False)
    assert (verdict.outcome, verdict.strongly) == ("supported", True)
    assert verdict.effect.mean == -0.75 and verdict.effect.records == 60
    assert {c.name: c.effect.mean for c in verdict.evidence.controls} == {"random": 0, "filler": 0}
    assert "STRONGLY SUPPORTED" in verdict.summary()
    assert set(verdict.frame["treatment"]) == {0.25} and set(verdict.frame["control"]) == {1.0}


def test_a_claim_whose_control_shows_the_same_effect_is_rejected(commas, tmp_path) -> None:
    """Shuffled, the latents still hold the letter: that each has its own place is no part of it."""
    shuffled = replace(commas, controls=("shuffled",))
    plan = lab.plan(shuffled, seeds=1, examples=40)
    verdict = lab.run(shuffled, copying_model(), plan, tmp_path, progress=False)
    assert verdict.effect.mean == -0.75
    assert verdict.outcome == "refuted"
    assert "the control shuffled shows the same effect" in verdict.reason
    assert "about this adapter only" in verdict.reason


def test_an_intervention_that_meets_no_latent_refutes_nothing(commas, tmp_path) -> None:
    """Nothing changes, in however many examples: there is no fifth latent to be dropped."""
    idle = replace(commas, contrast=Contrast("drop(Comma, after=4)"), controls=())
    plan = lab.plan(idle, seeds=2, examples=200)
    verdict = lab.run(idle, [copying_model(), copying_model()], plan, tmp_path, progress=False)
    assert verdict.effect.mean == 0 and verdict.effect.low > -idle.smallest_effect
    assert verdict.outcome == "inconclusive" and "nothing was tested" in verdict.reason


def test_an_interaction_is_the_difference_of_two_gains(gain, tmp_path) -> None:
    grows = replace(gain, contrast=Contrast(MIXED, "Start_2", minus_split="id"), controls=())
    id_only = ("id",)
    sides = [records(MIXED, 0.4), records("Start_2", 0.0)]
    sides += [records(MIXED, 0.1, id_only), records("Start_2", 0.0, id_only)]
    verdict = verdict_of(grows, pd.concat(sides), tmp_path)
    assert verdict.effect.mean == pytest.approx(0.3, abs=0.02) and verdict.outcome == "supported"


def test_attention_goes_with_effect_where_it_should(commas, tmp_path) -> None:
    """Only one head of one layer acts, and it looks at Comma: the two rank cells alike."""
    looked = replace(
        commas, metric="agreement", contrast=Contrast("none", "chance"), direction="greater"
    )
    plan = lab.plan(looked, seeds=1, examples=4)
    verdict = lab.run(looked, copying_model(), plan, tmp_path, progress=False)
    assert 0.2 < verdict.effect.mean <= 1
    assert not verdict.evidence.controls


def test_p_short_agrees_with_the_interval(gain, tmp_path) -> None:
    """The whole interval falls short where its one-sided p-value is below 2.5 %."""
    for shift in (0.0, 0.06, 0.08, 0.1):
        luck = np.repeat([-0.04, -0.02, 0.0, 0.02, 0.04], 80)
        table = pd.concat([records(MIXED, shift + luck), records("Start_2", 0.0)])
        verdict = verdict_of(gain, table, tmp_path)
        assert (verdict.evidence.p_short < 0.05) == (verdict.effect.high < 0.1), shift
