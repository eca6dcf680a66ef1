"""Intervals and p-values, by hand and by SciPy; draws kept or drawn anew give the same means."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from latent_core.errors import SettingError
from latent_core.statistics import resampling
from latent_core.statistics.inference import (
    agreeing,
    holm,
    mean_ends_p,
    paired_effect,
    sign_flip_p,
)
from latent_core.statistics.resampling import resampled_means


def test_seeds_count_alike_and_terms_are_weighted() -> None:
    values = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    effect = paired_effect(values, [0, 0, 0, 0, 1, 1], range(6))
    assert effect.mean == 0.5 and effect.seed_means == (1.0, 0.0) and effect.records == 6
    inner = paired_effect(
        [3.0, 3.0, 1.0, 1.0] * 2, [0] * 4 + [1] * 4, range(8), [0, 0, 1, 1] * 2, [1, -1]
    )
    assert inner.mean == 2.0


def test_shared_examples_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    values = np.tile(rng.normal(size=30), (5, 1)) + 0.1 * rng.normal(size=(5, 30))
    seeds = np.repeat(np.arange(5), 30)
    same = paired_effect(values.ravel(), seeds, np.tile(np.arange(30), 5))
    other = paired_effect(values.ravel(), seeds, np.arange(150))
    error = values[0].std(ddof=1) / math.sqrt(30)  # more seeds make no difference to it
    assert same.high - same.mean > 2.0 * error
    assert other.high - other.mean < 1.2 * error


def test_one_seed_is_about_its_examples() -> None:
    values = np.array([0.0] * 50 + [1.0] * 50)
    effect = paired_effect(values, np.zeros(100), np.arange(100))
    assert effect.low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.015)
    assert math.isnan(effect.sd_seeds) and effect.p_exact < 0.001


def test_what_never_varied_is_not_certain() -> None:
    """No change in 100 examples leaves room for one in 28 (rule of three, on both sides)."""
    same = paired_effect(np.full(16, 0.1), np.zeros(16), np.arange(16))
    assert same.low < 0 and same.p == pytest.approx(2 * 0.9**16)
    effect = paired_effect(np.zeros(100), np.zeros(100), np.arange(100))
    assert effect.high == pytest.approx(1 - 0.025 ** (1 / 100)) and effect.p == 1.0


@pytest.mark.parametrize("seeds", [1, 3])
def test_interval_and_p_say_the_same_of_zero(seeds: int) -> None:
    """Few examples that change much: each of t, bootstrap and sign flips would say its own."""
    rng, owners = np.random.default_rng(5), np.repeat(np.arange(seeds), 16)
    for _ in range(60):
        change = rng.random(owners.size) < rng.uniform(0.05, 0.6)
        values = np.where(change, -rng.random(owners.size), 0.0)
        effect = paired_effect(values, owners, np.arange(owners.size), resamples=300)
        assert (effect.low <= 0 <= effect.high) == (effect.p >= 0.05 - 1e-12)


def test_signs_are_flipped_exactly() -> None:
    assert sign_flip_p([1.0, 2.0, 3.0, 4.0, 5.0]) == 2 / 32
    assert sign_flip_p([1.0, -1.0, 1.0, -1.0]) == 1.0


def test_p_values_are_adjusted_as_statsmodels_does_it() -> None:
    assert holm([]) == []
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    rng = np.random.default_rng(0)
    for count in (1, 2, 5, 30):
        p_values = np.round(rng.random(count) ** 3, 2).tolist()  # some are equal, some reach 1
        assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_with_one_seed_p_is_no_smaller_than_that_of_flipping_signs() -> None:
    """Four examples that agree: p is 0.0002 by Student's t, but there are only 16 ways to flip."""
    effect = paired_effect([0.9, 1.0, 1.1, 1.0], [0, 0, 0, 0], range(4))
    assert effect.p_exact == effect.p == 2 / 16
    assert effect.low <= 0 < effect.mean


