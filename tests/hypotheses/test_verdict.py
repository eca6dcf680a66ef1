"""Verdicts: each rule holds at its boundary, and on made-up records.

The seeds and examples that would settle a test are those at which the interval is narrow enough.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from latent_core.hypotheses import lab
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.evidence import Evidence
from latent_core.hypotheses.plan import Assumptions
from latent_core.hypotheses.verdict import exact_text, judge, more_seeds_or_examples
from latent_core.statistics.inference import Effect
from tests.hypotheses.made_up import (
    LEAST,
    MIXED,
    effect,
    evidence,
    mirrored,
    records,
    verdict_of,
)

EXAMPLES = 20
ASSUMED = Assumptions(0.3, 0.9, "made up")  # only the spread between seeds may be used

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
    assert verdict.outcome == title.lower().removeprefix("strongly ")
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
    assert verdict.outcome == title.lower().removeprefix("strongly ")
    assert ("(control 0, control 1)" in verdict.reason) == (title == "STRONGLY SUPPORTED")
    assert "control 1" in verdict.reason


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
    assert one.reason == (
        "the interval excludes zero and the estimate reaches 0.25; there is no control. There is "
        "one training seed, so the verdict is about this adapter only."
    )
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


def test_a_refuted_claim_says_whether_its_interval_falls_short_or_is_on_the_other_side() -> None:
    assert judge(evidence(effect(-0.2, 0.0, 0.2)), 0.9).reason == (
        "the whole interval falls short of the smallest effect, 0.25."
    )
    assert judge(evidence(effect(-0.3, -0.2, 0.0)), 0.9).reason.startswith("the whole interval f")
    assert judge(evidence(effect(-0.3, -0.2, -0.1)), 0.9).reason == (
        "the whole interval lies on the other side of zero."
    )
    short = judge(evidence(effect(0.1, 0.2, 0.3)), 0.01).reason
    assert short == "the interval excludes zero, but the estimate does not reach 0.25."


@pytest.mark.parametrize(
    ("less", "level", "says"),
    [
        (False, 0.8, "the control scores 0.80, too high for an effect of 0.25 to show"),
        (True, 0.2, "the control scores 0.20, too low for an effect of 0.25 to show"),
    ],
)
def test_a_control_without_room_is_said_with_its_score(less: bool, level: float, says: str) -> None:
    assert judge(evidence(effect(-0.1, 0.0, 0.1), level=level, less=less), 0.9).reason.startswith(
        says
    )


def test_the_room_is_that_of_the_mean_over_splits_and_agreement_needs_none() -> None:
    """A split with many examples counts no more than one with few."""
    found = evidence(effect(-0.1, 0.0, 0.1))
    scores = pd.DataFrame({"split": ["a", "a", "a", "b"], "control": [0.9, 0.9, 0.9, 0.5]})
    assert judge(replace(found, frame=scores), 0.9).outcome == "refuted"  # 0.7, and not 0.8
    full = evidence(effect(-0.1, 0.0, 0.1), level=1.0)
    agreement = replace(full.hypothesis, metric="agreement")
    assert judge(replace(full, hypothesis=agreement), 0.9).outcome == "refuted"


def test_of_two_open_controls_the_one_that_is_exceeded_least_says_what_would_settle() -> None:
    """The second is exceeded by less; both are named."""
    wide, near, far = (effect(-0.1, mean, 0.9) for mean in (0.4, 0.05, 0.12))
    for less in (False, True):
        turn = mirrored if less else (lambda e: e)
        pairs = [(turn(far), turn(wide)), (turn(near), turn(wide))]
        found = evidence(turn(effect(0.3, 0.4, 0.5)), *pairs, less=less)
        verdict = judge(found, 0.01)
        assert verdict.reason == (
            "the effect does not differ significantly from that of the control control 0 and "
            "control 1."
        )
        assert verdict.settle == more_seeds_or_examples(found, turn(near))
        assert verdict.settle != more_seeds_or_examples(found, turn(far))


def test_what_would_settle_counts_the_tests_of_the_family() -> None:
    for main, p_holm in ((effect(0.1, 0.3, 0.5), 0.06), (effect(-0.1, 0.3, 0.5), 0.01)):
        found = evidence(main)
        settle = judge(found, p_holm, tests=9).settle
        assert settle == more_seeds_or_examples(found, main, 9)
        assert settle != judge(found, p_holm).settle


# --- what is said and kept ------------------------------------------------------------------------


def told() -> Evidence:
    """Evidence with something to say on every line."""
    main = replace(effect(0.3, 0.4, 0.5), p_exact=0.0625, p=0.0123)
    found = evidence(main, (effect(0.2, 0.4, 0.6), effect(0.1, 0.4, 0.7)))
    scores = pd.DataFrame({"split": ["id", "id"], "treatment": [1.0, 0.5], "control": [0.25, 0.25]})
    return replace(found, frame=scores, not_run={"random": "no adapter"}, notes=("a note",))


def test_the_summary_is_said_line_by_line() -> None:
    verdict = judge(told(), 0.0246, 2, "tested once before")
    assert verdict.summary().splitlines() == [
        "STRONGLY SUPPORTED: a",
        "  the interval excludes zero and the estimate reaches 0.25; no control (control 0) shows "
        "the same effect.",
        "contrast    Start_1+Comma_1 - End_2; graded on repetition, id",
        "estimate    +0.400 [+0.300, +0.500]; expected greater, by at least 0.25",
        "p           0.012; adjusted 0.025 (Holm, 2 tests of 'a'); 0.062 in the sign-flip test "
        "over seeds",
        "size        d = +0.50; sd 0.40 between examples, 0.10 between seeds",
        "data        5 training seeds, 100 paired examples",
        "scores      id: treatment 0.75, control 0.25",
        "control     control 0: effect +0.000 [-0.100, +0.100]; beyond it +0.400 [+0.200, +0.600]",
        "not run     random: no adapter",
        "note        a note",
        "journal     tested once before",
    ]
    assert repr(verdict) == verdict.summary() and "<pre" in verdict._repr_html_()
    assert verdict.means().to_dict("index") == {"id": {"treatment": 0.75, "control": 0.25}}


def test_the_summary_leaves_out_what_is_not_known_and_says_what_would_settle() -> None:
    one = replace(effect(-0.1, 0.1, 0.5, seeds=1), size=math.nan, p_exact=0.5)
    lines = judge(evidence(one), 0.9).summary().splitlines()
    assert lines[4].endswith("; 0.5 in the sign-flip test over examples")
    two = replace(effect(-0.1, 0.1, 0.5, seeds=2), p_exact=0.5)
    assert exact_text(two) == "; 0.5 in the sign-flip test over seeds"
    assert lines[5] == "size        sd 0.40 between examples"
    assert lines[6] == "data        1 training seed, 20 paired examples"
    assert lines[8].startswith("to decide   if the estimate stays the same") and len(lines) == 9
    bare = replace(evidence(effect(-0.2, 0.0, 0.1)), p_short=0.0123)
    lines = judge(bare, 0.9).summary().splitlines()
    assert lines[4] == "p           0.01; adjusted 0.9 (Holm, 1 test of 'a')"
    assert lines[7] == "refuting p  0.012, not adjusted for a study's other parts"
    assert judge(evidence(effect(0.3, 0.4, 0.5)), 0.01).reason == (
        "the interval excludes zero and the estimate reaches 0.25; there is no control."
    )


def test_scores_are_shown_in_the_order_of_the_splits() -> None:
    scores = pd.DataFrame({"split": ["ood-8", "id"], "treatment": [0.5, 1.0], "control": 0.25})
    verdict = judge(replace(evidence(effect(0.3, 0.4, 0.5)), frame=scores), 0.01)
    assert list(verdict.means().index) == ["ood-8", "id"]


def test_the_journal_keeps_the_numbers() -> None:
    verdict = judge(told(), 0.0246, 2)
    assert verdict.to_dict() == {
        "outcome": "supported",
        "strongly": True,
        "mean": 0.4,
        "low": 0.3,
        "high": 0.5,
        "p": 0.0123,
        "p_exact": 0.0625,
        "p_holm": 0.0246,
        "tests": 2,
        "reason": verdict.reason,
        "controls": {"control 0": {"mean": 0.0, "beyond_low": 0.2, "beyond_high": 0.6}},
        "not_run": {"random": "no adapter"},
    }
    assert judge(evidence(effect(0.3, 0.4, 0.5)), 0.01).to_dict()["p_exact"] is None


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


# --- what would settle a test --------------------------------------------------------------------


def effect_of(mean: float, sd_seeds: float, sd_examples: float, seeds: int) -> Effect:
    ends, means = (mean - 0.5, mean + 0.5), (mean,) * seeds
    return Effect(mean, *ends, 0.2, math.nan, 0.5, sd_seeds, sd_examples, seeds, 80, means)


def evidence_of(
    main: Effect,
    direction: str = "greater",
    contrast: Contrast | None = None,
    examples: int = EXAMPLES,
    assumed: Assumptions = ASSUMED,
) -> Evidence:
    contrast = contrast or Contrast("Start_2", "End_2")
    claim = Hypothesis("a", "repetition", contrast, direction, 0.25, "id")
    plan = replace(lab.plan(claim, 5, examples), assumptions=assumed)
    return Evidence(claim, plan, main, (), {}, pd.DataFrame(), "", (), 1.0)


def narrow(
    seeds: int, examples: int, distance: float, between: float, within: float, alpha: float
) -> bool:
    """Whether half of Student's interval is shorter than the distance, for one split."""
    if seeds == 1:
        return stats.t.ppf(1 - alpha / 2, examples - 1) * within / math.sqrt(examples) < distance
    error = math.sqrt((between**2 + within**2 / examples) / seeds)
    return stats.t.ppf(1 - alpha / 2, seeds - 1) * error < distance


