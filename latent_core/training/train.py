"""Training a model on a task with Transformers' `Trainer`.

A killed run resumes from its folder (`runs`) to the same tables as an uninterrupted one. Knows
models and tasks; nothing of how a model is judged.
"""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import pandas as pd
from accelerate.utils import broadcast_object_list
from safetensors.torch import load, save
from transformers import PrinterCallback, Trainer, TrainingArguments

from latent_core.errors import SettingError, TrainingDivergedError, whole_number
from latent_core.files import write_file
from latent_core.models.build import load_model
from latent_core.models.steered import SteeredModel
from latent_core.runs.checkpoints import (
    CHECKPOINTS,
    drop_broken_checkpoints,
    kept_start,
    last_checkpoint,
)
from latent_core.runs.folder import (
    LOG_FILE,
    abandon_run,
    close_run,
    disk_errors,
    holds_finished_run,
    open_run,
)
from latent_core.slots.batch import collate
from latent_core.tasks.base import Task
from latent_core.tasks.table import load_task
from latent_core.training.arguments import check_arguments, trainer_arguments
from latent_core.training.examples import TrainingExamples
from latent_core.training.restoring import quiet_logger, restored
from latent_core.training.watcher import Watcher

__all__ = ["TrainingResult", "keep_untrained", "train"]

T = TypeVar("T")
#: The largest seed that NumPy and the Trainer take.
MOST_SEED: Final = 2**32 - 1


