"""`latent evaluate`: the records of finished runs, or of every snapshot of a run (`--along`)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.text import Text

from latent_core.cli.app import (
    FIRST_PROCESS,
    OtherWeights,
    Runs,
    ThreadsOption,
    app,
    console,
    fix_threads_if,
    say_once,
    say_threads,
    table_of_numbers,
)
from latent_core.cli.comparing import interval_text, show_comparison, show_summary
from latent_core.cli.terminal import say
from latent_core.errors import AdapterError, SettingError, TaskError

if TYPE_CHECKING:
    import pandas as pd

    from latent_core.adapters.saved import Saved
    from latent_core.tasks.base import Task

__all__ = ["evaluate", "evaluate_along", "task_of_run"]


def task_of_run(folder: Path, notes: dict[str, Any], task_file: Path | None) -> Task:
    """The task that a run was trained on, or the one of a file that is named instead.

    Raises:
        AdapterError: if the run does not say its task.
        TaskError: if its file is gone or has changed, and none is named instead.
    """
    from latent_core.tasks.table import load_task

    if "task" not in notes:
        raise AdapterError(
            f"{folder} does not say what task it was trained on; expected a folder made by "
            "`latent train`"
        )
    source = str(notes.get("task_source", notes["task"]))
    own_file = source.endswith(".jsonl")
    if task_file is not None and not own_file:
        raise SettingError(f"{folder} was trained on the task {source}, which is no file")
    if task_file is None and own_file and not Path(source).is_file():
        raise TaskError(
            f"{folder} was trained on {source}, and there is no such file now; give its new place "
            "with --task-file"
        )
    task = load_task(source if task_file is None else task_file)
    trained_on = notes.get("task_fingerprint", task.fingerprint)
    if task.fingerprint != trained_on:
        differs = (
            f"{folder} was trained on another task (fingerprint {trained_on[:8]}) than "
            f"{task_file or source} now holds ({task.fingerprint[:8]})"
        )
        if task_file is None and own_file:
            raise TaskError(
                f"{differs}; give the file it was trained on, or this one to evaluate on it, with "
                "--task-file"
            )
        say(f"latent: {differs}")
    return task


@app.command()
def evaluate(
    folders: Runs,
    splits: Annotated[
        str, typer.Option(help="Comma-separated: train, validation, id, ood, ood-10, ...")
    ] = "id,ood",
    examples: Annotated[int, typer.Option(help="Examples per split.")] = 100,
    eval_seed: Annotated[
        int,
        typer.Option(
            "--eval-seed",
            "--seed",
            help="Seed of the examples; use the same for runs that you compare.",
        ),
    ] = 1,
    metric: Annotated[str, typer.Option(help="Metric in the tables: graded or exact.")] = "graded",
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Answer again, and replace the records of these splits."),
    ] = False,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="Answer one prompt at a time: in bfloat16, answers depend on the batch.",
        ),
    ] = False,
    task_file: Annotated[
        Path | None,
        typer.Option(
            "--task-file", help="The .jsonl file of the task, if it has moved or has changed."
        ),
    ] = None,
    along: Annotated[
        bool,
        typer.Option(
            "--along", help="Evaluate every snapshot of the runs instead of what they kept."
        ),
    ] = False,
    allow_other_weights: OtherWeights = False,
    threads: ThreadsOption = None,
) -> None:
    """Measure the accuracy of runs in and out of distribution.

    Writes records.parquet into each folder, with one row per example. Prints a table with 95 %
    intervals for each backbone. Runs that differ only in their training seed are averaged.

    Examples that a run has already answered are not answered again, and records of other splits
    stay. Fewer examples than a run has, or another --eval-seed, would delete records; they need
    --replace. A task file with other content than the run was trained on needs --task-file.

    --along writes along.parquet instead, with a row for each example and snapshot, in place of one
    that is there. It needs runs that were trained with --snapshots.
    """
    from latent_core.evaluation.comparison import compare as side_by_side
    from latent_core.evaluation.comparison import read_records
    from latent_core.runs.find import find_runs
    from latent_core.statistics.means import summarise

    if metric not in ("graded", "exact"):
        raise SettingError(f"unknown metric {metric!r}; expected graded or exact")
    names = [name.strip() for name in splits.split(",")]
    loaded: dict[tuple[str, str], Any] = {}
    runs = [run.path for run in find_runs(folders, {"status": "finished"})]
    if not runs:
        where = ", ".join(map(str, folders))
        raise SettingError(f"no finished run in {where}; `latent train` makes one")
    fix_threads_if(threads)
    if along:
        evaluate_along(
            runs,
            names,
            metric,
            task_file,
            allow_other_weights,
            examples=examples,
            eval_seed=eval_seed,
            deterministic=deterministic,
        )
        say_threads()
        return
    plans = [
        _asked(Path(run), names, examples, eval_seed, replace, deterministic, task_file)
        for run in runs
    ]
    options = {"deterministic": deterministic, "allow_other_weights": allow_other_weights}
    for plan in filter(lambda plan: plan.splits, plans):
        with _held(plan.folder):
            _evaluate_run(plan, examples, eval_seed, replace, loaded, **options)
    records = read_records(runs, metric)
    show_summary(summarise(records, ("backbone", "task", "method", "split"), metric), metric)
    show_comparison(side_by_side(records, metric), metric)
    if any(plan.splits for plan in plans):
        say_threads()


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a run's lock while it is evaluated; of several processes, the first one holds it."""
    from latent_core.runs.lock import run_lock

    with run_lock(folder) if FIRST_PROCESS else contextlib.nullcontext():
        yield


