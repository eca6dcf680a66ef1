"""`latent evaluate --along`: accuracy at every snapshot of a run, and how far its vectors moved."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent_core.cli.app import FIRST_PROCESS, console, table_of_numbers
from latent_core.cli.comparing import interval_text
from latent_core.cli.run_tasks import task_of_run

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evaluate_along"]


def evaluate_along(
    runs: list[str],
    splits: list[str],
    metric: str,
    task_file: Path | None,
    allow_other_weights: bool,
    **asked: Any,
) -> None:
    """Evaluate every snapshot of runs, keep the records in each run, and print their means.

    Args:
        runs: run folders.
        splits: split names; `ood` stands for every OOD level.
        metric: `graded` or `exact`.
        task_file: the task's file, if it has moved or has changed.
        allow_other_weights: as in `load_model`.
        asked: further arguments of `evaluate`.

    Raises:
        SettingError: if a run has no snapshots.
    """
    import pandas as pd

    from latent_core.adapters.saved import read_saved
    from latent_core.backbones.loading import load_backbone
    from latent_core.evaluation.along import along
    from latent_core.evaluation.evaluate import evaluate
    from latent_core.runs.along_file import write_along
    from latent_core.runs.lock import run_lock
    from latent_core.runs.snapshots import load_snapshots

    moved = {run: load_snapshots(run).distances() for run in runs}  # refused before any work
    backbones: dict[tuple[str, str], Any] = {}
    frames = []
    for run in runs:
        config = read_saved(run)
        task = task_of_run(Path(run), config.notes, task_file)
        key = (config.backbone, str(config.notes.get("dtype", "auto")))
        if key not in backbones:
            backbones[key] = load_backbone(key[0], dtype=key[1])
        frame = along(
            run,
            functools.partial(evaluate, task=task, splits=splits, **asked),
            backbone=backbones[key],
            allow_other_weights=allow_other_weights,
        )
        if FIRST_PROCESS:
            with run_lock(run):
                write_along(run, frame)
        frames.append(frame)
    _show(pd.concat(frames, ignore_index=True), moved, metric)


def _show(records: pd.DataFrame, moved: dict[str, pd.DataFrame], metric: str) -> None:
    """One table for each task, backbone and method: a row for each step."""
    import pandas as pd

    from latent_core.statistics.means import summarise

    for (task, backbone, method), rows in records.groupby(
        ["task", "backbone", "method"], sort=False
    ):
        splits = list(dict.fromkeys(rows["split"]))
        title = f"{method}, {task} on {backbone}: {metric} along training, mean and 95 % interval"
        table = table_of_numbers("step", *splits, "moved", texts=1, title=title)
        means = summarise(rows, ("step", "split"), metric).set_index(["step", "split"])
        steps = sorted(rows["step"].unique())
        every = pd.MultiIndex.from_product([steps, splits])
        means = means.reindex(every)
        own = [moved[run] for run in rows["run"].unique()]
        for step in steps:
            ends = [means.loc[(step, split)] for split in splits]
            cells = [interval_text(one["mean"], one["low"], one["high"], " ") for one in ends]
            totals = [frame[frame["step"] == step]["moved"] for frame in own]
            lengths = [float((total**2).sum() ** 0.5) for total in totals if len(total)]
            table.add_row(str(step), *cells, f"{sum(lengths) / len(lengths):.2f}")
        console.print(table)
    console.print(
        "moved: the distance of what trains from where it was at the first snapshot, mean over "
        "training seeds"
    )
