"""Means with intervals: of records by hand, and of many columns as SciPy has them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from latent_core.errors import SettingError
from latent_core.statistics import means
from latent_core.statistics.inference import holm, mean_ends_p, paired_effect, sign_flip_p
from latent_core.statistics.means import (
    accuracy_interval,
    column_differences,
    column_means,
    mean_interval,
    numbered,
    paired_difference,
    summarise,
)


def test_interval_of_one_seed_is_the_bootstrap_of_its_examples() -> None:
    values = np.array([0.0] * 50 + [1.0] * 50)
    interval = mean_interval(values, np.zeros(100))
    assert interval.mean == 0.5
    # The standard error of a mean of 100 coin flips is 0.05.
    assert interval.low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.015)
    assert interval.high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.015)
    assert (interval.seeds, interval.records) == (1, 100)


def test_seeds_that_disagree_widen_the_interval() -> None:
    seeds = np.repeat(np.arange(5), 200)
    agreeing = np.tile([0.0, 1.0], 500)
    disagreeing = (seeds >= 3).astype(float)  # mean 0.4, all of the variance between seeds
    narrow, wide = mean_interval(agreeing, seeds), mean_interval(disagreeing, seeds)
    assert narrow.high - narrow.low < 0.1
    assert wide.high - wide.low > 0.6


def test_seeds_count_alike_however_many_records_they_have() -> None:
    values, seeds = [1.0] * 90 + [0.0] * 10, [0] * 90 + [1] * 10
    assert mean_interval(values, seeds).mean == 0.5


def test_copies_of_one_run_say_no_more_than_the_run() -> None:
    values = np.tile([0.0, 1.0], 50)
    once = mean_interval(values, np.zeros(100), np.arange(100))
    copied = mean_interval(np.tile(values, 5), np.repeat(np.arange(5), 100), list(range(100)) * 5)
    assert copied.mean == once.mean == 0.5
    # The error is that of the examples; the degrees of freedom are those of five seeds.
    wider = stats.t.ppf(0.975, 4) / stats.t.ppf(0.975, 99)
    assert copied.high - copied.low == pytest.approx(wider * (once.high - once.low), rel=0.05)


def test_a_seed_may_have_more_examples_than_two_bytes_count() -> None:
    values = np.tile([0.0, 1.0], 70_000)
    mean, low, high, _ = mean_ends_p(values, np.repeat([0, 1], 70_000), np.arange(140_000), 0.95, 5)
    assert low <= mean == 0.5 <= high


def test_what_cannot_be_known_has_the_widest_interval() -> None:
    one = mean_interval([0.4], [0], bounds=(0.0, 1.0))
    assert (one.low, one.high) == (0.0, 1.0)
    never = mean_interval([0.0] * 50, [0] * 50, bounds=(0.0, 1.0))
    assert never.low == 0.0
    assert never.high == pytest.approx(0.07, abs=0.005), "the rule of three, at 97.5 %"


def _records() -> pd.DataFrame:
    rows = [
        (method, seed, "id", example, f"k{example}", value)
        for method, value in (("A", 0.75), ("B", 0.25))
        for seed in (0, 1)
        for example in range(4)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "split", "example", "key", "graded"])


def test_paired_difference_pairs_examples_not_means() -> None:
    frame = _records()
    lost = frame.drop(frame[(frame["method"] == "B") & (frame["example"] == 3)].index)
    interval = paired_difference(lost, "A", "B")
    assert interval.mean == pytest.approx(0.5)
    assert interval.records == 6


def test_bad_input_says_what_there_is() -> None:
    frame = _records()
    with pytest.raises(SettingError, match=r"no records of method 'C'; there are A, B"):
        paired_difference(frame, "A", "C")
    with pytest.raises(SettingError, match="no column exact"):
        summarise(frame, metric="exact")
    other = frame.assign(seed=frame["seed"] + 10 * (frame["method"] == "B"))
    with pytest.raises(SettingError, match="share no example"):
        paired_difference(other, "A", "B")
    with pytest.raises(SettingError, match=r"no column exact, seed; they have method, split, "):
        summarise(frame.drop(columns="seed"), metric="exact")
    for confidence in (0, 1, 1.5):
        with pytest.raises(SettingError, match=f"confidence is {confidence}"):
            mean_interval([1.0], [0], confidence=confidence)
    with pytest.raises(SettingError, match="no records"):
        mean_interval([], [])


def test_summary_keeps_the_order_of_the_records() -> None:
    table = summarise(_records().iloc[::-1])
    assert list(table["method"]) == ["B", "A"]
    assert list(table["mean"]) == [0.25, 0.75]


#: Answers of one run, copied to three seeds, so that the error is that of the examples alone.
COPIED = np.array([0.0, 1.0, 1.0, 0.5, 1.0, 0.5])


def _copies(method: str = "A", sign: float = 1.0) -> pd.DataFrame:
    """Three seeds with the same answers; three examples in each of two splits, of one key each."""
    rows = [
        (method, seed, "id" if n < 3 else "ood", n % 3, f"k{n % 3}", sign * value)
        for seed in (3, 5, 8)
        for n, value in enumerate(COPIED)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "split", "example", "key", "graded"])


def _by_student(confidence: float) -> tuple[float, float]:
    """The interval of copied answers: degrees of freedom are those of three seeds."""
    return stats.t.interval(confidence, 2, COPIED.mean(), stats.sem(COPIED))


def test_records_of_one_split_and_key_are_of_one_example() -> None:
    frame = _copies()
    found = accuracy_interval(frame, "graded", 0.8)
    assert (found.low, found.high) == pytest.approx(_by_student(0.8))
    assert (found.seeds, found.records) == (3, 18)
    table = summarise(frame.assign(task="t"), ("task",), "graded", 0.8)
    assert table.loc[0, ["low", "high"]].tolist() == pytest.approx(_by_student(0.8))
    keys = frame["split"] + frame["key"]
    unsplit = accuracy_interval(frame.assign(key=keys).drop(columns="split"), "graded", 0.8)
    assert unsplit == found


def test_records_without_keys_are_of_different_examples() -> None:
    frame = _copies()
    found = accuracy_interval(frame.drop(columns="key"), "graded")
    assert found == mean_interval(frame["graded"], frame["seed"], range(18), bounds=(0.0, 1.0))
    assert found == mean_interval(frame["graded"], frame["seed"], bounds=(0.0, 1.0))
    assert found.high - found.low < accuracy_interval(frame, "graded").high - found.low


def test_no_accuracy_is_outside_zero_and_one_nor_a_difference_outside_their_span() -> None:
    frame = pd.DataFrame({"seed": [0, 0, 1, 1], "graded": [1.0, 0.9, 0.9, 0.0]})
    found = accuracy_interval(frame, "graded")
    assert (found.low, found.high) == (0.0, 1.0)
    sides = [
        frame.assign(method=name, split="id", example=[0, 1] * 2, key=["a", "b"] * 2, graded=values)
        for name, values in (("A", [1.0, 0.8, 0.1, -0.1]), ("B", 0.0))
    ]
    found = paired_difference(pd.concat(sides), "A", "B")
    assert (found.low, found.high) == (-1.0, 1.0)


def test_a_difference_has_the_interval_of_its_examples_and_seeds() -> None:
    frame = pd.concat([_copies("A"), _copies("B", 0.0)])
    found = paired_difference(frame, "A", "B", confidence=0.8)
    assert (found.low, found.high) == pytest.approx(_by_student(0.8))
    assert found.p == pytest.approx(2 * stats.t.sf(COPIED.mean() / stats.sem(COPIED), 2))
    assert (found.seeds, found.records) == (3, 18)
    turned = paired_difference(frame, "B", "A", confidence=0.8)
    assert (turned.mean, turned.low, turned.high) == (-found.mean, -found.high, -found.low)


@pytest.mark.parametrize(
    ("values", "low", "p"),
    [
        ([0.4, 0.4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.7], 0.0, 0.05),  # p alone would be 0.042
        ([0.0, 0.2, 0.0, 0.5, 0, 0, 0, 0, 0.4, 0, 0, 0, 0, 0, 0.8, 0, 0, 0], 0.0, None),
    ],
)
def test_interval_and_p_of_a_difference_say_the_same_of_zero(values, low, p) -> None:
    count = 4 if len(values) == 8 else 6
    seeds, examples = np.divmod(np.arange(len(values)), count)
    side = pd.DataFrame({"seed": seeds, "split": "id", "example": examples, "graded": values})
    side["key"] = [f"k{n}" for n in range(len(values))]
    frame = pd.concat([side.assign(method="A"), side.assign(method="B", graded=0.0)])
    alone = mean_interval(values, seeds)
    assert (alone.p < 0.05) == (alone.low <= 0), "which contradict each other"
    found = paired_difference(frame, "A", "B")
    assert found.low == low and found.high == pytest.approx(alone.high)
    assert found.p == pytest.approx(alone.p if p is None else p)
    turned = paired_difference(frame, "B", "A")
    assert (turned.low, turned.high, turned.p) == pytest.approx((-found.high, -low, found.p))


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
@pytest.mark.parametrize("values", [(0.0, 0.0), (1.0, -1.0), (0.3, 0.3)])
@pytest.mark.parametrize("count", [1, 12])
def test_no_p_value_is_above_one(seeds: tuple[int, ...], values, count: int) -> None:
    """Nothing that varies, and means of exactly zero, are where two tails add up to two."""
    numbers = np.tile(values, count * len(seeds))
    owners, keys = np.repeat(seeds, 2 * count), np.tile(np.arange(2 * count), len(seeds))
    interval, effect = mean_interval(numbers, owners), paired_effect(numbers, owners, keys)
    found = [interval.p, effect.p, effect.p_exact, sign_flip_p(numbers)]
    assert all(0 <= p <= 1 for p in found), found
    assert all(0 <= p <= 1 for p in holm(found))
    if not numbers.any():
        assert found == [1.0] * 4


def test_the_p_value_of_two_methods_that_answer_alike_is_one() -> None:
    frame = _records().assign(graded=0.5)
    assert paired_difference(frame, "A", "B").p == 1.0


@pytest.mark.parametrize("kind", ["object", "str", "category"])
@pytest.mark.parametrize("rows", [7, 100_000])
def test_combinations_are_numbered_as_they_first_appear(
    kind: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(means, "_AT_ONCE", rows)
    rng = np.random.default_rng(0)
    texts = {name: rng.choice(["x", "y", "z", None], 90) for name in ("split", "key")}
    frame = pd.DataFrame(texts, dtype="object").astype(kind)
    frame["level"] = rng.choice([1.0, 2.0, np.nan], 90)
    for columns in (["key"], ["split", "key"], ["level", "key", "split"]):
        groups = frame.groupby(columns, sort=False, dropna=False, observed=True)
        wanted = groups.ngroup().tolist()
        assert numbered(frame, columns).tolist() == wanted
    assert numbered(frame.iloc[:0], ["split", "key"]).empty


def test_each_column_has_students_interval_over_the_rows_that_have_it() -> None:
    values = np.random.default_rng(0).normal(size=(7, 3))
    values[2, 1] = np.nan
    found = column_means(values, 0.9)
    for column in range(3):
        rows = values[np.isfinite(values[:, column]), column]
        wanted = stats.t.interval(0.9, len(rows) - 1, rows.mean(), stats.sem(rows))
        assert found.loc[column, ["low", "high"]].tolist() == pytest.approx(wanted)
    assert found["examples"].tolist() == [7, 6, 7]


def test_one_row_has_a_mean_and_no_interval_and_no_row_has_neither() -> None:
    found = column_means([[0.5, np.nan]])
    assert found.loc[0, "mean"] == 0.5 and found["low"].isna().all()
    assert np.isnan(found.loc[1, "mean"]) and found["examples"].tolist() == [1, 0]


def test_a_difference_of_two_samples_has_welchs_interval() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.0, [1.0, 0.1], (9, 2)), rng.normal(1.0, [3.0, 0.3], (5, 2))
    found = column_differences(one, other)
    for column in range(2):
        test = stats.ttest_ind(one[:, column], other[:, column], equal_var=False)
        wanted = test.confidence_interval(0.95)
        assert found.loc[column, "low"] == pytest.approx(wanted.low)
        assert found.loc[column, "high"] == pytest.approx(wanted.high)
    assert found["examples"].tolist() == [5, 5]


def test_samples_that_do_not_vary_have_an_interval_without_width() -> None:
    found = column_differences([[0.5], [0.5]], [[0.25], [0.25]])
    assert found.iloc[0][["mean", "low", "high"]].tolist() == [0.25, 0.25, 0.25]


def test_a_share_that_is_none_is_refused() -> None:
    for confidence in (0, 1, 1.5):
        with pytest.raises(SettingError, match=f"confidence is {confidence}"):
            column_means([[1.0]], confidence)


def test_none_is_a_row_that_lacks_the_column() -> None:
    assert column_means([[1.0, None], [2.0, 4.0]])["mean"].tolist() == [1.5, 4.0]