@pytest.mark.parametrize("direction", ["greater", "less"])
@pytest.mark.parametrize(
    ("mean", "sd_seeds", "sd_examples", "seeds", "tests"),
    [
        (0.25, 0.3, 0.2, 3, 1),  # reaches the smallest effect: what would support it
        (0.3, 0.3, 0.2, 3, 4),  # at the level of the first of four tests
        (0.1, 0.2, 0.5, 3, 1),  # falls short by 0.15: what would refute it
        (0.1, 0.2, 0.5, 3, 4),  # refuting is not corrected
        (-0.05, 0.3, 0.9, 2, 1),
    ],
)
def test_the_seeds_are_the_fewest_that_are_enough(
    mean, sd_seeds, sd_examples, seeds, tests, direction
) -> None:
    sign = 1 if direction == "greater" else -1
    main = effect_of(sign * mean, sd_seeds, sd_examples, seeds)
    said = more_seeds_or_examples(evidence_of(main, direction), main, tests)
    support = mean >= 0.25
    distance, alpha = (mean, 0.05 / tests) if support else (0.25 - mean, 0.05)
    spreads = distance, sd_seeds, sd_examples, alpha
    fewest = next(n for n in range(seeds, 1000) if narrow(n, EXAMPLES, *spreads))
    sizes = (EXAMPLES * times for times in range(1, 101))
    least = next((n for n in sizes if narrow(seeds, n, *spreads)), None)
    assert said == (
        f"if the estimate stays the same, this would {'support' if support else 'refute'} the "
        f"claim: about {fewest} seeds with 20 examples; or "
        f"{f'about {least}' if least else 'more than 2000'} examples with {seeds} seeds"
    )


