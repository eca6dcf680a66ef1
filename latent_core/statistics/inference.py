"""What records say about seeds and examples that were not run.

A value is the accuracy of one example, or its difference between two conditions, by adapters of one
training seed. Values of one seed share that seed's luck, and where the same examples are asked of
every seed they share those too. The interval must hold for new seeds and new examples.

Which interval, and why. Resampling five seeds is too narrow: in 2,000 simulated studies of 5 seeds
by 100 examples without an effect, the 95 % percentile interval of the hierarchical bootstrap
(seeds, then examples) missed zero in 13 % where seeds differ much (standard deviation 0.2 between
seeds, 0.5 within), and in 32 % with 2 seeds. Student's t on the seeds' means missed it in 2 to 6 %
with 2, 3, 5 or 10 seeds; but where the seeds' means agree by luck, t claims more than the examples
bear. So an interval is the hull of both. With 5 seeds it is hardly wider than t alone.

Where every seed answers the same examples, the variance between examples is added, as in a crossed
two-way layout of random effects. The degrees of freedom stay seeds - 1, or examples - 1 if that is
less. Satterthwaite's approximation grants more, and then the interval of two seeds missed in up to
12 %, of three in up to 9 %, of five in up to 8 %.

How often the 95 % interval misses the truth, in %, least and most over several populations
(`tests/statistics/test_error_rates.py`: 1,000 studies each; every seed answers the same 20 or 100
examples, in the last row 20 to 200):

    seeds                                                     2      3      5      8
    graded scores; binary scores around 0.5                 0-3    0-4    1-5    1-5
    binary scores near 1 (median 0.98)                      0-8   0-11   0-12   3-11
    one seed in five lacks an effect of 0.5 altogether     0-22   1-44   5-32   3-18

The last two rows are skewed, and no interval from so few seeds mends that: five seeds of which none
failed (a third of such studies, 0.8 to the fifth) do not know that a seed can fail.

With one seed the interval is about that adapter: the hull of BCa over its examples and of
Student's t. BCa alone missed zero in 9 % of 1,000 studies of 16 graded examples, and in 10 % of 32
examples of which one in ten changes; the hull in at most 5 %. Its p-value is no smaller than that
of flipping signs, which is exact for few examples.

Interval and p-value of a difference never contradict each other: where either leaves zero open,
the other does.

Knows arrays; nothing of models, tasks or hypotheses.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from latent_core.errors import SettingError
from latent_core.statistics.resampling import NUMBERS_AT_ONCE, resampled_means

__all__ = ["Effect", "agreeing", "holm", "mean_ends_p", "paired_effect", "sign_flip_p"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Effect:
    """A mean paired difference, as far as it holds for new seeds and examples.

    Attributes:
        mean: mean over seeds of the weighted mean over examples.
        low, high: ends of the interval.
        p: two-sided, against no difference, by the same reasoning as the interval.
        p_exact: two-sided, by flipping the signs of the seeds' means, or of the examples'
            differences where there is one seed (nan for an interaction then: equal gains need
            not be zero). At least 2 / 2**seeds.
        size: Cohen's d of the paired differences; nan if they do not vary.
        sd_seeds: estimated standard deviation between seeds, of what a seed's mean would be with
            endless examples; nan with one seed.
        sd_examples: standard deviation of the differences within a seed and split.
        seeds: training seeds it rests on.
        records: differences it rests on.
        seed_means: the mean of each seed, in the order of the seeds.
        confidence: share of the interval.

    Example:
        >>> import latent_core as lc
        >>> effect = lc.paired_effect([0.1, 0.3, 0.2, 0.2], seeds=[0, 0, 1, 1], keys=[0, 1, 0, 1])
        >>> effect.low < effect.mean < effect.high
        True
    """

    mean: float
    low: float
    high: float
    p: float
    p_exact: float
    size: float
    sd_seeds: float
    sd_examples: float
    seeds: int
    records: int
    seed_means: tuple[float, ...]
    confidence: float = 0.95


def paired_effect(
    values: ArrayLike,
    seeds: ArrayLike,
    keys: ArrayLike,
    strata: ArrayLike | None = None,
    weights: Sequence[float] = (1.0,),
    confidence: float = 0.95,
    resamples: int = 2000,
    exact: bool = True,
) -> Effect:
    """The weighted mean of paired differences with its interval; the same for the same input.

    Args:
        values: (N,) difference of each record.
        seeds: (N,) its training seed.
        keys: (N,) what was asked; the same key under several seeds is the same example.
        strata: (N,) which term of the sum it belongs to, 0 to len(weights) - 1.
        weights: of each term: (0.5, 0.5) averages two splits, (1, -1) compares them.
        confidence: share of the interval, between 0 and 1.
        resamples: bootstrap draws.
        exact: also find `p_exact`; nan otherwise.

    Raises:
        SettingError: if a seed lacks a term, or has fewer than two examples of it.

    Example:
        >>> import latent_core as lc
        >>> effect = lc.paired_effect([0.1, 0.3, 0.2, 0.2], seeds=[0, 0, 1, 1], keys=[0, 1, 0, 1])
        >>> round(effect.mean, 2), effect.seeds
        (0.2, 2)
    """
    if not 0 < confidence < 1:
        raise SettingError(f"confidence is {confidence}; expected a number between 0 and 1")
    numbers = np.asarray(values, dtype=float)
    terms = np.zeros(len(numbers), int) if strata is None else np.asarray(strata, int)
    names, owners = np.unique(np.asarray(seeds), return_inverse=True)
    cells = [
        [numbers[(owners == seed) & (terms == term)] for term in range(len(weights))]
        for seed in range(len(names))
    ]
    least = min((len(cell) for row in cells for cell in row), default=0)
    if least < 2:
        raise SettingError(
            f"a seed has {least} paired examples of a split; expected at least 2 of every split "
            "for every seed"
        )
    means = np.array(
        [sum(w * c.mean() for w, c in zip(weights, row, strict=True)) for row in cells]
    )
    shared = _shared_variance(numbers, owners, terms, np.asarray(keys), weights, cells)
    within = float(np.sqrt(np.mean([cell.var(ddof=1) for row in cells for cell in row])))
    low, high, p = _ends(_Means(cells, weights, means, shared), confidence, resamples)
    flipped: Floats | None = means
    if len(names) == 1:
        between = math.nan
        shares = [w / len(c) * c for w, c in zip(weights, cells[0], strict=True)]
        flipped = np.concatenate(shares) if min(weights) > 0 else None
    else:
        noise = np.mean([_sampling(row, weights) for row in cells])
        between = math.sqrt(max(0.0, means.var(ddof=1) - noise))
    p_exact = sign_flip_p(flipped) if exact and flipped is not None else math.nan
    if len(names) == 1 and not math.isnan(p_exact):
        p = max(p, p_exact)
    low, high, p = agreeing(low, high, p, confidence)
    mean = float(means.mean())
    return Effect(
        mean=mean,
        low=low,
        high=high,
        p=p,
        p_exact=p_exact,
        size=mean / within if within > 1e-9 else math.nan,
        sd_seeds=between,
        sd_examples=within,
        seeds=len(names),
        records=len(numbers),
        seed_means=tuple(map(float, means)),
        confidence=confidence,
    )


def mean_ends_p(
    values: ArrayLike,
    seeds: ArrayLike,
    keys: ArrayLike,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> tuple[float, float, float, float]:
    """The mean over seeds of the mean over examples, the ends of its interval, and p.

    Arguments are as those of `paired_effect`, whose interval it is; here a seed may have a single
    example, and none of it is then known of others.
    """
    numbers = np.asarray(values, dtype=float)
    names, owners = np.unique(np.asarray(seeds), return_inverse=True)
    cells = [[numbers[owners == seed]] for seed in range(len(names))]
    means = np.array([cell.mean() for (cell,) in cells])
    terms = np.zeros(len(numbers), int)
    shared = _shared_variance(numbers, owners, terms, np.asarray(keys), (1.0,), cells)
    ends = _ends(_Means(cells, (1.0,), means, shared), confidence, resamples)
    return float(means.mean()), *ends


def agreeing(low: float, high: float, p: float, confidence: float) -> tuple[float, float, float]:
    """Interval and p-value, so that both say the same of zero: open where either leaves it open."""
    if p >= 1 - confidence - 1e-12:
        return min(low, 0.0), max(high, 0.0), min(p, 1.0)
    return low, high, max(p, 1 - confidence) if low <= 0 <= high else p


def sign_flip_p(differences: ArrayLike, resamples: int = 9999) -> float:
    """Two-sided permutation p-value against symmetry about 0; exact where 2**N <= `resamples`."""
    numbers = np.asarray(differences, dtype=float)
    numbers = numbers[numbers != 0]  # whose sign changes nothing
    if len(numbers) < 2:
        return 1.0
    from scipy import stats  # takes a third of a second and 50 MB, and many seeds do without

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ties, which its tolerance handles
        found = stats.permutation_test(
            (numbers, np.zeros_like(numbers)),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=resamples,
            rng=np.random.default_rng(0),
        )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for how many tests a family holds (Holm 1979), in the order given."""
    numbers = np.asarray(p_values, dtype=float)
    order = numbers.argsort()
    stepped = numbers[order] * np.arange(len(numbers), 0, -1)
    adjusted = np.empty_like(numbers)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted.tolist()


