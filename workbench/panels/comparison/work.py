"""The comparison panel's computation: methods of one task, their tables, and the code for it.

The methods are on one backbone and in one metric. Tables have accuracy in and out of distribution,
their gap, and the cost, or the differences from one of the methods, paired example by example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from latent_core.errors import SettingError
from latent_core.statistics.means import accuracy_interval, mean_interval, paired_difference
from latent_core.tasks.base import Task
from workbench.panels.code import task_source
from workbench.panels.comparison.runs import RunCollection
from workbench.panels.over_examples import ANSWERS_CODE
from workbench.pictures.curves import HasLevels, RecordedTask, accuracy_points

__all__ = [
    "MethodComparison",
    "compare_methods",
    "comparison_code",
    "difference_points",
    "difference_table",
    "method_table",
    "split_order",
]


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


@dataclass(frozen=True)
class MethodComparison:
    """The methods of one task on one backbone, in one metric.

    Attributes:
        task: the task, or what its records say of it; its name is the one that was asked for.
        backbone: the one that was chosen.
        backbones: all that the task has runs of.
        metric: `graded` or `exact`.
        methods: all that there are runs of.
        points: mean accuracy by method, split and level; see `accuracy_points`.
        by_method: see `method_table`.
        reference: the method that is subtracted from the others, if any.
        differences: see `difference_table`; or the reason why there are none; or None without a
            reference.
        difference_points: the same by method and level, with `mean`, `low` and `high`; empty
            without differences.
        every_record: whether all records were read, rather than means of runs.
        runs: how many.
    """

    task: HasLevels
    backbone: str
    backbones: tuple[str, ...]
    metric: str
    methods: tuple[str, ...]
    points: pd.DataFrame
    by_method: pd.DataFrame
    reference: str | None
    differences: pd.DataFrame | str | None
    difference_points: pd.DataFrame
    every_record: bool
    runs: int


def compare_methods(
    collection: RunCollection,
    task: str,
    known: Task | None,
    backbone: str,
    metric: str,
    reference: str | None,
) -> tuple[MethodComparison | None, tuple[str, ...]]:
    """Read runs and average their records.

    Args:
        collection: the runs.
        task: which of their tasks, as the runs name it.
        known: the task itself, if it is at hand.
        backbone: which of their backbones; if the task has no run on it, the first.
        metric: `graded` or `exact`.
        reference: the method to subtract from the others, if any.

    Returns:
        the comparison, or None if the task has no records; and all tasks that there are runs of.
    """
    summary = collection.summary()
    tasks = tuple(summary["task"].unique())
    here = summary[summary["task"] == task]
    backbones = tuple(here["backbone"].unique())
    if not backbones:
        return None, tasks
    backbone = backbone if backbone in backbones else backbones[0]
    records, whole = collection.records(task, backbone)
    methods = tuple(records["method"].unique())
    reference = reference if reference in methods else None
    differences = None if reference is None else _differences(records, reference, metric, whole)
    paired = reference is not None and isinstance(differences, pd.DataFrame)
    return MethodComparison(
        task=_task_of(task, known, records),
        backbone=backbone,
        backbones=backbones,
        metric=metric,
        methods=methods,
        points=accuracy_points(records, metric),
        by_method=method_table(records, metric),
        reference=reference,
        differences=differences,
        difference_points=difference_points(records, str(reference), metric)
        if paired
        else pd.DataFrame(columns=["method", "level", "mean"]),
        every_record=whole,
        runs=len(here[here["backbone"] == backbone].drop_duplicates(["run", "method", "seed"])),
    ), tasks


def _task_of(name: str, known: Task | None, records: pd.DataFrame) -> HasLevels:
    """The task under the name that tells it from others of its name."""
    if known is None:
        return RecordedTask.of(name, records)
    if known.name == name:
        return known
    metrics = (known.exact_metric, known.graded_metric)
    return RecordedTask(name, known.id_levels, *metrics, known.level_name)


def _differences(
    records: pd.DataFrame, reference: str, metric: str, whole: bool
) -> pd.DataFrame | str:
    """Subtract one method from the others, or say why not."""
    if not whole:
        return "No differences: they need every record, and there are too many records to read."
    try:
        return difference_table(records, reference, metric)
    except SettingError as error:
        return str(error)


def comparison_code(
    collection: RunCollection, shown: MethodComparison, task: Task | None, methods: Sequence[str]
) -> str:
    """Write code that reads runs, averages them and draws the curves.

    Args:
        collection: the runs.
        shown: the comparison that is drawn.
        task: its task, if it is at hand.
        methods: those that are ticked.

    Raises:
        SettingError: for a task that is known by its records alone.
    """
    if task is None:
        raise SettingError(
            f"task {shown.task.name!r} is known only from its records; open the workbench with "
            "this task to get its code"
        )
    records = collection.code(shown.task.name, shown.backbone, list(methods))
    differs = tables = ""
    if isinstance(shown.differences, pd.DataFrame):
        tables = "from workbench.panels.comparison.work import difference_table\n"
        differs = f"differences = difference_table(frame, {shown.reference!r}, {shown.metric!r})\n"
    helper = f"\n\n{ANSWERS_CODE}\n\n" if "answers(" in records else ""
    return (
        f"import pandas as pd\n\nimport latent_core as lc\n"
        f"from workbench import accuracy_curve\n{tables}\n"
        f"{helper}task = lc.load_task({task_source(task)!r})\n{records}\n{differs}"
        f'points = lc.summarise(frame, ("method", "split", "level"), {shown.metric!r})\n'
        f"accuracy_curve(points, task, {shown.metric!r}, {list(shown.methods)!r})\n"
    )
