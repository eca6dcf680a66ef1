"""The work of one run of a grid, in whatever process: train, evaluate, record.

A process holds the run's lock while it works on it. It continues from the last checkpoint and the
last evaluated split, so a killed run loses little. A run that fails records its error.
"""

from __future__ import annotations

import contextlib
import functools
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import LatentError, SettingError
from latent_core.evaluation.evaluate import evaluate
from latent_core.grids.search import choose, settled
from latent_core.grids.spec import RunSpec, Training
from latent_core.models.build import build_model
from latent_core.models.steered import SteeredModel
from latent_core.runs.evaluation_file import (
    read_evaluation,
    set_aside_damaged_records,
    write_records,
)
from latent_core.runs.folder import claim_run, disk_errors, fail_run, read_run, reopen_run
from latent_core.runs.lock import RunBusyError, run_lock
from latent_core.runs.own_files import RUN_FILE, delete_leftovers, set_aside
from latent_core.slots.methods import Method
from latent_core.tasks.base import Task
from latent_core.tasks.table import load_task
from latent_core.training.train import train
from latent_core.training.untrained import keep_untrained

__all__ = [
    "RunOutcome",
    "RunState",
    "do_run",
    "error_text",
    "give_up",
    "record_failure",
    "state_of",
]

RunState = Literal["finished", "failed", "begun", "missing", "unreadable"]


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of a run.

    Attributes:
        spec: the run.
        status: `finished`; `failed`, with `error`; or `busy`, if another process has its lock.
        seconds: time that this call spent on it.
        error: the reason of a failure, in one sentence.
    """

    spec: RunSpec
    status: Literal["finished", "failed", "busy"]
    seconds: float = 0.0
    error: str = ""


def state_of(spec: RunSpec, root: str | Path) -> RunState:
    """Read the state of a run; a damaged `run.json` counts as missing."""
    try:
        return _state(spec, Path(root) / spec.folder)
    except OSError:
        return "unreadable"


def _state(spec: RunSpec, folder: Path) -> RunState:
    try:
        status = read_run(folder)["status"]
    except (FileNotFoundError, NotADirectoryError, SettingError):
        return "missing"
    if status == "failed":
        return "failed"
    if status == "finished" and not _missing_splits(spec, folder):
        return "finished"
    return "begun"


def do_run(
    spec: RunSpec, root: str | Path, retry_failed: bool = False, wait: float = 0
) -> RunOutcome:
    """Do a run, or the rest of it.

    Args:
        spec: the run.
        root: the grid's folder.
        retry_failed: whether to try a failed run again.
        wait: seconds to wait for another process that holds the run's lock.
    """
    started, folder = time.perf_counter(), Path(root) / spec.folder
    try:
        with run_lock(folder, wait):
            try:
                state = _state(spec, folder)
            except OSError as error:  # the run may be whole, so nothing is deleted or overwritten
                raise LatentError(
                    f"cannot read {folder / RUN_FILE}: {error.strerror or error}; expected a file "
                    "that can be read. The run was left as it is"
                ) from error
            try:
                return _done(spec, Path(root), folder, state, retry_failed, started)
            except Exception as error:  # one run that fails does not stop the grid
                said = error_text(error)
                record_failure(spec, root, said)
                return RunOutcome(spec, "failed", time.perf_counter() - started, said)
    except RunBusyError:
        return RunOutcome(spec, "busy", time.perf_counter() - started)
    except LatentError as error:  # the folder cannot be written
        return RunOutcome(spec, "failed", time.perf_counter() - started, error_text(error))


def give_up(spec: RunSpec, root: str | Path, error: str) -> RunOutcome:
    """Record in its folder, if possible, that a run's process died; return the outcome."""
    with contextlib.suppress(LatentError):
        record_failure(spec, root, error)
    return RunOutcome(spec, "failed", 0.0, error)


def record_failure(spec: RunSpec, root: str | Path, error: str) -> None:
    """Write into the run's folder that it failed, and why.

    Raises:
        LatentError: if the folder cannot be written.
    """
    folder = Path(root) / spec.folder
    settings = {"task": spec.task_name, "backbone": spec.backbone, "method": spec.method}
    fail_run(folder, settings | {"seed": spec.seed}, _notes(spec, spec.training, None), error)