class _Means(NamedTuple):
    """The seeds' means, and what they are means of.

    Attributes:
        cells: the values by seed, term and example.
        weights: of each term.
        of_seeds: (seeds,) weighted mean of each.
        shared: variance of their mean due to examples that several seeds answered.
    """

    cells: list[list[Floats]]
    weights: Sequence[float]
    of_seeds: Floats
    shared: float

    @property
    def least(self) -> int:
        """The fewest examples that a seed has of a term."""
        return min(len(cell) for row in self.cells for cell in row)


def _ends(means: _Means, confidence: float, resamples: int) -> tuple[float, float, float]:
    """Low and high end, and the p-value of no difference."""
    judge = _one_seed if len(means.cells) == 1 else _many_seeds
    low, high, p = judge(means, confidence, resamples)
    if high - low < 1e-12:  # nothing varied: what 95 % of studies would have met (rule of three)
        mean = float(means.of_seeds.mean())
        margin = 1 - ((1 - confidence) / 2) ** (1 / means.least)
        low, high = mean - margin, mean + margin
        p = min(1.0, 2 * max(1 - abs(mean), 0.5) ** means.least)
    return float(low), float(high), float(p)


def _sampling(row: list[Floats], weights: Sequence[float]) -> float:
    """Variance of a seed's mean due to which examples it met."""
    return float(sum(w**2 * c.var(ddof=1) / len(c) for w, c in zip(weights, row, strict=True)))


