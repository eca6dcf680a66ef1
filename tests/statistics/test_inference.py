"""Intervals and p-values keep their word over a thousand simulated studies."""

import math
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from latent_core.errors import SettingError
from latent_core.hypotheses import lab
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.evidence import ControlEvidence, Evidence
from latent_core.hypotheses.power import power
from latent_core.hypotheses.verdict import judge
from latent_core.statistics.inference import holm, paired_effect, sign_flip_p

STUDIES, SEEDS, EXAMPLES = 1000, 5, 20
LEAST = 0.1
# Three standard errors of a share of 5 % in 1,000 studies are 2 %.
TOLERATED = 0.05 + 0.02


def study(rng, effect, sd_seeds, kind="graded", shared=0.0, seeds=SEEDS, examples=EXAMPLES):
    """Differences (seeds, examples): graded with sd 0.4, or -1, 0 or 1, rarely not 0 if sparse."""
    means = effect + sd_seeds * rng.normal(size=(seeds, 1)) + shared * rng.normal(size=examples)
    if kind == "graded":
        return means + 0.4 * rng.normal(size=(seeds, examples))
    draws = rng.random((seeds, examples))
    if kind == "sparse":
        return (draws < 0.05).astype(float) - (draws > 0.95)
    return (draws < 0.2 + means / 2).astype(float) - (draws > 0.8 + means / 2)


@lru_cache
def estimates(sd_seeds, kind, shared, effect, seeds=SEEDS, examples=EXAMPLES):
    """What is found in each simulated study."""
    rng = np.random.default_rng(3)
    owners = np.repeat(np.arange(seeds), examples)
    keys = np.tile(np.arange(examples), seeds) if shared else np.arange(seeds * examples)
    return [
        paired_effect(
            study(rng, effect, sd_seeds, kind, shared, seeds, examples).ravel(),
            owners,
            keys,
            resamples=300,
            exact=False,
        )
        for _ in range(STUDIES)
    ]


def share(found, meets):
    return float(np.mean([meets(effect) for effect in found]))


@pytest.mark.parametrize(
    ("kind", "sd_seeds", "shared"),
    [("graded", 0.1, 0.0), ("graded", 0.0, 0.0), ("binary", 0.1, 0.0), ("graded", 0.1, 0.3)],
    ids=["seeds differ", "seeds agree", "binary", "examples shared"],
)
def test_without_an_effect_at_most_five_per_cent_are_called_one(kind, sd_seeds, shared) -> None:
    found = estimates(sd_seeds, kind, shared, 0.0)
    assert share(found, lambda e: e.low > 0 or e.high < 0) <= TOLERATED
    assert share(found, lambda e: e.p <= 0.05) <= TOLERATED


@pytest.mark.parametrize("seeds", [1, 2, 3, 10])
@pytest.mark.parametrize("kind", ["graded", "sparse"])
def test_nor_with_few_seeds_or_many(kind: str, seeds: int) -> None:
    found = estimates(0.0 if seeds == 1 else 0.1, kind, 0.0, 0.0, seeds, 32 if seeds == 1 else 16)
    assert share(found, lambda e: e.low > 0 or e.high < 0) <= TOLERATED
    assert share(found, lambda e: e.p <= 0.05) <= TOLERATED


def test_bca_alone_would_be_too_narrow_for_one_seed() -> None:
    """Why the interval is a hull: sixteen examples are few."""
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(STUDIES):
        values = 0.4 * rng.normal(size=16)
        found = stats.bootstrap((values,), np.mean, n_resamples=300, rng=rng, method="BCa")
        missed += not found.confidence_interval.low <= 0 <= found.confidence_interval.high
    assert missed / STUDIES > TOLERATED
    found = estimates(0.0, "graded", 0.0, 0.0, 1, 16)
    assert share(found, lambda e: e.low > 0 or e.high < 0) <= TOLERATED


