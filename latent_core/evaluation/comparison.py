"""Runs side by side: how good in and out of distribution, and at what cost.

Knows run folders and their records; nothing of models.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from latent_core.archives.folders import has_file
from latent_core.errors import SettingError
from latent_core.runs.evaluation_file import current_records
from latent_core.runs.find import StoredRun, find_runs, warn_of
from latent_core.runs.own_files import RECORDS_FILE
from latent_core.slots.methods import method_name
from latent_core.statistics.means import accuracy_interval
from latent_core.statistics.task_names import FINGERPRINT, tell_tasks_apart

__all__ = ["compare", "read_records"]


def read_records(folders: Iterable[str | Path]) -> pd.DataFrame:
    """Records of the runs in some folders, with columns of the run: run, training_seconds.

    Args:
        folders: runs, or folders that hold runs at any depth.

    Returns:
        the columns of `evaluate`. `method` also names the settings in which runs of one method
        differ; `backbone` is empty where neither the records nor the run say it. Two tasks of one
        name have two names in `task`.

    Warns:
        UserWarning: of each run that has not been evaluated, and of copies; they are left out.

    Raises:
        SettingError: if there is no run, or none has been evaluated.
    """
    runs = find_runs(list(folders), apart=True)
    if not runs:
        raise SettingError("there are no runs to compare; expected at least one run folder")
    bare = [run for run in runs if not has_file(run.path, RECORDS_FILE)]
    if len(bare) == len(runs):
        first = f"`latent evaluate {bare[0].path}`"
        raise SettingError(f"no run has been evaluated; run {first} first")
    for run in bare:
        warnings.warn(f"{run.path} is left out: it has not been evaluated", stacklevel=2)
    frames = [frame for run in runs if run not in bare for frame in _readable(run)]
    if not frames:
        raise SettingError(
            f"no run has records of its adapter that can be read; run `latent evaluate "
            f"{runs[0].path}` first"
        )
    return tell_tasks_apart(pd.concat(frames, ignore_index=True))


def _readable(run: StoredRun) -> list[pd.DataFrame]:
    """The records of a run in a list, which is empty, with a warning, if they are damaged."""
    try:
        frame = _records_of(run)
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        warn_of(run.path, error)
        return []
    return [frame] if len(frame) else []


def _records_of(run: StoredRun) -> pd.DataFrame:
    records = current_records(run.path)
    defaults = {
        FINGERPRINT: run.about[FINGERPRINT],
        "backbone": run.about["backbone"] or "",
        "seed": 0,
        "extra_slots": records["latent_slots"],
        "trainable": run.about["trainable"],
        "decode_steps": float("nan"),
    }
    missing = {name: value for name, value in defaults.items() if name not in records.columns}
    method = run.about["method"] or records.get("method", records["layout"]).map(method_name)
    seconds = float("nan" if run.about["train_seconds"] is None else run.about["train_seconds"])
    return records.assign(**missing, method=method, run=run.path, training_seconds=seconds)


def compare(
    runs: Iterable[str | Path] | pd.DataFrame, metric: str = "graded", confidence: float = 0.95
) -> pd.DataFrame:
    """One row per backbone, task and method, runs with different training seeds together.

    Args:
        runs: folders of evaluated runs, at any depth, or records as `read_records` gives them.
        metric: `graded` or `exact`.
        confidence: share of the intervals.

    Returns:
        backbone, task, method, seeds; id and ood (means; all OOD levels together) with id_low,
        id_high, ood_low and ood_high; trainable (numbers), extra_slots and decode_steps (means per
        answer), seconds (mean per answer), training_seconds (mean per run), and same_examples:
        whether all methods on the task with this backbone answered the same ones.

    Raises:
        SettingError: if no run has been evaluated, or the metric is unknown.

    Example:
        >>> import latent_core as lc
        >>> paths = [lc.shipped_adapter(m, backbone="tiny") for m in ("Start_6", "Comma_2")]
        >>> lc.compare(paths)[["method", "trainable"]].values.tolist()
        [['Start_6', 768.0], ['Comma_2', 256.0]]
    """
    if metric not in ("graded", "exact"):
        raise SettingError(f"unknown metric {metric!r}; expected graded or exact")
    records = runs if isinstance(runs, pd.DataFrame) else read_records(runs)
    known = records["backbone"].fillna("") if "backbone" in records.columns else ""
    records = tell_tasks_apart(records.assign(backbone=known))
    rows = []
    for (task, backbone), of_task in records.groupby(["task", "backbone"], sort=False):
        groups = list(of_task.groupby("method", sort=False))
        asked = [set(zip(group["split"], group["key"], strict=True)) for _, group in groups]
        same = all(examples == asked[0] for examples in asked)
        for method, group in groups:
            row = {"backbone": backbone, "task": task, "method": method}
            row["seeds"] = group["seed"].nunique()
            is_ood = group["split"].str.startswith("ood")
            for name, part in (("id", group[group["split"] == "id"]), ("ood", group[is_ood])):
                row |= _interval(name, part, metric, confidence)
            row |= {
                name: group[name].mean()
                for name in ("trainable", "extra_slots", "decode_steps", "seconds")
            }
            row["training_seconds"] = group.groupby("run")["training_seconds"].first().mean()
            rows.append(row | {"same_examples": same})
    return pd.DataFrame(rows)


def _interval(name: str, records: pd.DataFrame, metric: str, confidence: float) -> dict[str, float]:
    if records.empty:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    found = accuracy_interval(records, metric, confidence)
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
