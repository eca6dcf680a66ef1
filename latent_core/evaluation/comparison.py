"""Runs side by side: how good in and out of distribution, and at what cost.

Knows run folders and their records; nothing of models.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from latent_core.archives.folders import has_file
from latent_core.errors import SettingError
from latent_core.runs.find import StoredRun, find_runs, warn_of
from latent_core.runs.many_records import TableStack, constant, records_of_runs
from latent_core.runs.own_files import RECORDS_FILE
from latent_core.slots.methods import method_name
from latent_core.statistics.means import mean_interval, numbered
from latent_core.statistics.task_names import FINGERPRINT, tell_tasks_apart

__all__ = ["compare", "read_records"]

_COSTS: Final = ("trainable", "extra_slots", "decode_steps", "seconds")


def read_records(folders: Iterable[str | Path], metric: str = "graded") -> pd.DataFrame:
    """What a comparison needs of the records of the runs in some folders.

    Args:
        folders: runs, or folders that hold runs at any depth.
        metric: `graded` or `exact`.

    Returns:
        of the columns of `evaluate` those that tell methods, seeds and examples apart, the metric
        and the costs; and run (the folder) and training_seconds. Texts are categories, so that a
        million records take 100 MB. `method` also names the settings in which runs of one method
        differ; `backbone` is empty where neither the records nor the run say it. Two tasks of one
        name have two names in `task`. Records that do not say their training seed have the run's.

    Warns:
        UserWarning: of each run that has not been evaluated, and of copies; they are left out.

    Raises:
        SettingError: if there is no run, or none has been evaluated.
    """
    runs = find_runs(list(folders), apart=True)
    if not runs:
        raise SettingError("there are no runs to compare; expected at least one run folder")
    bare = {run.path for run in runs if not has_file(run.path, RECORDS_FILE)}
    if len(bare) == len(runs):
        raise SettingError(f"no run has been evaluated; run `latent evaluate {runs[0].path}` first")
    for path in sorted(bare):
        warnings.warn(f"{path} is left out: it has not been evaluated", stacklevel=2)
    evaluated = [run for run in runs if run.path not in bare]
    stack = TableStack()
    for run, records in records_of_runs(evaluated, _READ.append(pa.field(metric, pa.float64()))):
        try:
            stack.add(_labelled(run, records, metric))
        except KeyError as error:
            warn_of(run.path, error)
    if not len(stack):
        raise SettingError(
            f"no run has records of its adapter that can be read; run `latent evaluate "
            f"{runs[0].path}` first"
        )
    return tell_tasks_apart(stack.to_frame())


_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
#: What a comparison needs of records, in the types that it needs.
_READ: Final = pa.schema(
    [
        *((name, _TEXT) for name in ("task", FINGERPRINT, "backbone", "method", "layout")),
        *((name, _TEXT) for name in ("split", "key")),
        ("seed", pa.int64()),
        *((name, pa.float64()) for name in ("latent_slots", *_COSTS)),
    ]
)


def _labelled(run: StoredRun, records: pa.Table, metric: str) -> pa.Table:
    """Records with the same columns for every run: what they do not say themselves, the run says.

    Raises:
        KeyError: with a column that they lack.
    """
    columns = dict(zip(records.column_names, records.columns, strict=True))
    if missing := {"split", "key", "latent_slots", metric} - set(columns):
        raise KeyError(", ".join(sorted(missing)))
    columns.setdefault("extra_slots", columns.pop("latent_slots"))
    about: dict[str, Any] = run.about | {"backbone": run.about["backbone"] or ""}
    said = columns.pop("layout", None)
    said = columns.pop("method", said)
    if about["method"] is None and said is not None:
        said = said.combine_chunks()
        names = pa.array([method_name(one) for one in said.dictionary.to_pylist()], pa.string())
        columns["method"] = pa.DictionaryArray.from_arrays(said.indices, names)
    columns["run"] = constant(run.path, len(records), _TEXT)
    columns["training_seconds"] = constant(about["train_seconds"], len(records), pa.float64())
    for field in _READ:
        if field.name not in ("layout", "latent_slots", *columns):
            columns[field.name] = constant(about.get(field.name), len(records), field.type)
    return pa.table(dict(sorted(columns.items())))


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
    records = runs if isinstance(runs, pd.DataFrame) else read_records(runs, metric)
    if "backbone" not in records.columns or records["backbone"].isna().any():
        known = records["backbone"].astype(object) if "backbone" in records.columns else None
        records = records.assign(backbone="" if known is None else known.fillna(""))
    records = tell_tasks_apart(records).reset_index(drop=True)
    if records.empty:
        return pd.DataFrame()
    examples = numbered(records, ("split", "key")).to_numpy(np.int32)
    methods = numbered(records, ("task", "backbone", "method")).to_numpy(np.int32)
    rows, asked = [], []
    for chosen in np.split(methods.argsort(kind="stable"), np.bincount(methods).cumsum()[:-1]):
        group = records.iloc[chosen]
        row = {name: group[name].iloc[0] for name in ("backbone", "task", "method")}
        row["seeds"] = group["seed"].nunique()
        is_ood = group["split"].str.startswith("ood")
        for name, own in (("id", group["split"] == "id"), ("ood", is_ood)):
            row |= _interval(name, group[own], metric, examples[chosen[own]], confidence)
        row |= {name: group[name].mean() for name in _COSTS}
        row["training_seconds"] = group.drop_duplicates("run")["training_seconds"].mean()
        rows.append(row)
        asked.append(np.unique(examples[chosen]))
    frame = pd.DataFrame(rows)
    tables = numbered(frame, ("task", "backbone"))
    first = np.unique(tables, return_index=True)[1][tables]
    same = [np.array_equal(asked[number], asked[table]) for number, table in enumerate(first)]
    frame["same_examples"] = pd.Series(same).groupby(tables).transform("all")
    return frame.iloc[tables.argsort(kind="stable")].reset_index(drop=True)


def _interval(
    name: str, records: pd.DataFrame, metric: str, examples: NDArray[Any], confidence: float
) -> dict[str, float]:
    if records.empty:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    found = mean_interval(records[metric], records["seed"], examples, confidence, (0.0, 1.0))
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
