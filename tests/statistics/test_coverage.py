"""How often the interval misses the truth, counted over simulated studies.

The docstring of `latent_core.statistics.inference` states these rates. Every seed answers the same
examples here, as the seeds of a run do.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
from scipy import special

from latent_core.statistics.inference import mean_ends_p

STUDIES = 1000
SEEDS = (2, 3, 5, 8)


@dataclass(frozen=True)
class Population:
    """What studies are drawn from.

    Attributes:
        kind: `graded` (normal scores), `binary`, `boundary` (binary, near 1), or `failing` (graded,
            and one seed in five lacks the effect).
        examples: examples that every seed answers.
        sd_seeds, sd_examples: of a seed's and of an example's own mean; in units of a tenth of a
            logit where the kind is `boundary`.
    """

    kind: str
    examples: int
    sd_seeds: float
    sd_examples: float

    def study(self, rng: np.random.Generator, seeds: int) -> np.ndarray:
        """Scores (seeds, examples)."""
        of_seeds = self.sd_seeds * rng.normal(size=(seeds, 1))
        of_examples = self.sd_examples * rng.normal(size=self.examples)
        noise = 0.4 * rng.normal(size=(seeds, self.examples))
        draws = rng.random((seeds, self.examples))
        if self.kind == "graded":
            return of_seeds + of_examples + noise
        if self.kind == "binary":
            return (draws < 0.5 + (of_seeds + of_examples) / 2).astype(float)
        if self.kind == "boundary":
            return (draws < special.expit(4 + 10 * (of_seeds + of_examples))).astype(float)
        return np.where(rng.random((seeds, 1)) < 0.2, 0.0, 0.5) + of_examples + noise

    @property
    def truth(self) -> float:
        """The mean over endless seeds and examples."""
        if self.kind == "boundary":
            spread = 10 * np.hypot(self.sd_seeds, self.sd_examples)
            points, weights = np.polynomial.hermite_e.hermegauss(80)
            return float((special.expit(4 + spread * points) * weights).sum() / weights.sum())
        return {"graded": 0.0, "binary": 0.5, "failing": 0.4}[self.kind]


@lru_cache
def missed(population: Population, seeds: int, studies: int = STUDIES) -> float:
    """The share of studies whose 95 % interval does not hold the truth."""
    rng, truth = np.random.default_rng(1), population.truth
    owners = np.repeat(np.arange(seeds), population.examples)
    keys = np.tile(np.arange(population.examples), seeds)
    count = 0
    for _ in range(studies):
        values = population.study(rng, seeds).ravel()
        _, low, high, _ = mean_ends_p(values, owners, keys, resamples=200)
        count += not low <= truth <= high
    return count / studies


def test_two_seeds_on_the_same_examples_miss_no_more_than_they_say() -> None:
    """With Satterthwaite's degrees of freedom this was 12 %."""
    assert missed(Population("graded", 20, 0.3, 0.3), 2, 300) <= 0.02


@pytest.mark.slow
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize(
    "population",
    [
        Population("graded", 20, 0.3, 0.3),
        Population("graded", 100, 0.1, 0.3),
        Population("graded", 100, 0.1, 0.0),
        Population("binary", 100, 0.3, 0.3),
    ],
)
def test_the_interval_misses_in_at_most_five_per_cent(population: Population, seeds: int) -> None:
    # Two standard errors of 5 % in 1,000 studies are 1.4 %.
    assert missed(population, seeds) <= 0.05 + 0.014


@pytest.mark.slow
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize(
    "population",
    [Population("boundary", 20, 0.3, 0.3), Population("boundary", 100, 0.1, 0.0)],
)
def test_scores_near_the_boundary_are_missed_as_often_as_documented(
    population: Population, seeds: int
) -> None:
    most = {2: 0.08, 3: 0.11, 5: 0.12, 8: 0.11}
    assert missed(population, seeds) <= most[seeds] + 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "low", "high"), [(2, 0.17, 0.26), (3, 0.39, 0.48), (5, 0.27, 0.37), (8, 0.14, 0.22)]
)
def test_a_seed_in_five_that_fails_is_missed_as_often_as_documented(
    seeds: int, low: float, high: float
) -> None:
    """Nothing mends it: the studies that miss are those in which no seed failed."""
    assert low <= missed(Population("failing", 200, 0.0, 0.0), seeds) <= high
