"""The comparison panel's computation: the methods of one task on one backbone, in one metric."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from latent_core.errors import SettingError
from latent_core.tasks.base import Task
from workbench.panels.comparison.runs import RunCollection
from workbench.panels.comparison.tables import difference_points, difference_table, method_table
from workbench.pictures.curves import HasLevels, RecordedTask, accuracy_points

__all__ = ["MethodComparison", "compare_methods"]


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
