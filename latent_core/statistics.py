"""Means and intervals of evaluation records, by a hierarchical bootstrap.

Records of one adapter are not independent of each other: they share its training seed. So seeds
are drawn first, with replacement, and examples within each drawn seed after that (Davison & Hinkley
1997, section 3.8). With one seed the interval is about that one adapter only.

Knows data frames; nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latent_core.errors import SettingError

__all__ = ["Interval", "mean_interval", "paired_difference", "summarise"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its percentile interval.

    Attributes:
        mean: mean over seeds of the mean over examples.
        low, high: ends of the interval.
        seeds: training seeds it rests on.
        records: records it rests on.
    """

    mean: float
    low: float
    high: float
    seeds: int
    records: int


def mean_interval(
    values: Sequence[float] | pd.Series,
    seeds: Sequence[int] | pd.Series,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Mean of `values` with a hierarchical bootstrap interval, the same for the same input.

    Args:
        values: one number per record.
        seeds: the training seed of each record.
        confidence: share of the interval, between 0 and 1.
        resamples: bootstrap draws.

    Raises:
        SettingError: if there are no records, or `confidence` is out of its range.
    """
    if not 0 < confidence < 1:
        raise SettingError(f"confidence is {confidence}; expected a number between 0 and 1")
    table = pd.DataFrame({"value": np.asarray(values, float), "seed": np.asarray(seeds)})
    if table.empty:
        raise SettingError("no records to average; expected at least one")
    groups = [group.to_numpy() for _, group in table.groupby("seed")["value"]]
    rng = np.random.default_rng(0)
    drawn_seeds = rng.integers(len(groups), size=(resamples, len(groups)))
    means = np.empty(drawn_seeds.shape)
    for number, group in enumerate(groups):
        chosen = drawn_seeds == number
        means[chosen] = _resampled_means(group, int(chosen.sum()), rng)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means.mean(axis=1), [tail, 1 - tail])
    mean = float(np.mean([group.mean() for group in groups]))
    return Interval(mean, float(low), float(high), len(groups), len(table))


def summarise(
    frame: pd.DataFrame,
    by: Sequence[str] = ("method", "split"),
    metric: str = "graded",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """A row per group of records: mean, low, high, seeds, records.

    Args:
        frame: records of `evaluate`, of any number of runs, with columns `seed` and those of `by`.
        by: columns to group by; the groups keep the order in which they appear.
        metric: column to average, `graded` or `exact`.
        confidence: share of the interval.

    Raises:
        SettingError: if a column is missing.
    """
    missing = {*by, metric, "seed"} - set(frame.columns)
    if missing:
        raise SettingError(
            f"the records have no column {', '.join(sorted(missing))}; "
            f"they have {', '.join(frame.columns)}"
        )
    rows = []
    for key, group in frame.groupby(list(by), sort=False):
        interval = mean_interval(group[metric], group["seed"], confidence)
        rows.append(dict(zip(by, key, strict=True)) | {n: getattr(interval, n) for n in _FIELDS})
    return pd.DataFrame(rows)


def paired_difference(
    frame: pd.DataFrame,
    treatment: str,
    control: str,
    metric: str = "graded",
    confidence: float = 0.95,
) -> Interval:
    """Mean difference treatment - control over examples both answered, with its interval.

    Args:
        frame: records with columns method, seed, split, example and the metric.
        treatment, control: two values of `method`.
        metric: column to compare.
        confidence: share of the interval.

    Raises:
        SettingError: if a method is missing, or no example was answered by both at the same seed.
    """
    keys = ["seed", "split", "example", "key"]
    sides = []
    for method in (treatment, control):
        side = frame.loc[frame["method"] == method, [*keys, metric]]
        if side.empty:
            have = ", ".join(map(str, frame["method"].unique()))
            raise SettingError(f"no records of method {method!r}; there are {have}")
        sides.append(side)
    both = sides[0].merge(sides[1], on=keys, suffixes=("_treatment", "_control"))
    if both.empty:
        raise SettingError(
            f"{treatment!r} and {control!r} share no example at the same seed, so nothing can be "
            "paired; evaluate both with the same seeds, splits and number of examples"
        )
    difference = both[f"{metric}_treatment"].astype(float) - both[f"{metric}_control"].astype(float)
    return mean_interval(difference, both["seed"], confidence)


_FIELDS = ("mean", "low", "high", "seeds", "records")


def _resampled_means(
    values: NDArray[np.float64], count: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """`count` means of as many values, drawn from `values` with replacement."""
    return values[rng.integers(len(values), size=(count, len(values)))].mean(axis=1)
