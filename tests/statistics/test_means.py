import numpy as np
import pandas as pd
import pytest
from scipy import stats

from latent_core.errors import SettingError
from latent_core.statistics.inference import holm, mean_ends_p, paired_effect, sign_flip_p
from latent_core.statistics.means import mean_interval, paired_difference, summarise


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


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    studies = 200
    for _ in range(studies):
        effects = rng.normal(0.0, 0.3, size=20)  # 20 seeds, true mean 0
        values = np.repeat(effects, 30) + rng.normal(0.0, 1.0, size=600)
        interval = mean_interval(values, np.repeat(np.arange(20), 30))
        covered += interval.low <= 0.0 <= interval.high
    assert 0.88 <= covered / studies <= 0.99


def test_it_covers_it_with_five_seeds_that_answer_the_same_examples() -> None:
    """Where drawing seeds, and examples anew within each, misses it in one study of six."""
    rng = np.random.default_rng(7)
    seeds, examples, studies = np.repeat(np.arange(5), 50), np.tile(np.arange(50), 5), 200
    missed = 0
    for _ in range(studies):
        luck, hard = rng.normal(0.0, 0.1, size=5), rng.normal(0.0, 0.3, size=50)
        values = luck[seeds] + hard[examples] + rng.normal(0.0, 0.3, size=250)
        interval = mean_interval(values, seeds, examples)
        missed += not interval.low <= 0.0 <= interval.high
    assert missed / studies <= 0.10


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
    with pytest.raises(SettingError, match="confidence is 1"):
        mean_interval([1.0], [0], confidence=1)
    with pytest.raises(SettingError, match="no records"):
        mean_interval([], [])


def test_summary_keeps_the_order_of_the_records() -> None:
    table = summarise(_records())
    assert list(table["method"]) == ["A", "B"]
    assert list(table["mean"]) == [0.75, 0.25]


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