def test_too_little_is_refused() -> None:
    with pytest.raises(SettingError, match="a seed has 1 paired examples"):
        paired_effect([1.0, 2.0, 3.0], [0, 0, 1], [0, 1, 2])
    with pytest.raises(SettingError, match="a seed has 0 paired examples"):
        paired_effect([], [], [])
    for confidence in (0, 1, 1.5):
        with pytest.raises(SettingError, match=f"confidence is {confidence}"):
            paired_effect([1.0, 2.0], [0, 0], [0, 1], confidence=confidence)


#: Two seeds, two terms; a seed has four examples of the first term and two of the second.
UNEVEN = {
    "values": [0.9, 0.1, 0.5, 0.7, 0.2, 0.6, 0.8, 0.6, 0.9, 0.5, 0.4, 0.0],
    "seeds": [7] * 6 + [9] * 6,
    "keys": range(12),
    "strata": [0, 0, 0, 0, 1, 1] * 2,
}


def test_an_estimate_has_the_fields_that_its_formulas_give() -> None:
    effect = paired_effect(**UNEVEN, weights=(0.75, -0.25), confidence=0.9)
    first, second = 0.75 * 0.55 - 0.25 * 0.4, 0.75 * 0.7 - 0.25 * 0.2
    assert effect.seed_means == pytest.approx((first, second))
    assert effect.mean == pytest.approx((first + second) / 2)
    # Sums of squares 0.35 and 0.08, 0.1 and 0.08, with 3 and 1 degrees of freedom.
    variances = np.array([[0.35 / 3, 0.08], [0.1 / 3, 0.08]])
    assert effect.sd_examples == pytest.approx(math.sqrt(variances.mean()))
    assert effect.size == pytest.approx(effect.mean / effect.sd_examples)
    noise = (0.75**2 * variances[:, 0] / 4 + 0.25**2 * variances[:, 1] / 2).mean()
    assert effect.sd_seeds == pytest.approx(math.sqrt((second - first) ** 2 / 2 - noise))
    assert (effect.seeds, effect.records, effect.confidence) == (2, 12, 0.9)


def test_the_spread_between_seeds_is_what_the_examples_leave() -> None:
    near, far = np.array([0.1, 0.3, 0.2, 0.4]), np.array([0.7, 0.9, 0.5, 0.9])
    effect = paired_effect([*near, *far], [0] * 4 + [1] * 4, range(8))
    noise = (near.var(ddof=1) / 4 + far.var(ddof=1) / 4) / 2
    assert effect.sd_seeds == pytest.approx(math.sqrt(0.5**2 / 2 - noise))
    alike = paired_effect([*near, *near], [0] * 4 + [1] * 4, range(8))
    assert alike.sd_seeds == 0.0, "they differ less than their examples let them"
    assert math.isnan(paired_effect([0.5] * 4, [0, 0, 1, 1], range(4)).size)


@pytest.mark.parametrize("weights", [(1.0, -1.0), (0.5, -0.5)])
def test_one_seed_with_two_terms_has_welchs_interval(weights: tuple[float, float]) -> None:
    ours, theirs = np.array([0.9, 0.4, 0.6, 0.8, 0.7, 0.3]), np.array([0.1, 0.5, 0.2])
    effect = paired_effect([*ours, *theirs], [0] * 9, range(9), [0] * 6 + [1] * 3, weights, 0.9)
    test = stats.ttest_ind(weights[0] * ours, weights[0] * theirs, equal_var=False)
    wanted = test.confidence_interval(0.9)
    assert (effect.low, effect.high) == pytest.approx((wanted.low, wanted.high))
    assert effect.p == pytest.approx(test.pvalue)
    assert math.isnan(effect.p_exact), "equal gains need not be zero"


