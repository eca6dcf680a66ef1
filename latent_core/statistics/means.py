"""Means with intervals, for training seeds and examples that were not run, and of many columns.

The interval of means of records is that of `latent_core.statistics.inference`, for accuracies and
for differences alike: Student's t on the seeds' means, no narrower than a hierarchical bootstrap
(seeds, then examples), and with what answers to the same example have in common. With one seed it
is about that one adapter.

A map of every layer and head has thousands of cells, for which the bootstrap would take minutes.
The interval of each of its means is Student's t over the rows. Nothing is corrected for the number
of cells: at 95 %, one interval in 20 misses its mean.

Knows data frames; nothing of models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from latent_core.errors import SettingError
from latent_core.statistics.inference import agreeing, mean_ends_p
from latent_core.statistics.task_names import tell_tasks_apart

__all__ = [
    "Interval",
    "accuracy_interval",
    "column_differences",
    "column_means",
    "mean_interval",
    "numbered",
    "paired_difference",
    "summarise",
]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its interval.

    Attributes:
        mean: mean over seeds of the mean over examples.
        low, high: ends of the interval.
        p: two-sided, against a mean of zero.
        seeds: training seeds it rests on.
        records: records it rests on.
    """

    mean: float
    low: float
    high: float
    p: float
    seeds: int
    records: int