class _Asked(NamedTuple):
    """A run, and the splits of its task that it is asked."""

    folder: Path
    config: Saved
    task: Task
    splits: list[str]


def _asked(
    folder: Path,
    splits: list[str],
    examples: int,
    eval_seed: int,
    replace: bool,
    deterministic: bool,
    task_file: Path | None,
) -> _Asked:
    """What a run is asked: what its records do not answer already.

    Raises:
        SettingError: if records of more or other examples would be lost, without `replace`.
        TaskError: if the run's task file is gone or has changed, without `task_file`.
    """
    from latent_core.adapters.digest import saved_digest
    from latent_core.adapters.saved import BaselineConfig, read_saved
    from latent_core.runs.evaluation_file import adapters_of, kept_records, records_damage
    from latent_core.runs.records import check_loss, hold_answers_to
    from latent_core.slots.methods import Method
    from latent_core.tasks.base import resolve_splits

    config = read_saved(folder)
    notes = config.notes
    if examples < 1:
        raise SettingError(f"examples is {examples}; expected at least 1 per split")
    task = task_of_run(folder, notes, task_file)
    names = list(resolve_splits(task, splits))
    before = None if replace and records_damage(folder) else kept_records(folder)
    if before is None or replace:
        return _Asked(folder, config, task, names)
    method = None if isinstance(config, BaselineConfig) else notes.get("method", config.layout)
    shots = Method.parse(method).shots if method else 0
    adapter, answered_by = saved_digest(folder), adapters_of(before.attrs.get("evaluation"))
    missing = []
    for name in names:
        drawn = task.examples(name, examples, eval_seed)
        known = hold_answers_to(before, drawn, eval_seed, shots, deterministic)
        if not known or answered_by.get(name, adapter) != adapter:
            check_loss(before, name, len(drawn), eval_seed, str(folder))
            missing.append(name)
    if answered := [name for name in names if name not in missing]:
        console.print(
            Text(f"{folder}: {', '.join(answered)} already evaluated; --replace evaluates again")
        )
    if unsaid := [name for name in answered if name not in answered_by]:
        say_once(
            f"{folder}: the records of {', '.join(unsaid)} are of an older version and do not say "
            "which adapter they are of; they are taken to be of the one that is there now"
        )
    return _Asked(folder, config, task, missing)


def _evaluate_run(
    asked: _Asked,
    examples: int,
    eval_seed: int,
    replace: bool,
    loaded: dict[tuple[str, str], Any],
    *,
    deterministic: bool,
    allow_other_weights: bool,
) -> None:
    """Ask one run and keep its records; `loaded` shares backbones between runs."""
    from latent_core.backbones.loading import load_backbone
    from latent_core.evaluation.evaluate import evaluate as answer
    from latent_core.models.build import load_model
    from latent_core.runs.evaluation_file import write_records

    folder, config, task, splits = asked
    name, dtype = key = config.backbone, str(config.notes.get("dtype", "auto"))
    if key not in loaded:
        loaded[key] = load_backbone(name, dtype=dtype)
    model = load_model(folder, loaded[key], allow_other_weights=allow_other_weights)
    frame = answer(model, task, splits, examples, eval_seed, deterministic=deterministic)
    frame = frame.assign(seed=config.notes.get("seed", 0))
    if FIRST_PROCESS:
        write_records(folder, frame, replace=replace)


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
    from latent_core.runs.lock import run_lock
    from latent_core.runs.snapshots import load_snapshots, write_along

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