@dataclass(frozen=True)
class TrainingResult:
    """What a training run gave.

    Attributes:
        log: one row per step: step, loss (mean cross-entropy per response token, nats),
            learning_rate, grad_norm.
        seconds: wall time of this call.
        output_dir: the run folder, or None if there is none.
        stopped: whether `on_step` ended it early.
        loaded: whether it was finished before, and nothing was trained.
        occurrences: mean number of occurrences of each latent group in a training example, by
            name; empty for a loaded run and for methods without latents.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> result = lc.train(model, "repetition", steps=2, batch_size=2, progress=False)
        >>> result.log.columns.tolist()
        ['step', 'loss', 'learning_rate', 'grad_norm']
    """

    log: pd.DataFrame
    seconds: float
    output_dir: Path | None
    stopped: bool = False
    loaded: bool = False
    occurrences: Mapping[str, float] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """Mean loss of the last tenth of the steps, at least one."""
        return float(self.log["loss"].tail(max(1, len(self.log) // 10)).mean())


@dataclass(frozen=True)
class _Settings:
    """What has to be the same for a run to be resumed."""

    task: str
    backbone: str
    backbone_fingerprint: str
    method: str
    layout: str
    steps: int
    batch_size: int
    gradient_accumulation: int
    learning_rate: float
    seed: int
    training_arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise SettingError(f"learning_rate is {self.learning_rate}; expected more than 0")
        check_arguments(self.training_arguments)


def train(
    model: SteeredModel,
    task: Task | str | Path,
    steps: int = 200,
    batch_size: int = 16,
    seed: int = 0,
    output_dir: str | Path | None = None,
    *,
    learning_rate: float | None = None,
    gradient_accumulation: int = 1,
    resume: bool = False,
    progress: bool = True,
    on_step: Callable[[int, float], bool | None] | None = None,
    notes: dict[str, Any] | None = None,
    **training_arguments: Any,
) -> TrainingResult:
    """Train a model, in place, to answer `task`: its latents, or whatever its method trains.

    Args:
        model: gets trained; its backbone stays bit-identical.
        task: a task, its name, or a JSONL file. Examples come from its `train` split,
            `steps * batch_size` different draws.
        steps: optimiser steps.
        batch_size: examples per step, before accumulation, shared out among the processes where
            Accelerate started several.
        seed: draws the examples and their order.
        output_dir: run folder; None keeps nothing on disk.
        learning_rate: of AdamW, after a 5 % warm-up, falling linearly to 0; no weight decay. By
            default that of the method: 3e-2 for latents, prompts and prefixes, 1e-3 for LoRA, 1e-4
            for all weights.
        gradient_accumulation: batches per step.
        resume: continue an unfinished run in `output_dir`; a finished one is loaded, not repeated.
        progress: show a bar with loss and time left.
        on_step: called with step and loss after each step; returning True ends the run early.
        notes: kept in `run.json` and the adapter's config (the method's name, say).
        training_arguments: passed on to `transformers.TrainingArguments`; those of
            `latent_core.training.arguments.PASSED_ON`.

    Raises:
        SettingError: for a number out of its range, or a folder that already holds another run.
        TrainingDivergedError: if the loss becomes NaN or infinite; the folder is free again.
        LatentError: if the run folder cannot be written.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> result = lc.train(model, "repetition", steps=2, batch_size=2, progress=False)
        >>> len(result.log)
        2
    """
    task = load_task(task) if isinstance(task, str | Path) else task
    settings = _Settings(
        task=task.name,
        backbone=model.backbone.name,
        backbone_fingerprint=model.backbone.fingerprint,
        method=model.method,
        layout=str(model.placement.layout),
        steps=whole_number("steps", steps, 1),
        batch_size=whole_number("batch_size", batch_size, 1),
        gradient_accumulation=whole_number("gradient_accumulation", gradient_accumulation, 1),
        learning_rate=float(model.learning_rate if learning_rate is None else learning_rate),
        seed=whole_number("seed", seed, 0, MOST_SEED),
        training_arguments=training_arguments,
    )
    if model.num_trainable == 0:
        raise SettingError(
            f"{model.method} has no latents, so there is nothing to train; "
            "expected a layout with at least one group, such as Start_2, or a trained baseline"
        )
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        if output_dir is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latent-run-")))
        else:
            folder = Path(output_dir)
        stack.enter_context(disk_errors(folder))
        arguments = trainer_arguments(
            folder / CHECKPOINTS,
            steps=settings.steps,
            batch_size=settings.batch_size,
            gradient_accumulation=settings.gradient_accumulation,
            learning_rate=settings.learning_rate,
            seed=settings.seed,
            on_cpu=model.backbone.device.type == "cpu",
            keep=output_dir is not None,
            others=training_arguments,
        )
        if _told_by_main(arguments, lambda: holds_finished_run(folder, asdict(settings), resume)):
            model.assign(load_model(folder, model.backbone).trainable_weights())
            log = pd.read_csv(folder / LOG_FILE)
            if arguments.process_index == 0:
                shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
            return TrainingResult(log, time.perf_counter() - started, folder, loaded=True)
        count = settings.steps * settings.batch_size * settings.gradient_accumulation
        examples = TrainingExamples(model, task, count, settings.seed)
        checkpoint, start = _told_by_main(
            arguments, lambda: _begin(folder, model, settings, notes or {})
        )
        if start is not None:
            model.assign(load(start))
        if arguments.process_index == 0:
            stack.callback(drop_broken_checkpoints, folder)
        watcher = Watcher(
            settings.steps, progress and arguments.process_index == 0, on_step, started
        )
        stack.callback(watcher.bar.close)
        stack.enter_context(restored(model.backbone.model))
        stack.enter_context(quiet_logger("transformers.trainer_utils", _worth_saying))
        stack.callback(model.train, False)
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=examples,
            data_collator=lambda examples: collate(examples).as_dict(),
            callbacks=[watcher],
        )
        trainer.remove_callback(PrinterCallback)  # our bar shows the loss already
        try:
            trainer.train(resume_from_checkpoint=checkpoint)
            if not all(weight.isfinite().all() for weight in model.trainable_weights().values()):
                raise TrainingDivergedError(
                    f"what was trained became NaN or infinite in the last of {steps} steps, so "
                    "nothing was saved; lower learning_rate, or load the backbone in float32"
                )
        except TrainingDivergedError:
            if arguments.process_index == 0:
                abandon_run(folder)
            raise
        log = pd.DataFrame(trainer.state.log_history)
        log = log.loc[log["loss"].notna(), ["step", "loss", "learning_rate", "grad_norm"]]
        result = TrainingResult(
            log.reset_index(drop=True),
            time.perf_counter() - started,
            None if output_dir is None else folder,
            watcher.stopped,
            occurrences=dict(examples.occurrences),
        )
        if output_dir is not None and arguments.process_index == 0:
            spent = watcher.earlier + result.seconds
            _keep(folder, model, settings, result, spent, notes or {}, arguments.world_size)
        return result


def keep_untrained(
    model: SteeredModel,
    task: Task,
    seed: int,
    output_dir: str | Path,
    *,
    resume: bool = False,
    notes: dict[str, Any] | None = None,
) -> Path:
    """Make a run folder of a method that has nothing to train, ready to be evaluated.

    Args:
        model: as `build_model` made it.
        task: what it will be asked.
        seed: that the model was made with.
        output_dir: run folder.
        resume: leave a folder as it is that holds this very run, instead of refusing it.
        notes: kept in `run.json` and the adapter's config.

    Raises:
        SettingError: for a folder that already holds another run.
        LatentError: if the run folder cannot be written.
    """
    folder, notes = Path(output_dir), notes or {}
    settings = {
        "task": task.name,
        "backbone": model.backbone.name,
        "backbone_fingerprint": model.backbone.fingerprint,
        "method": model.method,
        "layout": str(model.placement.layout),
        "seed": seed,
    }
    with disk_errors(folder):
        if not holds_finished_run(folder, settings, resume):
            open_run(folder, settings, notes)
            model.save_pretrained(folder, **({"task": task.name, "seed": seed} | notes))
            close_run(folder, "finished", settings, notes, trainable=0)
    return folder


def _worth_saying(record: logging.LogRecord) -> bool:
    """Not that checkpoints written within a second are put in order by their numbers."""
    return "mtime may not be reliable" not in record.getMessage()


def _told_by_main(arguments: TrainingArguments, work: Callable[[], T]) -> T:
    """What `work` gives on the main process, where alone it is done; the others wait for it."""
    told = [work() if arguments.process_index == 0 else None]
    if arguments.world_size > 1:
        broadcast_object_list(told)
    return cast(T, told[0])


def _begin(
    folder: Path, model: SteeredModel, settings: _Settings, notes: dict[str, Any]
) -> tuple[str | None, bytes | None]:
    """Open the run: the checkpoint to go on from, or else the numbers to start with."""
    open_run(folder, asdict(settings), notes)
    drop_broken_checkpoints(folder)
    checkpoint = last_checkpoint(folder)
    if checkpoint is not None:
        return checkpoint, None
    return None, kept_start(folder, save(model.trainable_weights()))


def _keep(
    folder: Path,
    model: SteeredModel,
    settings: _Settings,
    result: TrainingResult,
    spent: float,
    notes: dict[str, Any],
    processes: int,
) -> None:
    """Write adapter and log, and then that the run has ended."""
    model.save_pretrained(folder, task=settings.task, seed=settings.seed, **notes)
    write_file(folder / LOG_FILE, result.log.to_csv(index=False).encode())
    close_run(
        folder,
        "stopped" if result.stopped else "finished",
        asdict(settings),
        notes,
        loss=result.loss,
        seconds=round(spent, 1),
        trainable=model.num_trainable,
        processes=processes,
        occurrences=dict(result.occurrences),
    )