@lru_cache
def verdicts(effect: float, control: float):
    """Outcomes of claims of an effect of `LEAST`, with one control, as the lab judges them."""
    claim = Hypothesis("more", "repetition", Contrast("Start_2", "End_2"), "greater", LEAST, "id")
    plan = lab.plan(claim, SEEDS, EXAMPLES)
    level = pd.DataFrame({"split": ["id"], "treatment": [0.5], "control": [0.5]})
    rng = np.random.default_rng(11)
    owners, keys = np.repeat(np.arange(SEEDS), EXAMPLES), np.arange(SEEDS * EXAMPLES)

    def estimate(values):
        return paired_effect(values.ravel(), owners, keys, resamples=100, exact=False)

    outcomes = []
    for _ in range(STUDIES):
        main, other = study(rng, effect, 0.1), study(rng, control, 0.1)
        beyond = estimate(main - other)
        shown = ControlEvidence("filler", estimate(other), beyond, beyond)
        found = estimate(main)
        evidence = Evidence(claim, plan, found, (shown,), {}, level, "", tuple(range(SEEDS)), 1.0)
        outcomes.append(judge(evidence, found.p).outcome)
    return outcomes


@pytest.mark.parametrize(
    ("effect", "control", "wrong"),
    [(0.0, 0.0, "supported"), (0.4, 0.4, "supported"), (0.1, 0.0, "refuted")],
    ids=["no effect", "a control with the same effect", "an effect that just matters"],
)
def test_at_most_five_per_cent_of_verdicts_are_wrong(effect, control, wrong) -> None:
    assert verdicts(effect, control).count(wrong) / STUDIES <= TOLERATED


def test_a_large_effect_that_no_control_shows_is_found() -> None:
    assert verdicts(0.4, 0.0).count("supported") / STUDIES > 0.9


def test_an_effect_that_just_matters_is_refuted_in_at_most_five_per_cent() -> None:
    # Adding the effect to every difference moves the interval by as much.
    assert share(estimates(0.1, "graded", 0.0, 0.0), lambda e: e.high + LEAST < LEAST) <= TOLERATED


def test_resampling_five_seeds_alone_would_be_too_narrow() -> None:
    """Why the interval is no plain bootstrap: the test above can fail."""
    rng = np.random.default_rng(3)
    means = 0.2 * rng.normal(size=(STUDIES, SEEDS))
    drawn = means[:, rng.integers(SEEDS, size=(500, SEEDS))].mean(axis=2)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    assert np.mean((low > 0) | (high < 0)) > TOLERATED


@pytest.mark.parametrize(
    ("kind", "sd_seeds", "seeds"),
    [
        *(("graded", 0.1, 5), ("graded", 0.0, 5), ("binary", 0.1, 5)),
        *(("graded", 0.0, 1), ("binary", 0.0, 1), ("graded", 0.1, 2), ("graded", 0.1, 3)),
        ("graded", 0.1, 10),
    ],
)
def test_the_power_is_what_the_formula_promised(kind: str, sd_seeds: float, seeds: int) -> None:
    effect, spread = 0.2, 0.4 if kind == "graded" else math.sqrt(0.4 - 0.2**2)
    error = spread / math.sqrt(EXAMPLES)
    promised = power(effect, sd_seeds, error, seeds, LEAST, 0.05, EXAMPLES - 1)
    moved = effect if kind == "graded" else 0.0  # a binary effect changes the spread as well
    found = estimates(sd_seeds, kind, 0.0, effect - moved, seeds)
    supported = share(found, lambda e: e.low + moved > 0 and e.mean + moved >= LEAST)
    assert supported == pytest.approx(promised, abs=0.05)


def test_power_without_a_smallest_effect_is_that_of_the_t_test() -> None:
    """With endless examples a study is a t-test on its seeds."""
    theirs = TTestPower().power(effect_size=2.0, nobs=5, alpha=0.05, alternative="two-sided")
    assert power(0.2, 0.1, 0.0, 5, 0.0, 0.05, 99) == pytest.approx(theirs, abs=0.01)


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
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_with_one_seed_p_is_no_smaller_than_that_of_flipping_signs() -> None:
    """Four examples that agree: p is 0.0002 by Student's t, but there are only 16 ways to flip."""
    effect = paired_effect([0.9, 1.0, 1.1, 1.0], [0, 0, 0, 0], range(4))
    assert effect.p_exact == effect.p == 2 / 16
    assert effect.low <= 0 < effect.mean


def test_too_little_is_refused() -> None:
    with pytest.raises(SettingError, match="a seed has 1 paired examples"):
        paired_effect([1.0, 2.0, 3.0], [0, 0, 1], [0, 1, 2])
    with pytest.raises(SettingError, match="confidence is 2"):
        paired_effect([1.0, 2.0], [0, 0], [0, 1], confidence=2)
