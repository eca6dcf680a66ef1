"""Pairs: records that do not belong together are refused, and the rest are one table."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from latent_core.errors import SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.pairs import check_records, effect_of, p_short_of, pair
from latent_core.statistics.inference import paired_effect
from latent_core.tasks.table import load_task
from tests.hypotheses.made_up import MIXED, records

CLAIM = Hypothesis("a", "repetition", Contrast(MIXED, "End_2"), "greater", 0.25, "id")
GROWS = replace(CLAIM, contrast=Contrast(MIXED, "End_2", "id"), split="ood-6")
FINGERPRINT = load_task("repetition").fingerprint


def test_records_that_do_not_pair_are_refused(gain) -> None:
    ours, theirs = records(MIXED, 0.3), records("Start_2", 0.0)
    other_seed = theirs.assign(seed=theirs["seed"] + 1)
    other_examples = theirs.assign(key=theirs["key"] + "'")
    for control, says in (
        (other_seed, "treatment has seeds [0, 1, 2, 3, 4] and the control [1, 2, 3, 4, 5]"),
        (other_examples, "400 of 400 examples were not answered by both"),
        (theirs[theirs["example"] < 19], "20 of 400 examples were not"),
        (theirs.assign(backbone="other"), "the treatment ran on backbone 'tiny' and the control"),
        (theirs.assign(task="summation"), "the control are of task 'summation'; expected"),
        (theirs.drop(columns="graded").assign(exact=True), "the control have no column graded"),
        (pd.concat([theirs, theirs]), "the control hold an example of one seed twice"),
    ):
        with pytest.raises(SettingError, match=re.escape(says)):
            pair(gain, ours, control)
    with pytest.raises(SettingError, match="the treatment have no column graded"):
        pair(gain, ours.drop(columns="graded"), theirs)
    with pytest.raises(SettingError, match="20 of 400 examples were not"):
        pair(gain, ours[ours["example"] < 19], theirs)


def side(**change) -> pd.DataFrame:
    """Two seeds of two examples in two splits."""
    rows = [
        (seed, split, n, f"k{n}", 0.1 * n + seed)
        for seed in (4, 2)
        for split in ("id", "ood-6")
        for n in range(2)
    ]
    frame = pd.DataFrame(rows, columns=["seed", "split", "example", "key", "graded"])
    return frame.assign(**change)


def test_pairs_are_one_table_of_the_splits_that_count() -> None:
    found = pair(CLAIM, side(level=3, exact=True), side(graded=0.5).iloc[::-1])
    assert found.to_dict("list") == {
        "seed": [4, 4, 2, 2],
        "split": ["id"] * 4,
        "example": [0, 1, 0, 1],
        "key": ["k0", "k1", "k0", "k1"],
        "level": [3] * 4,
        "treatment": [4.0, 4.1, 2.0, 2.1],
        "control": [0.5] * 4,
        "difference": pytest.approx([3.5, 3.6, 1.5, 1.6]),
    }
    exact = replace(CLAIM, metric="exact")
    true = pair(exact, side(exact=True, backbone="a"), side(exact=False))
    assert true["difference"].tolist() == [1.0] * 4 and "level" not in true
    assert len(pair(CLAIM, side(backbone="a"), side(backbone="a"))) == 4
    one = side(backbone="a").iloc[:1]
    assert len(pair(CLAIM, one, one)) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"backbone": ["b", "a"] * 4}, "the records of X are of backbone 'a', 'b'; expected one"),
        ({"graded": [0.5, np.nan] * 4}, "the records of X have no graded for some examples"),
        ({"split": ["ood-8", "ood-6"] * 4}, "X lack split id; they have ood-8, ood-6"),
        ({"task": ["summation", "lookup"] * 4}, "are of task 'lookup', 'summation'; expected"),
        (
            {"task": "repetition", "task_fingerprint": "0" * 16},
            f"of task 'repetition (00000000)'; expected 'repetition' ({FINGERPRINT[:8]}) alone",
        ),
        (
            {"task": "repetition (00000000)", "task_fingerprint": "0" * 16},
            "of task 'repetition (00000000)'; expected",
        ),
    ],
)
def test_records_of_something_else_are_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(SettingError, match=re.escape(says)):
        check_records(CLAIM, side(**change), "X")
    with pytest.raises(SettingError, match="X have no column graded, key; expected those"):
        check_records(CLAIM, side(**change).drop(columns=["key", "graded"]), "X")


@pytest.mark.parametrize("change", [{"graded": 0.75}, {"key": "other"}, {"steps": 7}])
def test_two_answers_to_one_example_are_refused_whatever_else_they_say(change) -> None:
    """Runs of two settings, say, which would count twice."""
    twice = pd.concat([side(), side(**change)])
    with pytest.raises(SettingError, match="hold an example of one seed twice"):
        check_records(CLAIM, twice, "X")


def test_a_table_without_a_row_has_no_split() -> None:
    with pytest.raises(SettingError, match=r"the records of X lack split id; they have none$"):
        check_records(CLAIM, side().iloc[:0], "X")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"task": "repetition"},
        {"task": "a new name", "task_fingerprint": FINGERPRINT},
        {"task": "repetition", "task_fingerprint": None},
        {"task": "repetition", "task_fingerprint": [FINGERPRINT, None] * 4},
        {"backbone": "a", "graded": [0.5, 0.5, np.nan, np.nan] * 2},  # of a split that is not asked
    ],
)
def test_records_of_the_task_are_taken_whatever_they_call_it(change: dict[str, object]) -> None:
    assert check_records(CLAIM, side(**change), "X")["split"].tolist() == ["id"] * 4


def differences(direction: int = 1) -> pd.DataFrame:
    """Three seeds of three examples in two splits, which have the same names in both."""
    rows = [
        (seed, split, n, f"k{n}", direction * (0.1 * seed + 0.2 * (split == "id") + noise))
        for seed in range(3)
        for split in ("ood-6", "id")
        for n, noise in enumerate((0.01, -0.02, 0.01))
    ]
    return pd.DataFrame(rows, columns=["seed", "split", "example", "key", "difference"])


def of_their_own(frame: pd.DataFrame) -> pd.DataFrame:
    """The same records, where no two seeds answer the same example."""
    return frame.assign(key=frame["seed"].astype(str) + frame["key"])


def test_an_interaction_weighs_its_splits_and_shares_no_example_between_them() -> None:
    frame = differences().assign(other=lambda f: f["difference"] ** 2)
    found = effect_of(GROWS, frame, "other", 0.8, exact=True)
    strata = (frame["split"] == "id").to_numpy(int)
    wanted = paired_effect(
        frame["other"], frame["seed"], 3 * strata + frame["example"], strata, (1, -1), 0.8
    )
    assert found == wanted and found.p_exact == 2 / 8
    assert np.isnan(effect_of(GROWS, frame).p_exact)
    assert effect_of(GROWS, frame).confidence == 0.95


@pytest.mark.parametrize("sign", [1, -1], ids=["greater", "less"])
@pytest.mark.parametrize("least", [0.15, 0.5])
def test_p_short_is_that_of_a_one_sided_t_test_against_the_smallest_effect(sign, least) -> None:
    """Seeds' means of 0.2, 0.3 and 0.4 on `id`: above 0.15, and below 0.5."""
    direction = "greater" if sign > 0 else "less"
    claim = replace(CLAIM, direction=direction, smallest_effect=least)
    frame = of_their_own(differences(sign).query("split == 'id'"))
    test = stats.ttest_1samp([0.2, 0.3, 0.4], least, alternative="less")
    assert p_short_of(claim, frame) == pytest.approx(test.pvalue)
    renamed = frame.rename(columns={"difference": "beyond"})
    assert p_short_of(claim, renamed, "beyond") == pytest.approx(test.pvalue)


def test_the_smallest_effect_of_an_interaction_is_subtracted_once() -> None:
    frame = of_their_own(differences())
    frame["difference"] *= np.where(frame["split"] == "id", -1, 1)  # 0.1 s + 0.2 + 0.1 s
    claim = replace(GROWS, smallest_effect=0.8)
    test = stats.ttest_1samp([0.2, 0.4, 0.6], 0.8, alternative="less")
    assert p_short_of(claim, frame) == pytest.approx(test.pvalue)
