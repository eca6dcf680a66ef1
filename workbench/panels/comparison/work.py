"""What the comparison panel shows, computed: one task on one backbone, in one metric.

Knows runs and their statistics; no widgets.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from latent_core.errors import SettingError
from latent_core.tasks.base import Task
from latent_core.wording import counted
from workbench.panels.comparison.runs import RunCollection
from workbench.panels.comparison.table import difference_table, method_table
from workbench.pictures.curves import HasLevels, RecordedTask, accuracy_points

__all__ = ["Compared", "compare"]


@dataclass(frozen=True)
class Compared:
    """What the panel shows, computed by a job: one task on one backbone, in one metric."""

    task: HasLevels
    backbone: str
    backbones: tuple[str, ...]
    metric: str
    methods: tuple[str, ...]
    points: pd.DataFrame
    by_method: pd.DataFrame
    reference: str | None
    differences: pd.DataFrame | str | None  # or why there are none
    every_record: bool
    runs: int

    def words(self, points: pd.DataFrame) -> str:
        """What there is to say of the points that are drawn."""
        words = [f"{counted(self.runs, 'run')}."]
        if not self.every_record:
            words.append(
                "There are too many records to read: intervals are over the means of runs."
            )
        elif points["seeds"].max() == 1:
            words.append(
                "One training seed per method: the intervals are over examples only, and say "
                "nothing of how another seed would have done."
            )
        elif points["seeds"].min() == 1:
            words.append(
                "Intervals are over seeds and examples; where there is one seed, over examples "
                "only."
            )
        else:
            words.append("Intervals are over seeds and examples.")
        return " ".join([*words, "Click a point to see its examples."])


def compare(
    collection: RunCollection,
    task: str,
    known: Task | None,
    backbone: str,
    metric: str,
    reference: str | None,
) -> tuple[Compared | None, tuple[str, ...]]:
    """Read and average runs.

    Args:
        collection: the runs.
        task: which of their tasks.
        known: the task itself, if it is at hand.
        backbone: which of their backbones; if the task has no run on it, the first.
        metric: `graded` or `exact`.
        reference: the method to differ from, if any.

    Returns:
        what there is of the task, or None; and all tasks that there are runs of.
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
    there = reference in methods
    compared = Compared(
        known or RecordedTask.of(task, records),
        backbone,
        backbones,
        metric,
        methods,
        accuracy_points(records, metric),
        method_table(records, metric),
        reference if there else None,
        _differences(records, reference, metric, whole) if there and reference else None,
        whole,
        len(here[here["backbone"] == backbone].drop_duplicates(["run", "method", "seed"])),
    )
    return compared, tasks


def _differences(
    records: pd.DataFrame, reference: str, metric: str, whole: bool
) -> pd.DataFrame | str:
    """Of the other methods from this one, or why there are none."""
    if not whole:
        return "There are too many records to read, and differences need every one."
    try:
        return difference_table(records, reference, metric)
    except SettingError as error:
        return str(error)
