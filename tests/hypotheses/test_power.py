"""Power: the chance that is promised is that of drawn studies and of textbook formulas."""

import math

import numpy as np
import pytest
from scipy import stats

from latent_core.errors import SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.hypotheses.conditions import Contrast
from latent_core.hypotheses.power import ASSUMED, Assumptions, power, powers
from latent_core.statistics.inference import paired_effect


@pytest.mark.parametrize(("effect", "alpha"), [(0.2, 0.05), (0.3, 0.01)])
def test_one_seed_has_the_power_of_the_t_test_on_its_examples(effect: float, alpha: float) -> None:
    """The noncentral t distribution; no spread between seeds counts."""
    wanted = stats.nct.sf(stats.t.isf(alpha / 2, 15), 15, effect / 0.1)
    assert power(effect, 0.7, 0.1, 1, 0.0, alpha, 15) == pytest.approx(wanted, abs=2e-3)


def test_many_seeds_with_endless_examples_have_the_power_of_the_t_test_on_seeds() -> None:
    wanted = stats.nct.sf(stats.t.isf(0.025, 3), 3, 0.3 / (0.2 / math.sqrt(4)))
    assert power(0.3, 0.2, 0.0, 4, 0.0, 0.05, 99) == pytest.approx(wanted, abs=2e-3)


@pytest.mark.parametrize(
    ("sd_seeds", "error", "seeds"), [(0.0, 0.2, 3), (0.1, 0.2, 2), (0.3, 0.1, 3)]
)
def test_the_power_is_the_share_of_drawn_studies_that_find_it(sd_seeds, error, seeds) -> None:
    """Both ends count: Student's t, and the bootstrap, which is wider where seeds agree by luck."""
    rng = np.random.default_rng(0)
    means = 0.3 + rng.normal(size=(200_000, seeds)) * math.hypot(sd_seeds, error)
    by_t = stats.t.isf(0.1, seeds - 1) * means.std(axis=1, ddof=1) / math.sqrt(seeds)
    by_draws = stats.norm.isf(0.1) * np.sqrt((means.var(axis=1) + error**2) / seeds)
    found = means.mean(axis=1) >= np.maximum(0.15, np.maximum(by_t, by_draws))
    promised = power(0.3, sd_seeds, error, seeds, 0.15, 0.2, 99)
    assert promised == pytest.approx(found.mean(), abs=4e-3)


def test_without_any_spread_an_effect_is_found_and_none_is_not() -> None:
    assert power(0.1, 0.0, 0.0, 3, 0.0, 0.05, 9) == 1.0
    assert power(0.0, 0.0, 0.0, 3, 0.0, 0.05, 9) == 0.0
    assert power(0.1, 0.2, 0.0, 1, 0.0, 0.05, 9) == 1.0


@pytest.mark.parametrize(
    ("contrast", "split", "terms", "freedom"),
    [
        (Contrast("Start_2", "End_2"), "id", 1.0, 15),
        (Contrast("Start_2", "End_2"), "ood", 1 / 4, 4 * 15),  # four levels of weight 1 / 4
        (Contrast("Start_2", "End_2", "id"), "ood", 1 + 1 / 4, 25 / 16 / (1 + 4 / 4**4) * 15),
    ],
)
@pytest.mark.parametrize("seeds", [1, 4])
def test_the_splits_of_a_claim_are_weighted(contrast, split, terms, freedom, seeds) -> None:
    """Sixteen examples of each; the degrees of freedom are those of Welch and Satterthwaite."""
    claim = Hypothesis("a", "repetition", contrast, "greater", 0.2, split)
    assert len(claim.terms) == {"id": 1, "ood": 4}[split] + (contrast.minus_split is not None)
    spreads = Assumptions(0.1, 0.6, "made up")
    error = 0.6 * math.sqrt(terms / 16)
    support, refute = powers(claim, seeds, 16, 0.3, spreads, tests=3)
    assert support == pytest.approx(power(0.3, 0.1, error, seeds, 0.2, 0.05 / 3, freedom))
    assert refute == pytest.approx(power(0.2, 0.1, error, seeds, 0.0, 0.05, freedom))
    assert powers(claim, seeds, 16, 0.3, spreads)[0] > support


@pytest.mark.parametrize("spreads", [(-0.1, 0.5), (0.1, -0.5), (math.nan, 0.5), (0.1, math.nan)])
def test_a_spread_is_a_number_of_zero_or_more(spreads: tuple[float, float]) -> None:
    with pytest.raises(SettingError, match=f"standard deviations of {spreads[0]} and {spreads[1]}"):
        Assumptions(*spreads, "made up")
    assert Assumptions(0.0, 0.0, "made up").sd_examples == 0.0


def test_a_pilot_of_one_seed_leaves_the_spread_between_seeds_assumed() -> None:
    values = [0.1, 0.5, 0.3, 0.9, 0.8, 0.4]
    two = paired_effect(values, [0] * 3 + [1] * 3, range(6))
    assert Assumptions.of_pilot(two) == Assumptions(
        two.sd_seeds, two.sd_examples, "a pilot of 2 seeds"
    )
    one = paired_effect(values, [0] * 6, range(6))
    assert Assumptions.of_pilot(one) == Assumptions(
        ASSUMED.sd_seeds,
        np.std(values, ddof=1),
        "a pilot of 1 seed; the spread between seeds is assumed, because one seed cannot show it",
    )
