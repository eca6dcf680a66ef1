"""The accuracy that a table of the command line shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from latent_core.errors import SettingError

if TYPE_CHECKING:
    import pandas as pd

Shares = Callable[[str, str], str]

__all__ = ["checked_metric", "shares"]


def checked_metric(metric: str) -> str:
    """Refuse a metric that is neither graded nor exact."""
    if metric not in ("graded", "exact"):
        raise SettingError(f"unknown metric {metric!r}; expected graded or exact")
    return metric


def shares(frame: pd.DataFrame, by: pd.Series, split: pd.Series, metric: str) -> Shares:
    """The mean over the levels of each split, weighted by their examples.

    Args:
        frame: rows of `load_runs`.
        by: for each row, to which line of a table it belongs.
        split: for each row, to which column.
        metric: graded or exact.

    Returns:
        a function of line and column that says the mean as text: - if there is none.
    """
    weights = frame["examples"].astype(float)
    parts = (
        (frame[metric].astype(float) * weights).groupby([by, split]),
        weights.groupby([by, split]),
    )
    means = (parts[0].sum() / parts[1].sum()).dropna().to_dict()
    texts = {place: f"{mean:.2f}" for place, mean in means.items()}
    return lambda line, column: texts.get((line, column), "-")
