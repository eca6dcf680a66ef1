"""The accuracy that a table of the command line shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latent_core.errors import SettingError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["checked_metric", "share"]


def checked_metric(metric: str) -> str:
    """Refuse a metric that is neither graded nor exact."""
    if metric not in ("graded", "exact"):
        raise SettingError(f"unknown metric {metric!r}; expected graded or exact")
    return metric


def share(rows: pd.DataFrame, metric: str) -> str:
    """The mean over the levels of a split, weighted by their examples."""
    if rows.empty:
        return "-"
    weights = rows["examples"].astype(float)
    return f"{(rows[metric] * weights).sum() / weights.sum():.2f}"
