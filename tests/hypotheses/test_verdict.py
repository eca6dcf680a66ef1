"""Verdicts: each rule holds at its boundary, and on made-up records."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from latent_core.hypotheses import lab
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.evidence import ControlEvidence, Evidence
from latent_core.hypotheses.verdict import judge
from latent_core.statistics.inference import Effect
from tests.hypotheses.made_up import MIXED, records, verdict_of

LEAST = 0.25  # exact in binary, as its neighbours are not


def effect(low: float, mean: float, high: float, seeds: int = 5) -> Effect:
    between = 0.1 if seeds > 1 else math.nan
    means = (mean,) * seeds
    return Effect(mean, low, high, 0.01, math.nan, 0.5, between, 0.4, seeds, 20 * seeds, means)


def mirrored(e: Effect) -> Effect:
    return replace(e, mean=-e.mean, low=-e.high, high=-e.low)


def evidence(
    main: Effect, *beyond: tuple[Effect, Effect], level: float = 0.5, less: bool = False
) -> Evidence:
    """Evidence of a claim that the treatment scores more (or less) by a quarter.

    `beyond` has a pair for each control: the effect beyond it, and the same with a wide interval.
    """
    direction = "less" if less else "greater"
    claim = Hypothesis("a", "repetition", Contrast(MIXED, "End_2"), direction, LEAST, "id")
    scores = pd.DataFrame({"split": ["id"], "treatment": [level], "control": [level]})
    controls = tuple(
        ControlEvidence(f"control {number}", effect(-0.1, 0.0, 0.1), *pair)
        for number, pair in enumerate(beyond)
    )
    seeds = tuple(range(main.seeds))
    return Evidence(claim, lab.plan(claim, 5, 20), main, controls, {}, scores, "", seeds, 1.0)


# --- the rules, at each boundary ------------------------------------------------------------------

JUST = 1e-9
#: Low end, mean, high end, adjusted p, and the title of the verdict.
RULES = [
    # supported: the interval excludes zero, the mean reaches the least, p is at most 0.05
    (JUST, LEAST, 0.5, 0.05, "SUPPORTED"),
    (0.0, LEAST, 0.5, 0.05, "INCONCLUSIVE"),  # the interval includes zero
    (JUST, LEAST - JUST, 0.5, 0.05, "INCONCLUSIVE"),  # the mean falls short
    (JUST, LEAST, 0.5, 0.05 + JUST, "INCONCLUSIVE"),  # p is above the level
    (LEAST, 0.4, 0.5, 0.05 + JUST, "INCONCLUSIVE"),
    # strongly: the whole interval reaches the least
    (LEAST, 0.4, 0.5, 0.05, "STRONGLY SUPPORTED"),
    (LEAST - JUST, 0.4, 0.5, 0.05, "SUPPORTED"),
    # refuted: the whole interval falls short of the least, whatever p is
    (-0.2, 0.0, LEAST - JUST, 0.9, "REFUTED"),
    (-0.2, 0.0, LEAST, 0.9, "INCONCLUSIVE"),
    (JUST, 0.1, LEAST - JUST, 0.01, "REFUTED"),  # significant, but too small to matter
    (-0.5, -0.3, -JUST, 0.01, "REFUTED"),  # the opposite effect
]


@pytest.mark.parametrize("less", [False, True], ids=["greater", "less"])
@pytest.mark.parametrize(("low", "mean", "high", "p_holm", "title"), RULES)
def test_each_rule_holds_at_its_boundary(low, mean, high, p_holm, title, less) -> None:
    main = effect(low, mean, high)
    verdict = judge(evidence(mirrored(main) if less else main, less=less), p_holm)
    assert verdict.title == title
    assert verdict.strongly == title.startswith("STRONGLY")
    assert (verdict.settle == "") == (title != "INCONCLUSIVE")


@pytest.mark.parametrize("less", [False, True], ids=["greater", "less"])
@pytest.mark.parametrize(
    ("beyond_low", "wide_high", "title"),
    [
        (JUST, 0.6, "STRONGLY SUPPORTED"),
        (0.0, 0.6, "INCONCLUSIVE"),  # the effect does not differ from the control's
        (0.0, LEAST, "INCONCLUSIVE"),
        (0.0, LEAST - JUST, "REFUTED"),  # the control shows the effect
        (JUST, LEAST - JUST, "REFUTED"),
    ],
)
def test_the_effect_has_to_go_beyond_every_control(beyond_low, wide_high, title, less) -> None:
    passed = (effect(0.3, 0.4, 0.5), effect(0.2, 0.4, 0.6))
    tried = (effect(beyond_low, 0.2, 0.5), effect(beyond_low - 0.1, 0.2, wide_high))
    main = effect(0.3, 0.4, 0.5)
    if less:
        main, passed, tried = (
            mirrored(main),
            (mirrored(passed[0]), mirrored(passed[1])),
            (mirrored(tried[0]), mirrored(tried[1])),
        )
    verdict = judge(evidence(main, passed, tried, less=less), 0.01)
    assert verdict.title == title
    assert "control 1" in verdict.reason
    assert ("control 0" in verdict.reason) == (title == "STRONGLY SUPPORTED")


@pytest.mark.parametrize(
    ("level", "less", "high", "title"),
    [
        (0.75, False, 0.2, "REFUTED"),
        (0.75 + JUST, False, 0.2, "INCONCLUSIVE"),  # no room above the control
        (0.75 + JUST, False, 0.0, "INCONCLUSIVE"),
        (0.75 + JUST, False, -JUST, "REFUTED"),  # worse than the control, which needs no room
        (0.25, True, 0.2, "REFUTED"),
        (0.25 - JUST, True, 0.2, "INCONCLUSIVE"),  # no room below it
    ],
)
def test_a_control_without_room_refutes_nothing(level, less, high, title) -> None:
    main = effect(-0.3, -0.1, high)
    found = evidence(mirrored(main) if less else main, level=level, less=less)
    assert judge(found, 0.01).title == title


def test_an_interaction_needs_no_room() -> None:
    found = evidence(effect(-0.3, -0.1, 0.2), level=1.0)
    assert judge(found, 0.5).title == "INCONCLUSIVE"
    contrast = Contrast(MIXED, "End_2", minus_split="ood-6")
    inner = replace(found, hypothesis=replace(found.hypothesis, contrast=contrast))
    assert judge(inner, 0.5).title == "REFUTED"


def test_one_seed_is_named_in_title_and_reason() -> None:
    one = judge(evidence(effect(0.3, 0.4, 0.5, seeds=1)), 0.05)
    assert one.title == "STRONGLY SUPPORTED (ONE SEED)"
    assert "about this adapter only" in one.reason
    assert "adapter" not in judge(evidence(effect(0.3, 0.4, 0.5, seeds=2)), 0.05).reason


def test_an_intervention_that_met_no_latent_leaves_the_claim_open() -> None:
    found = replace(evidence(effect(-0.1, 0.0, 0.1)), untried=True)
    assert judge(found, 1.0).title == "INCONCLUSIVE"


def test_a_difference_that_is_not_significant_is_said_with_its_numbers() -> None:
    verdict = judge(evidence(effect(-0.13, 0.08, 0.30)), 0.4)
    assert verdict.reason == (
        "the difference is not significant (+0.080 [-0.130, +0.300], 5 seeds), and its interval "
        "includes the smallest effect, 0.25."
    )


def test_the_reason_names_the_tests_that_holm_counted() -> None:
    found = evidence(effect(0.1, 0.3, 0.5))
    assert "p = 0.06 is above 0.05" in judge(found, 0.06).reason
    reason = judge(found, 0.12, tests=4).reason
    assert "adjusted p-value is 0.12 (Holm's correction for 4 tests of its family)" in reason


# --- on made-up records ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "filler", "title"),
    [
        (0.30, 0.0, "STRONGLY SUPPORTED"),
        (0.30, 0.3, "REFUTED"),
        (0.02, 0.0, "REFUTED"),
        (-0.3, 0.0, "REFUTED"),
        (0.10, 0.0, "INCONCLUSIVE"),
    ],
)
def test_verdicts_on_given_records(gain, tmp_path, shift, filler, title) -> None:
    disagreeing = 0.3 * np.array([-1, -1, 0, 1, 1]) * (title == "INCONCLUSIVE")
    shift = np.repeat(disagreeing, 80) + shift
    sides = [records(MIXED, shift), records("Start_2", 0), records(f"filler({MIXED})", filler)]
    verdict = verdict_of(gain, pd.concat(sides), tmp_path)
    assert verdict.title == title
    assert set(verdict.evidence.not_run) == {"random", "shuffled"}
    assert (verdict.settle != "") == (title == "INCONCLUSIVE")


def test_an_effect_that_cannot_show_is_not_refuted(gain, tmp_path) -> None:
    sides = [records(MIXED, 0.58), records("Start_2", 0.56)]
    verdict = verdict_of(gain, pd.concat(sides), tmp_path)
    assert verdict.outcome == "inconclusive" and "too high for an effect" in verdict.reason


def test_worse_than_a_control_that_leaves_no_room_is_refuted(gain, tmp_path) -> None:
    verdict = verdict_of(gain, pd.concat([records(MIXED, 0.0), records("Start_2", 0.56)]), tmp_path)
    assert verdict.outcome == "refuted" and verdict.effect.high < 0
    assert "on the other side of zero" in verdict.reason


def test_an_effect_like_that_of_a_control_says_what_would_tell_them_apart(gain, tmp_path) -> None:
    luck = np.repeat([-0.3, -0.1, 0.0, 0.1, 0.3], 80)
    sides = [
        records(MIXED, 0.3 + luck),
        records("Start_2", luck),
        records(f"filler({MIXED})", 0.15),
    ]
    verdict = verdict_of(gain, pd.concat(sides), tmp_path)
    assert verdict.effect.low > 0 and verdict.outcome == "inconclusive"
    assert "does not differ significantly from that of the control filler" in verdict.reason
    assert "seeds with 20 examples" in verdict.settle