def mean_interval(
    values: Sequence[float] | pd.Series,
    seeds: Sequence[int] | pd.Series,
    examples: Sequence[object] | pd.Series | None = None,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Mean of `values` with its interval, the same for the same input.

    Args:
        values: one number per record.
        seeds: the training seed of each record.
        examples: which example each record is of; by default no two are of the same.
        confidence: share of the interval, between 0 and 1.
        bounds: what the mean cannot go beyond, such as 0 and 1 for an accuracy.

    Raises:
        SettingError: if there are no records, or `confidence` is out of its range.

    Example:
        >>> import latent_core as lc
        >>> interval = lc.mean_interval([0.5, 0.7, 0.6, 0.8], seeds=[0, 0, 1, 1])
        >>> round(interval.mean, 2)
        0.65
    """
    if not 0 < confidence < 1:
        raise SettingError(f"confidence is {confidence}; expected a number between 0 and 1")
    if not len(values):
        raise SettingError("no records to average; expected at least one")
    keys = range(len(values)) if examples is None else examples
    mean, low, high, p = mean_ends_p(values, seeds, np.asarray(keys), confidence)
    low, high = max(low, bounds[0]), min(high, bounds[1])
    return Interval(mean, low, high, p, len(np.unique(np.asarray(seeds))), len(values))


def accuracy_interval(frame: pd.DataFrame, metric: str, confidence: float = 0.95) -> Interval:
    """Mean accuracy of records, between 0 and 1.

    Args:
        frame: records with columns seed and the metric; split and key say which example it was.
        metric: `graded` or `exact`.
        confidence: share of the interval.
    """
    examples = _examples(frame) if "key" in frame else None
    return mean_interval(frame[metric], frame["seed"], examples, confidence, (0.0, 1.0))


def summarise(
    frame: pd.DataFrame,
    by: Sequence[str] = ("method", "split"),
    metric: str = "graded",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """A row per group of records: mean, low, high, seeds, records.

    Args:
        frame: records of `evaluate`, of any number of runs, with columns `seed` and those of `by`;
            `key` and `split`, where they are there, say which records are of the same example.
        by: columns to group by; the groups keep the order in which they appear. In `task`, two
            tasks of one name are two groups.
        metric: column to average, `graded` or `exact`.
        confidence: share of the interval.

    Raises:
        SettingError: if a column is missing.

    Example:
        >>> import latent_core as lc
        >>> path = lc.shipped_adapter("Start_6", backbone="tiny")
        >>> frame = lc.load_runs(path, where={"split": "id"}, records=True)
        >>> lc.summarise(frame)[["method", "split", "records"]].values.tolist()
        [['Start_6', 'id', 100]]
    """
    missing = {*by, metric, "seed"} - set(frame.columns)
    if missing:
        raise SettingError(
            f"the records have no column {', '.join(sorted(missing))}; "
            f"they have {', '.join(frame.columns)}"
        )
    rows = []
    for key, group in tell_tasks_apart(frame).groupby(list(by), sort=False):
        interval = accuracy_interval(group, metric, confidence)
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

    Example:
        >>> import latent_core as lc
        >>> paths = [lc.shipped_adapter(m, backbone="tiny") for m in ("Start_6", "Comma_2")]
        >>> records = lc.load_runs(paths, where={"split": "id"}, records=True)
        >>> lc.paired_difference(records, "Comma_2", "Start_6").records
        100
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
    found = mean_interval(difference, both["seed"], _examples(both), confidence, (-1.0, 1.0))
    low, high, p = agreeing(found.low, found.high, found.p, confidence)
    return replace(found, low=low, high=high, p=p)


def _examples(frame: pd.DataFrame) -> pd.Series:
    """A number for each example that records are of."""
    return numbered(frame, [name for name in ("split", "key") if name in frame])


def numbered(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """A number for each combination of values in some columns, of each row.

    They are numbered as they first appear, as pandas' `ngroup` does, which needs 40 bytes a row;
    here rows are taken in parts.
    """
    numbers = np.zeros(len(frame), np.int32)
    for name in columns:
        codes, values = _coded(frame[name])
        known = pd.Index([], np.int64)
        for start in range(0, len(frame), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            pairs = numbers[part].astype(np.int64) * (values + 1) + codes[part]
            if (known.get_indexer(pairs) < 0).any():
                known = known.append(pd.Index(pd.unique(pairs)).difference(known, sort=False))
            numbers[part] = known.get_indexer(pairs)
    return pd.Series(numbers, frame.index)


def _coded(column: pd.Series) -> tuple[NDArray[Any], int]:
    """A number for each value, -1 for one that is not known, and how many values there are."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), len(column.cat.categories)
    codes, values = pd.factorize(column)
    return codes, len(values)


# --- means of many columns ------------------------------------------------------------------------

_AT_ONCE = 100_000
_FIELDS = ("mean", "low", "high", "seeds", "records")


def column_means(values: ArrayLike, confidence: float = 0.95) -> pd.DataFrame:
    """Average each column over the rows that have it.

    Args:
        values: (N, C), NaN where a row lacks a column.
        confidence: share of the intervals.

    Returns:
        C rows of mean, low, high and examples, the number of rows. With fewer than two rows the
        interval is unknown (NaN).

    Raises:
        SettingError: if `confidence` is not between 0 and 1.
    """
    mean, variance, count = _moments(values, confidence)
    return _frame(mean, variance, count - 1.0, count, confidence)


def column_differences(
    values: ArrayLike, others: ArrayLike, confidence: float = 0.95
) -> pd.DataFrame:
    """Subtract the means of columns over other, independent rows (Welch's interval).

    Args:
        values, others: (N, C) and (M, C), NaN where a row lacks a column.
        confidence: share of the intervals.

    Returns:
        C rows as those of `column_means`; examples is the smaller of the two numbers of rows.
    """
    mean, variance, count = _moments(values, confidence)
    other, spread, number = _moments(others, confidence)
    both = variance + spread
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = both**2 / (variance**2 / (count - 1) + spread**2 / (number - 1))
    freedom = np.where(both > 0, freedom, np.minimum(count, number) - 1.0)
    return _frame(mean - other, both, freedom, np.minimum(count, number), confidence)


def _moments(
    values: ArrayLike, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean of each column, variance of that mean, and number of rows."""
    if not 0 < confidence < 1:
        raise SettingError(f"confidence is {confidence}; expected a number between 0 and 1")
    rows = np.asarray(values, dtype=np.float64)
    there = np.isfinite(rows)
    count = there.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(there, rows, 0.0).sum(axis=0) / count
        squares = np.where(there, rows - mean, 0.0) ** 2
        variance = squares.sum(axis=0) / (count - 1) / count
    return mean, variance, count


def _frame(
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    freedom: NDArray[np.floating[Any]],
    count: NDArray[np.int64],
    confidence: float,
) -> pd.DataFrame:
    half = special.stdtrit(freedom, (1 + confidence) / 2) * np.sqrt(variance)  # nan without freedom
    return pd.DataFrame({"mean": mean, "low": mean - half, "high": mean + half, "examples": count})
