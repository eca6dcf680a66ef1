"""Python that reproduces the comparison panel: from runs to their curves."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from latent_core.errors import SettingError
from latent_core.tasks.base import Task
from workbench.panels.code import task_source
from workbench.panels.comparison.runs import RunCollection
from workbench.panels.comparison.work import MethodComparison
from workbench.panels.over_examples import ANSWERS_CODE

__all__ = ["comparison_code"]


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
        tables = "from workbench.panels.comparison.tables import difference_table\n"
        differs = f"differences = difference_table(frame, {shown.reference!r}, {shown.metric!r})\n"
    helper = f"\n\n{ANSWERS_CODE}\n\n" if "answers(" in records else ""
    return (
        f"import pandas as pd\n\nimport latent_core as lc\n"
        f"from workbench import accuracy_curve\n{tables}\n"
        f"{helper}task = lc.load_task({task_source(task)!r})\n{records}\n{differs}"
        f'points = lc.summarise(frame, ("method", "split", "level"), {shown.metric!r})\n'
        f"accuracy_curve(points, task, {shown.metric!r}, {list(shown.methods)!r})\n"
    )