def _one_seed(means: _Means, confidence: float, resamples: int) -> tuple[float, float, float]:
    """The hull of BCa over examples and of Student's t, and t's p-value."""
    (row,), weights, mean = means.cells, means.weights, float(means.of_seeds[0])
    if means.least < 2:
        return mean, mean, 1.0
    parts = [w**2 * c.var(ddof=1) / len(c) for w, c in zip(weights, row, strict=True)]
    error = math.sqrt(sum(parts))
    if not error:
        return mean, mean, 1.0
    freedom = sum(parts) ** 2 / sum(v**2 / (len(c) - 1) for v, c in zip(parts, row, strict=True))
    half = float(special.stdtrit(freedom, (1 + confidence) / 2)) * error
    from scipy import stats  # see `sign_flip_p`

    def weighted(*samples: Any, axis: int = -1) -> Any:
        return sum(w * s.mean(axis=axis) for w, s in zip(weights, samples, strict=True))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a jackknife without spread; its nan is met below
        interval = stats.bootstrap(
            tuple(row),
            weighted,
            n_resamples=resamples,
            confidence_level=confidence,
            method="BCa",
            vectorized=True,
            # BCa leaves each of N values out once, which is N x N of them.
            batch=max(1, NUMBERS_AT_ONCE // max(len(cell) for cell in row)),
            rng=np.random.default_rng(0),
        ).confidence_interval
    low, high = np.fmin(mean - half, interval.low), np.fmax(mean + half, interval.high)
    return float(low), float(high), float(2 * special.stdtr(freedom, -abs(mean) / error))


def _many_seeds(means: _Means, confidence: float, resamples: int) -> tuple[float, float, float]:
    """The hull of Student's t on the seeds' means and the hierarchical bootstrap."""
    shared, mean = means.shared, float(means.of_seeds.mean())
    count = len(means.of_seeds)
    variance = float(means.of_seeds.var(ddof=1)) / count + shared
    freedom = float(min(count, means.least) - 1 if shared else count - 1)
    half = float(special.stdtrit(freedom, (1 + confidence) / 2)) * math.sqrt(variance)
    p_t = (
        2 * special.stdtr(freedom, -abs(mean) / math.sqrt(variance))
        if variance
        else float(not mean)
    )
    totals = resampled_means(means.cells, means.weights, resamples)
    low, high = np.quantile(totals, [(1 - confidence) / 2, (1 + confidence) / 2])
    spread = float(totals.std())
    p_bootstrap = 2 * special.ndtr(-abs(mean) / spread) if spread else float(not mean)
    return min(mean - half, low), max(mean + half, high), float(max(p_t, p_bootstrap))


def _shared_variance(
    values: Floats,
    owners: NDArray[np.intp],
    terms: NDArray[np.intp],
    keys: NDArray[Any],
    weights: Sequence[float],
    cells: list[list[Floats]],
) -> float:
    """Variance of the grand mean due to examples that several seeds answered; 0 if none is shared.

    Each record's share in the error of the mean, summed by example and squared, less what the
    noise of single records adds to that, which shows in their spread about the example's mean.
    """
    if len(cells) < 2 or min(len(cell) for row in cells for cell in row) < 2:
        return 0.0
    names, examples = np.unique(keys, return_inverse=True)
    if len(names) == len(values):
        return 0.0
    means = np.array([[cell.mean() for cell in row] for row in cells])
    sizes = np.array([[len(cell) for cell in row] for row in cells])
    size = sizes[owners, terms]
    scale = np.asarray(weights, float)[terms] / (len(cells) * size) * np.sqrt(size / (size - 1))
    errors = (values - means[owners, terms]) * scale
    places = examples * len(weights) + terms
    counts, sums = np.bincount(places), np.bincount(places, errors)
    squares = np.bincount(places, errors**2)
    shared = counts > 1
    k, total = counts[shared], sums[shared]
    noise = (squares[shared] - total**2 / k) * k / (k - 1)
    return float(max(0.0, (total**2 - noise).sum()))
