"""Many runs as one table, read from run folders and archives of them.

The files are the truth; there is no database that could disagree. A summary reads two small files a
run (`run.json`, `summary.json`) and no records. Records are read only of the runs that were asked
for, those of one archive in one pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from latent_core.archives.tables import RecordsTable, frame_of
from latent_core.runs.evaluation_file import AVERAGED, COSTS, read_summary
from latent_core.runs.find import StoredRun, Where, find_runs, several, warn_of
from latent_core.runs.many_records import records_of_runs
from latent_core.statistics.task_names import FINGERPRINT, tell_tasks_apart

__all__ = ["RUN_COLUMNS", "load_runs"]

#: What every run says of itself; the first columns of every table.
RUN_COLUMNS: Final = (
    *("run", "path", "status", "task", "task_fingerprint", "backbone", "method", "layout", "seed"),
    *("learning_rate", "steps", "batch_size", "trainable", "train_seconds", "error"),
)
#: What is said of each split and level.
RESULT_COLUMNS: Final = ("split", "level", "examples", *AVERAGED, "seconds")


def load_runs(
    paths: str | Path | Iterable[str | Path],
    where: Where = None,
    records: bool = False,
    apart: bool = False,
) -> pd.DataFrame:
    """The runs below some folders, as one tidy table.

    Args:
        paths: a folder, or several; runs are found at any depth, in archives as well. Hidden
            folders are left out. `shipped:BACKBONE/TASK/METHOD` stands for runs that ship.
        where: which runs. A mapping such as `{"task": "repetition", "method": ["Start_2",
            "Comma_2"]}` of columns, settings or notes, and of `split` and `level` for single rows;
            or a function of a run's `StoredRun.about`.
        records: one row per example instead of one per run, split and level.
        apart: whether `method` also names the settings in which runs of one method on one task and
            backbone differ, such as `Start_2 (steps=200)`, so that they are not averaged; `where`
            goes by these names then.

    A run that is there twice, such as a backup copy, counts once, with a warning. Two tasks of one
    name have two names in `task`, each with the start of its fingerprint: `data (1f3b9c2e)`.

    Returns:
        columns run (the folder, relative to the one given), path, status, task, task_fingerprint,
        backbone, method, layout, seed, learning_rate, steps, batch_size, trainable, train_seconds,
        error, split, level, examples, the means exact, graded, response_tokens, latent_slots and so
        on, and seconds of evaluation in all; a run without records has one row, of no split. With
        `records`, the columns of `evaluate` after run, path, method, seed, learning_rate, steps and
        trainable.

    Raises:
        SettingError: if a folder does not exist, or no run has a column that `where` names.

    Warns:
        UserWarning: of runs that are damaged, and of copies; they are left out.

    Example:
        >>> import latent_core as lc
        >>> frame = lc.load_runs("shipped:tiny/repetition/Start_6")
        >>> frame["seed"].nunique(), frame["split"].unique().tolist()
        (10, ['id', 'ood-6', 'ood-8', 'ood-10', 'ood-15'])
    """
    rows = {}
    if isinstance(where, Mapping):
        rows = {name: several(where[name]) for name in ("split", "level") if name in where}
        where = {name: value for name, value in where.items() if name not in rows}
    runs = find_runs(paths, where, apart)
    frame = tell_tasks_apart(_records(runs) if records else _summaries(runs))
    for name, wanted in rows.items():
        if len(frame):
            frame = frame[frame[name].isin(wanted)].reset_index(drop=True)
    return frame


def _summaries(runs: list[StoredRun]) -> pd.DataFrame:
    readable, counts, answered = [], [], list[tuple[Any, Any]]()
    results: dict[str, list[Any]] = {name: [] for name in RESULT_COLUMNS}
    for run in runs:
        try:
            summary = _summary(run.path)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            warn_of(run.path, error)
            continue
        count = len(summary["split"])
        for name in RESULT_COLUMNS:
            results[name].extend(summary.get(name) or [None] * count)
        answered.extend(_answered(run, summary, count))
        counts.append(count)
        readable.append(run.about)
    about = pd.DataFrame({name: [run[name] for run in readable] for name in RUN_COLUMNS})
    about = about.iloc[np.repeat(np.arange(len(about)), counts)].reset_index(drop=True)
    about[["task", FINGERPRINT]] = pd.DataFrame(answered, columns=["task", FINGERPRINT])
    frame = about.join(pd.DataFrame(results))
    frame = frame.drop(columns=[name for name in COSTS if frame[name].isna().all()])
    whole = {name: "Int64" for name in ("level", "examples", "seed", "steps", "trainable")}
    return frame.astype(whole)


def _answered(run: StoredRun, summary: Mapping[str, Any], count: int) -> list[tuple[Any, Any]]:
    """The name and fingerprint of the task that each row of a summary is of."""
    own = (run.about["task"], run.about[FINGERPRINT])
    names, prints = (summary.get(name) or [None] * count for name in ("task", FINGERPRINT))
    return [
        own if one in (None, own[1]) else (name, one)
        for name, one in zip(names, prints, strict=True)
    ]


def _summary(path: str) -> dict[str, Any]:
    try:
        summary = read_summary(path)
        return summary if summary["split"] else {"split": [None]}
    except FileNotFoundError:
        return {"split": [None]}


def _records(runs: list[StoredRun]) -> pd.DataFrame:
    frames: list[pd.DataFrame] = []
    found = records_of_runs(runs)
    for _, alike in itertools.groupby(found, key=lambda pair: pair[1].schema):
        of_runs, tables = zip(*alike, strict=True)
        frame = frame_of(RecordsTable(pa.concat_tables(tables), {}, False))
        frames.append(_labelled(of_runs, [table.num_rows for table in tables], frame))
    columns = [*_WITH_RECORDS, "split", "level", "exact", "graded"]
    if not frames:
        return pd.DataFrame(columns=columns)
    frame = pd.concat(frames, ignore_index=True)
    shown = {run.about[FINGERPRINT]: run.about["task"] for run in runs if run.about[FINGERPRINT]}
    if not shown:
        return frame
    names = frame[FINGERPRINT].map(shown)
    return frame.assign(task=names.where(names.notna(), frame["task"]))


def _labelled(
    runs: Sequence[StoredRun], counts: Sequence[int], frame: pd.DataFrame
) -> pd.DataFrame:
    """Records with columns of their runs in front, of each of which `counts` rows follow."""
    names = [*_WITH_RECORDS, *(name for name in _IF_MISSING if name not in frame.columns)]
    first = [
        pd.DataFrame({name: run.about[name] for name in names}, index=range(min(count, 1)))
        for run, count in zip(runs, counts, strict=True)
    ]
    about = pd.concat(first, ignore_index=True)
    about = about.iloc[np.repeat(np.arange(len(about)), [c for c in counts if c])]
    about.index = frame.index
    return about.join(frame.drop(columns=[name for name in names if name in frame.columns]))


_WITH_RECORDS = ("run", "path", "method", "seed", "learning_rate", "steps", "trainable")
_IF_MISSING = ("task", "task_fingerprint", "backbone", "layout")
