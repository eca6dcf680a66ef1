"""Tables of methods: accuracy in and out of distribution, their gap, and the cost.

A second table has the differences from one of the methods, paired example by example.
"""

from __future__ import annotations

import pandas as pd

from latent_core.errors import SettingError
from latent_core.statistics.means import accuracy_interval, mean_interval, paired_difference

__all__ = ["difference_points", "difference_table", "method_table", "split_order"]


def split_order(splits: pd.Series) -> list[str]:
    """Order distinct splits: ID, OOD from short to long, OOD by names, then any others."""

    def rank(split: str) -> tuple[int, int, str]:
        if split == "id":
            return 0, 0, split
        tail = split.removeprefix("ood-")
        if tail == split:
            return 3, 0, split
        return (1, int(tail), split) if tail.isdigit() else (2, 0, split)

    return sorted(splits.unique(), key=rank)


def method_table(frame: pd.DataFrame, metric: str = "graded") -> pd.DataFrame:
    """Average the accuracy and cost of every method.

    Args:
        frame: records with columns method, seed, split and the metric, of one task; extra_slots or
            latent_slots, trainable and seconds where they are known.
        metric: `graded` or `exact`.

    Returns:
        columns method, seeds, records; for each split and for `gap` (ID minus the mean of the OOD
        splits) the mean, and `NAME low`, `NAME high`, the ends of its 95 % interval; trainable,
        slots (extra ones per example) and seconds (per example). The gap's interval is over seeds,
        and missing with only one.
    """
    slots = next((n for n in ("extra_slots", "latent_slots") if n in frame.columns), None)
    splits = split_order(frame["split"])
    rows = []
    for method, records in frame.groupby("method", sort=False):
        row: dict[str, object] = {
            "method": method,
            "seeds": records["seed"].nunique(),
            "records": len(records),
        }
        for split in splits:
            part = records[records["split"] == split]
            if len(part):
                found = accuracy_interval(part, metric)
                row |= {split: found.mean, f"{split} low": found.low, f"{split} high": found.high}
        row |= _over_seeds(_gaps(records, splits, metric))
        for name, column in (("trainable", "trainable"), ("slots", slots), ("seconds", "seconds")):
            known = column in records.columns and records[column].notna().any()
            row[name] = float(records[column].mean()) if known else None
        rows.append(row)
    return pd.DataFrame(rows)


def difference_table(frame: pd.DataFrame, reference: str, metric: str = "graded") -> pd.DataFrame:
    """Subtract one method from every other, over the examples that both answered per seed.

    Args:
        frame: as for `method_table`, every record, with columns example and key.
        reference: the method that is subtracted.
        metric: `graded` or `exact`.

    Returns:
        columns as those of `method_table`, without costs: for each split the mean difference and
        its interval; `gap`, the difference of the two gaps, below zero where the method falls less
        than the reference, its interval over seeds. A cell that cannot be paired is missing.

    Raises:
        SettingError: if the records do not say which example they are of.
    """
    if missing := {"example", "key"} - set(frame.columns):
        raise SettingError(
            f"the records have no column {', '.join(sorted(missing))}, so methods cannot be "
            "compared example by example"
        )
    splits = split_order(frame["split"])
    against = _gaps(frame[frame["method"] == reference], splits, metric)
    rows = []
    for method, records in frame.groupby("method", sort=False):
        if method == reference:
            continue
        seeds = pairs = 0
        cells: dict[str, float] = {}
        for split in splits:
            part = frame[(frame["split"] == split) & frame["method"].isin((method, reference))]
            try:
                found = paired_difference(part, str(method), reference, metric)
            except SettingError:  # one of them did not answer these
                continue
            cells |= {split: found.mean, f"{split} low": found.low, f"{split} high": found.high}
            seeds, pairs = max(seeds, found.seeds), pairs + found.records
        cells |= _over_seeds(_gaps(records, splits, metric) - against)
        rows.append({"method": method, "seeds": seeds, "records": pairs} | cells)
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["method", "seeds", "records"])


def difference_points(frame: pd.DataFrame, reference: str, metric: str = "graded") -> pd.DataFrame:
    """Subtract one method from every other, for each split and level.

    Args:
        frame: as for `difference_table`.
        reference: the method that is subtracted.
        metric: `graded` or `exact`.

    Returns:
        columns method, split, level, mean, low, high, seeds, records; no row where nothing can be
        paired.
    """
    rows: list[dict[str, object]] = []
    for method in frame["method"].unique():
        if method == reference:
            continue
        both = frame[frame["method"].isin((method, reference))]
        for (split, level), part in both.groupby(["split", "level"], sort=False):
            try:
                found = paired_difference(part, str(method), reference, metric)
            except SettingError:  # one of them did not answer these
                continue
            numbers = {"mean": found.mean, "low": found.low, "high": found.high}
            counts = {"seeds": found.seeds, "records": found.records}
            rows.append({"method": method, "split": split, "level": level} | numbers | counts)
    columns = ["method", "split", "level", "mean", "low", "high", "seeds", "records"]
    return pd.DataFrame(rows, columns=columns)


def _gaps(records: pd.DataFrame, splits: list[str], metric: str) -> pd.Series:
    """By seed: ID minus the mean of the OOD splits; nothing unless a seed has them all."""
    out_of_distribution = [split for split in splits if split.startswith("ood-")]
    means = records.groupby(["seed", "split"])[metric].mean().unstack()
    if not out_of_distribution or not {"id", *out_of_distribution} <= set(means.columns):
        return pd.Series(dtype=float)
    return (means["id"] - means[out_of_distribution].mean(axis=1, skipna=False)).dropna()


def _over_seeds(gaps: pd.Series) -> dict[str, float]:
    """A gap's cells: its mean, and the interval if there are seeds for one."""
    gaps = gaps.dropna()
    if gaps.empty:
        return {}
    cells = {"gap": float(gaps.mean())}
    if len(gaps) > 1:
        found = mean_interval(gaps, gaps.index.to_series(), bounds=(-1.0, 1.0))
        cells |= {"gap low": found.low, "gap high": found.high}
    return cells