@pytest.mark.parametrize("values", [[0.2, 0.5], [0.2, 0.5, 0.1, 0.4, 0.4]])
def test_one_seed_has_students_interval_where_bca_is_narrower(values: list[float]) -> None:
    mean, low, high, p = mean_ends_p(values, [0] * len(values), range(len(values)), 0.8)
    test = stats.ttest_1samp(values, 0.0)
    wanted = test.confidence_interval(0.8)
    assert (mean, low, high, p) == pytest.approx((np.mean(values), *wanted, test.pvalue))


def test_one_seed_has_bcas_end_where_the_examples_are_skewed() -> None:
    values = np.random.default_rng(4).exponential(size=40) ** 2
    _, low, high, _ = mean_ends_p(values, np.zeros(40), np.arange(40), 0.8)
    bca = stats.bootstrap((values,), np.mean, confidence_level=0.8, rng=7).confidence_interval
    t = stats.ttest_1samp(values, 0.0).confidence_interval(0.8)
    assert bca.high > t.high and low == pytest.approx(t.low)
    assert high == pytest.approx(bca.high, abs=0.1 * (bca.high - t.high))


def test_many_seeds_have_students_interval_over_their_means() -> None:
    values = [0.1, 0.3, 0.6, 0.4, 0.9, 0.7]  # fewer examples than seeds
    effect = paired_effect(values, [0, 0, 1, 1, 2, 2], range(6), confidence=0.9, exact=False)
    test = stats.ttest_1samp([0.2, 0.5, 0.8], 0.0)
    wanted = test.confidence_interval(0.9)
    assert (effect.low, effect.high, effect.p) == pytest.approx((*wanted, test.pvalue))
    assert math.isnan(effect.p_exact)


def test_with_many_seeds_p_may_be_below_that_of_flipping_signs() -> None:
    """Five seeds can be flipped in 32 ways, so that p by flipping is never below 0.0625."""
    values = np.repeat([0.5, 0.6, 0.7, 0.6, 0.5], 4) + np.tile([-0.1, 0.0, 0.0, 0.1], 5)
    effect = paired_effect(values, np.repeat(range(5), 4), range(20))
    assert effect.p_exact == 2 / 32 and effect.p < 0.001