def error_text(error: BaseException) -> str:
    """Return the text of our own error; any other error gets its type, file and line."""
    if isinstance(error, LatentError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"


def _done(
    spec: RunSpec, root: Path, folder: Path, state: RunState, retry_failed: bool, started: float
) -> RunOutcome:
    if state == "failed" and not retry_failed:
        return RunOutcome(spec, "failed", 0.0, read_run(folder).get("error", ""))
    if state != "finished":
        with disk_errors(folder):
            delete_leftovers(folder)
        if state == "failed":
            reopen_run(folder)
        elif state == "missing":
            _claim(spec, folder)
        training, chosen = spec.training, None
        if spec.search is not None:
            training, chosen = settled(spec, root) or choose(spec, root)
        notes = _notes(spec, training, chosen)
        task = load_task(spec.task)
        model = _model(spec, training, task)
        _train(model, task, folder, spec, training, notes)
        _evaluate(model, task, folder, spec, notes)
    return RunOutcome(spec, "finished", time.perf_counter() - started)


def _claim(spec: RunSpec, folder: Path) -> None:
    """Begin a run in its folder, which has no whole `run.json`.

    The folder is the run's by its name, so what else lies in it is in nobody's way: files of a run
    that was there before are set aside, and files of the user stay.
    """
    with disk_errors(folder):
        if (target := set_aside(folder)) is not None:
            warnings.warn(
                f"the run in {folder} has no {RUN_FILE} that can be read; its files are in "
                f"{target} now, and the run is done again",
                stacklevel=2,
            )
        claim_run(folder, _notes(spec, spec.training, None))


def _notes(
    spec: RunSpec, training: Training | None, chosen: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the notes of `run.json`: what is not a setting of `train`."""
    source = str(Path(spec.task).resolve()) if spec.task.endswith(".jsonl") else spec.task
    notes: dict[str, Any] = {"method": spec.method, "task_source": source, "dtype": spec.dtype}
    if training is not None:
        notes["init"] = training.init
    if chosen is not None:
        notes["search"] = chosen
    return notes


@functools.lru_cache(maxsize=1)  # the runs of a worker come sorted by backbone
def _backbone(name: str, dtype: str) -> Backbone:
    return load_backbone(name, dtype=dtype)


def _model(spec: RunSpec, training: Training | None, task: Task) -> SteeredModel:
    method = Method.parse(spec.method)
    if training is not None and method.layout.trains and method.init == "vocab":
        method = Method.parse(spec.method, training.init)
    return build_model(_backbone(spec.backbone, spec.dtype), method, spec.seed, task=task)


def _train(
    model: SteeredModel,
    task: Task,
    folder: Path,
    spec: RunSpec,
    training: Training | None,
    notes: dict[str, Any],
) -> None:
    if training is None:
        keep_untrained(model, task, spec.seed, folder, resume=True, notes=notes)
        return
    training = training.of_method(Method.parse(spec.method))
    train(
        model,
        task,
        steps=training.steps,
        batch_size=training.batch_size,
        seed=spec.seed,
        output_dir=folder,
        learning_rate=training.learning_rate,
        gradient_accumulation=training.gradient_accumulation,
        resume=True,
        progress=False,
        notes=notes,
        **training.checks,
        **training.arguments,
    )


def _missing_splits(spec: RunSpec, folder: Path) -> list[str]:
    """Return the splits with fewer records than the grid asks for, or of another seed."""
    asked = spec.evaluation
    done = (read_evaluation(folder) or {"splits": {}})["splits"]

    def is_done(split: str) -> bool:
        known = done.get(split, {})
        enough = (known.get("examples") or 0) >= asked.examples
        return enough and known.get("seed") == asked.seed

    return [split for split in asked.splits if not is_done(split)]


def _evaluate(
    model: SteeredModel, task: Task, folder: Path, spec: RunSpec, notes: dict[str, Any]
) -> None:
    """Evaluate the missing splits; the records of each are written as soon as it is done."""
    asked = spec.evaluation
    missing = _missing_splits(spec, folder)
    set_aside_damaged_records(folder)
    for split in missing:
        frame = evaluate(
            model,
            task,
            split,
            asked.examples,
            asked.seed,
            batch_size=asked.batch_size,
            progress=False,
        )
        frame = frame.assign(method=spec.method, seed=spec.seed)
        frame.attrs["run"] = {"settings": read_run(folder)["settings"], "notes": notes}
        write_records(folder, frame, replace=True)  # records of another seed give way
