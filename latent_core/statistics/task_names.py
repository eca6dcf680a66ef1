"""Names of tasks in tables: two tasks of one name get two names.

A task is identified by its `fingerprint`. Two files that are both called `data.jsonl` are two
tasks, and are shown as `data (1f3b9c2e)` and `data (77a0d41c)`. Records of an older version have no
fingerprint; they keep the plain name.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

__all__ = ["FINGERPRINT", "distinct_task_names", "tell_tasks_apart"]

#: The column of records and runs that holds `Task.fingerprint`.
FINGERPRINT = "task_fingerprint"
#: Rows that are compared at once.
_AT_ONCE = 100_000


def distinct_task_names(names: Sequence[object], fingerprints: Sequence[object]) -> list[object]:
    """Return the names, each with the start of its fingerprint where another task has it too.

    Args:
        names: of tasks; one may occur many times.
        fingerprints: of the same tasks; no text stands for one that is not known.
    """
    pairs = [
        (name.removesuffix(_suffix(one)), one)
        if isinstance(name, str) and isinstance(one, str) and one
        else (name, None)
        for name, one in zip(names, fingerprints, strict=True)
    ]
    known: dict[object, set[str]] = {}
    for name, one in pairs:
        if one is not None:
            known.setdefault(name, set()).add(one)
    return [
        f"{name}{_suffix(one)}" if one is not None and len(known[name]) > 1 else name
        for name, one in pairs
    ]


def tell_tasks_apart(frame: pd.DataFrame) -> pd.DataFrame:
    """Return records or runs in which two tasks of one name have two names in `task`.

    Args:
        frame: with a column `task`; without a column `task_fingerprint` it is returned as it is.
    """
    if not {"task", FINGERPRINT} <= set(frame.columns):
        return frame
    there = _distinct(frame[["task", FINGERPRINT]])
    if len(there) == there["task"].nunique(dropna=False):  # each task has one fingerprint
        return frame
    names = distinct_task_names(list(there["task"]), list(there[FINGERPRINT]))
    keys = zip(there["task"], _known(there[FINGERPRINT]), strict=True)
    shown = dict(zip(keys, names, strict=True))
    rows = zip(frame["task"], _known(frame[FINGERPRINT]), strict=True)
    return frame.assign(task=[shown[row] for row in rows])


def _distinct(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that differ, found in parts: pandas needs 40 bytes for each row that it compares."""
    parts = range(0, max(1, len(frame)), _AT_ONCE)
    found = [frame.iloc[start : start + _AT_ONCE].drop_duplicates() for start in parts]
    return pd.concat(found).drop_duplicates() if len(found) > 1 else found[0]


def _known(fingerprints: pd.Series) -> pd.Series:
    """Fingerprints, be they categories or not, with no text for one that is not known."""
    return fingerprints.astype(object).fillna("")


def _suffix(fingerprint: str) -> str:
    return f" ({fingerprint[:8]})"