@pytest.mark.parametrize(
    ("kept", "at_once", "second"), [(32_000_000, 4_000_000, 0.3), (0, 9_000, 0.2)]
)
def test_seeds_that_agree_by_luck_have_the_interval_of_the_bootstrap(
    monkeypatch, kept: int, at_once: int, second: float
) -> None:
    """Many examples make it normal, with the variance of drawing seeds, then examples."""
    monkeypatch.setattr(resampling, "_BYTES_KEPT", kept)
    monkeypatch.setattr(resampling, "NUMBERS_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    cells = [rng.normal(size=60) for _ in range(6)]
    cells = [(cell - cell.mean()) / cell.std() for cell in cells]
    means = (0.3, second, 0.3)
    values = np.concatenate([mean + cell for mean, cell in zip(means * 2, cells, strict=True)])
    strata = np.repeat([0, 1], 180)
    owners = np.tile(np.repeat(range(3), 60), 2)
    effect = paired_effect(values, owners, range(360), strata, (2.0, -1.0), 0.9, 40_000)
    # Five variances of 1 / 60 a seed, and the variance between the means of three seeds.
    spread = math.sqrt((5 / 60 + np.var(means)) / 3)
    ends = effect.mean - 1.645 * spread, effect.mean + 1.645 * spread
    assert (effect.low, effect.high) == pytest.approx(ends, abs=0.04 * spread)
    assert effect.p == pytest.approx(2 * stats.norm.sf(effect.mean / spread), rel=0.06)


@pytest.mark.parametrize(("count", "examples"), [(5, 3), (5, 12), (2, 12)])
def test_shared_examples_have_the_variance_of_a_crossed_layout(count: int, examples: int) -> None:
    rng = np.random.default_rng(2)
    table = rng.normal(size=examples) + rng.normal(0.3, 0.4, size=(count, 1))
    table = table + 0.3 * rng.normal(size=(count, examples))
    seeds, keys = np.repeat(range(count), examples), np.tile(range(examples), count)
    mean, low, high, p = mean_ends_p(table.ravel(), seeds, keys)
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + mean
    of_examples = count * table.mean(axis=0).var(
        ddof=1
    )  # mean squares of two-way analysis of variance
    residual = (rest**2).sum() / ((count - 1) * (examples - 1))
    assert of_examples > residual
    variance = table.mean(axis=1).var(ddof=1) / count + (of_examples - residual) / (
        count * examples
    )
    freedom = min(count, examples) - 1
    half = stats.t.ppf(0.975, freedom) * math.sqrt(variance)
    assert (low, high) == pytest.approx((mean - half, mean + half))
    assert p == pytest.approx(2 * stats.t.sf(abs(mean) / math.sqrt(variance), freedom))


def test_examples_that_only_some_seeds_share_are_summed_one_by_one() -> None:
    """Two terms, three seeds of four to six examples, and names that two terms have in common."""
    rng = np.random.default_rng(6)
    weights, rows = (1.5, -0.5), []
    for seed, term in itertools.product(range(3), range(2)):
        hard = np.random.default_rng(term).normal(size=6)
        asked = range(seed, 6) if term else range(6 - seed)
        rows += [(seed, term, n, hard[n] + 0.2 * rng.normal()) for n in asked]
    seeds, terms, keys, values = map(np.array, zip(*rows, strict=True))

    def cell(seed: int, term: int) -> np.ndarray:
        return values[(seeds == seed) & (terms == term)]

    shared = 0.0
    for term, key in itertools.product(range(2), range(6)):
        errors = []
        for seed, stratum, name, value in rows:
            if (stratum, name) == (term, key):
                count = len(cell(seed, term))
                scale = weights[term] / (3 * count) * math.sqrt(count / (count - 1))
                errors.append((value - cell(seed, term).mean()) * scale)
        if len(errors) > 1:
            shared += sum(errors) ** 2 - len(errors) * np.var(errors, ddof=1)
    means = [1.5 * cell(seed, 0).mean() - 0.5 * cell(seed, 1).mean() for seed in range(3)]
    half = stats.t.ppf(0.975, 2) * math.sqrt(np.var(means, ddof=1) / 3 + shared)
    effect = paired_effect(values, seeds, keys, terms, weights)
    assert effect.high - effect.mean == pytest.approx(half)


def test_a_single_shared_example_says_nothing_of_others() -> None:
    """The interval is Student's over the two seeds."""
    _, low, high, p = mean_ends_p([0.2, 0.6], [0, 1], [0, 0], 0.8)
    test = stats.ttest_1samp([0.2, 0.6], 0.0)
    assert (low, high, p) == pytest.approx((*test.confidence_interval(0.8), test.pvalue))


def test_seeds_that_agree_exactly_are_as_certain_as_their_examples() -> None:
    assert mean_ends_p([0.0, 1.0] * 60, np.repeat([0, 1, 2], 40), range(120))[3] < 1e-6


def test_examples_that_oppose_each_other_do_not_narrow_the_interval() -> None:
    """A variance that is estimated as negative is none."""
    values, seeds = [0.1, 0.3, 0.5, 0.7, 0.5, 0.3], [0, 0, 0, 1, 1, 1]
    alike = mean_ends_p(values, seeds, [0, 1, 2, 0, 1, 2])
    assert alike == mean_ends_p(values, seeds, range(6))


@pytest.mark.parametrize("split", [False, True])
def test_one_seeds_signs_are_flipped_example_by_example(split: bool) -> None:
    """Each counts by its share of the mean: by hand, over every way to flip."""
    values, strata = np.array([0.4, 0.2, -0.5, 0.5, 0.3, 0.9]), [0, 0, 0, 0, 1, 1]
    weights, shares = ((0.5, 0.5), np.array([1 / 8] * 4 + [1 / 4] * 2))
    if not split:
        strata, weights, shares = None, (1.0,), np.array([1 / 6] * 6)
    parts = shares * values
    ways = [sum(parts * signs) for signs in itertools.product((-1, 1), repeat=6)]
    wanted = np.mean([abs(way) >= abs(parts.sum()) - 1e-12 for way in ways])
    assert paired_effect(values, [0] * 6, range(6), strata, weights).p_exact == wanted


def test_few_signs_are_flipped_in_every_way_and_many_by_chance() -> None:
    assert sign_flip_p([1.0]) == 1.0
    assert sign_flip_p([1.0, 1.0]) == 2 / 4
    assert sign_flip_p([0.0, 1.0, 1.0, 0.0]) == 2 / 4
    drawn = np.random.default_rng(0).normal(0.6, 1.0, size=12)
    by_chance = sign_flip_p(drawn, resamples=499)
    assert by_chance == sign_flip_p(drawn, resamples=499), "the same for the same input"
    assert by_chance * 500 == pytest.approx(round(by_chance * 500))
    assert by_chance == pytest.approx(sign_flip_p(drawn), abs=0.03)


def test_an_interval_is_the_same_each_time() -> None:
    values = np.random.default_rng(0).exponential(size=20)
    for seeds in (np.zeros(20), np.repeat([0, 1], 10)):
        found = [mean_ends_p(values + 0.5 * (seeds < 1), seeds, range(20)) for _ in range(2)]
        assert found[0] == found[1]


#: Low end, high end and p before, and after.
AGREEING = [
    ((0.1, 0.2, 0.04), (0.1, 0.2, 0.04)),  # both exclude zero
    ((0.1, 0.2, 0.05), (0.0, 0.2, 0.05)),  # p leaves zero open
    ((-0.2, -0.1, 0.3), (-0.2, 0.0, 0.3)),
    ((-0.1, 0.2, 0.04), (-0.1, 0.2, 0.05)),  # the interval leaves it open
    ((0.0, 0.2, 0.04), (0.0, 0.2, 0.05)),
    ((-0.2, 0.0, 0.04), (-0.2, 0.0, 0.05)),
    ((0.0, 0.0, 1 + 1e-15), (0.0, 0.0, 1.0)),  # two tails of one half each, after rounding
]


@pytest.mark.parametrize(("before", "after"), AGREEING)
def test_interval_and_p_are_widened_to_agree(before, after) -> None:
    found = agreeing(*before, 0.95)
    assert found == pytest.approx(after) and found[2] <= 1


def test_kept_draws_give_the_means_of_draws_that_are_not_kept(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    sizes = [(7, 300), (40, 5), (1, 2)]
    cells = [[rng.normal(size=size) for size in row] for row in sizes]
    kept = [resampled_means(cells, (0.5, -1.0), 500) for _ in range(2)]
    monkeypatch.setattr(resampling, "_BYTES_KEPT", 0)
    anew = resampled_means(cells, (0.5, -1.0), 500)
    assert np.array_equal(*kept)
    assert anew == pytest.approx(kept[0], abs=1e-12)
    assert anew.std() > 0.05


def test_draws_of_one_shape_do_not_depend_on_what_was_drawn_before() -> None:
    cells = [[np.arange(5.0)], [np.arange(3.0)]]
    first = resampled_means(cells, (1.0,), 50)
    resampled_means([[np.arange(9.0)]] * 3, (1.0,), 50)
    resampling._kept.cache_clear()
    assert np.array_equal(first, resampled_means(cells, (1.0,), 50))


def test_draws_are_counted_in_parts_as_all_at_once(monkeypatch) -> None:
    cells = [[np.arange(7.0)], [np.arange(5.0) ** 2]]
    found = []
    for numbers in (100_000, 8):
        monkeypatch.setattr(resampling, "_COUNTED_AT_ONCE", numbers)
        resampling._kept.cache_clear()
        found.append(resampled_means(cells, (1.0,), 50))
    assert (found[0] == found[1]).all()