def test_one_seed_may_need_only_more_examples() -> None:
    main = effect_of(0.3, math.nan, 1.0, 1)
    said = more_seeds_or_examples(evidence_of(main), main)
    enough = (n for n in range(20, 2001, 20) if narrow(1, n, 0.3, 0.3, 1.0, 0.05))
    fewest = next(n for n in range(2, 99) if narrow(n, EXAMPLES, 0.3, 0.3, 1.0, 0.05))
    assert f"about {fewest} seeds with 20 examples" in said, "the spread of seeds is the assumed"
    assert said.endswith(f"about {next(enough)} examples with 1 seed")


def test_two_seeds_may_be_enough_where_one_is_there() -> None:
    main, alike = effect_of(0.3, math.nan, 0.1, 1), Assumptions(0.0, 0.9, "made up")
    assert narrow(2, EXAMPLES, 0.3, 0.0, 0.1, 0.05) and narrow(1, EXAMPLES, 0.3, 0.0, 0.1, 0.05)
    assert more_seeds_or_examples(evidence_of(main, assumed=alike), main) == (
        "if the estimate stays the same, this would support the claim: about 2 seeds with 20 "
        "examples; or about 20 examples with 1 seed"
    )


@pytest.mark.parametrize(("ratio", "examples"), [(2.6, 3), (2.0, 6)])
def test_few_examples_have_few_degrees_of_freedom(ratio: float, examples: int) -> None:
    """Half of the interval of three is 2.48 standard deviations, of six 1.05."""
    main = effect_of(0.3, math.nan, 0.3 / ratio, 1)
    said = more_seeds_or_examples(evidence_of(main, examples=3), main)
    assert said.endswith(f"or about {examples} examples with 1 seed")


@pytest.mark.parametrize("seeds", [1, 3])
def test_two_splits_add_their_errors(seeds: int) -> None:
    """The difference of two splits has twice the variance of one, and two sets of examples."""
    main = effect_of(0.3, 0.1, 1.0, seeds)
    found = evidence_of(main, contrast=Contrast("Start_2", "End_2", "ood-6"))

    def enough(count: int, examples: int) -> bool:
        if count == 1:
            error = math.sqrt(2 / examples)
            return stats.t.ppf(0.975, 2 * (examples - 1)) * error < 0.3
        return narrow(count, examples, 0.3, 0.1, math.sqrt(2), 0.05)

    fewest = next(n for n in range(max(2, seeds), 999) if enough(n, EXAMPLES))
    least = next(n for n in range(20, 2001, 20) if enough(seeds, n))
    said = more_seeds_or_examples(found, main)
    assert f"about {fewest} seeds" in said and f"about {least} examples" in said


def test_no_number_of_seeds_or_examples_is_promised_where_too_many_are_needed() -> None:
    main = effect_of(0.2499, 0.5, 0.5, 3)
    said = more_seeds_or_examples(evidence_of(main), main)
    assert "refute the claim: more than 1000 seeds with 20 examples" in said
    assert said.endswith("or more than 2000 examples with 3 seeds")


def test_where_data_are_enough_or_do_not_vary_no_numbers_are_given() -> None:
    enough = effect_of(0.3, 0.1, 0.1, 5)
    assert more_seeds_or_examples(evidence_of(enough), enough) == (
        "if the estimate stays the same, a few more seeds would support the claim"
    )
    still = effect_of(0.3, 0.1, 0.0, 5)
    assert more_seeds_or_examples(evidence_of(still), still) == (
        "the differences do not vary; more examples make the interval narrower"
    )
