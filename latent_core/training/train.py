"""Training a model on a task with Transformers' `Trainer`.

A killed run resumes from its folder (`runs`) to the same tables as an uninterrupted one. Knows
models and tasks; nothing of how a model is judged.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd
from accelerate.utils import broadcast_object_list
from safetensors.torch import load, save
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, Trainer, TrainingArguments

from latent_core.backbones.attention import products_where_faster
from latent_core.errors import SettingError, TrainingDivergedError
from latent_core.files import write_file
from latent_core.models.provenance import asked_dtype
from latent_core.models.rates import LearningRate, beside_rate, default_rate
from latent_core.models.steered import SteeredModel
from latent_core.runs.checkpoints import (
    LOSS_COLUMN,
    drop_broken_checkpoints,
    kept_start,
    last_checkpoint,
)
from latent_core.runs.folder import (
    abandon_run,
    close_run,
    disk_errors,
    holds_finished_run,
    open_run,
)
from latent_core.runs.lock import run_lock
from latent_core.runs.own_files import CHECKPOINTS, LOG_FILE, delete_checkpoints
from latent_core.slots.batch import collate
from latent_core.tasks.base import Task
from latent_core.tasks.table import load_task
from latent_core.training.arguments import Settings, trainer_arguments
from latent_core.training.curriculum import CurriculumSource
from latent_core.training.examples import TrainingExamples
from latent_core.training.interrupts import interrupts_after_steps
from latent_core.training.parent import (
    LOG_COLUMNS,
    STAGE_COLUMN,
    Parent,
    kept_step,
    load_trained,
    read_log,
)
from latent_core.training.restoring import restored
from latent_core.training.result import TrainingResult
from latent_core.training.snapshots import SnapshotTaker, check_snapshots
from latent_core.training.staged import (
    StageChanges,
    StagedModel,
    optimizer_of_stages,
    optimizer_of_two,
)
from latent_core.training.trackers import Trackers
from latent_core.training.validation import Validation
from latent_core.training.watcher import ThreadFitter, TurnOfEachStep, Watcher

__all__ = ["train"]

T = TypeVar("T")


def train(
    model: SteeredModel,
    task: Task | str | Path,
    steps: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    output_dir: str | Path | None = None,
    *,
    learning_rate: float | None = None,
    learning_rate_beside: float | None = None,
    curriculum: CurriculumSource | None = None,
    gradient_accumulation: int = 1,
    patience: int | None = None,
    check_every: int | None = None,
    check_examples: int | None = None,
    snapshots: int | None = None,
    start_from: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    on_step: Callable[[int, float], bool | None] | None = None,
    on_check: Callable[[int, float], Any] | None = None,
    notes: dict[str, Any] | None = None,
    **training_arguments: Any,
) -> TrainingResult:
    """Train a model, in place, to answer `task`: its latents, or whatever its method trains.

    A run that is interrupted, by Ctrl-C or by an exception of `on_step`, ends after its present
    step. Its folder then holds the adapter and a checkpoint of that step, and `resume` continues
    it. A second Ctrl-C ends it at once.

    Args:
        model: gets trained; its backbone stays bit-identical.
        task: a task, its name, or a JSONL file. Examples come from its `train` split,
            `steps * batch_size` different draws.
        steps: optimiser steps; 200 by default.
        batch_size: examples per step, before accumulation, shared out among the processes where
            Accelerate started several.
        seed: draws the examples and their order.
        output_dir: run folder; None keeps nothing on disk.
        learning_rate: of AdamW, after a 5 % warm-up, falling linearly to 0; no weight decay. By
            default that of the method: for latents and prompts half of the root mean square
            of the backbone's input embeddings; 0.1 for prefixes, 1e-3 for LoRA, 1e-4 for all
            weights.
        learning_rate_beside: of what PEFT trains beside latents (`Start_2 & lora-r8`), where
            `learning_rate` is that of the latents. By default that of LoRA or of prefixes.
        curriculum: stages of training, each with a layout, the written steps that it leaves out,
            and optimiser steps: `coconut`, `lt-tuning`, `written`, a YAML file, or a list of
            mappings; see `latent_core.training.curriculum`. Without one, answers are trained
            without written steps. It goes with neither checks of the validation loss nor snapshots.
        gradient_accumulation: batches per step.
        patience: end the run when so many checks in a row have found no lower validation loss, and
            keep the vectors with the lowest one. None takes all steps and keeps the last vectors.
        check_every: steps between two checks of the loss on the `validation` split, which train
            nothing; the last step is checked, too. With `patience`, by default a twentieth of the
            steps; else by default no checks.
        check_examples: examples of each check, the same ones every time; 50 by default.
        snapshots: keep what trains every so many steps, and before the first and after the last
            one; see `load_snapshots`.
        start_from: a run of the same method whose vectors to start with. `run.json` records it.
            The examples are new only if `seed` is another one than that run's.
        resume: continue an unfinished run in `output_dir`; a finished one is loaded, not repeated.
        progress: show a bar with loss and time left.
        on_step: called with step and loss after each step; returning True ends the run early.
        on_check: called with step and validation loss after each check.
        notes: kept in `run.json` and the adapter's config (the method's name, say).
        training_arguments: passed on to `transformers.TrainingArguments`; those of
            `latent_core.training.arguments.PASSED_ON`.

    Raises:
        SettingError: for a number out of its range, a folder that holds anything but this run, or
            a run that another process is working on.
        AdapterError: if the run is finished and what it trained is missing or damaged, or
            `start_from` holds no adapter, or that of another method or backbone.
        TrainingDivergedError: if the loss becomes NaN or infinite; the folder is free again.
        LatentError: if the run folder cannot be written.

    Warns:
        UserWarning: if a checkpoint or the log of the run is damaged, and from where it goes on.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> result = lc.train(model, "repetition", steps=2, batch_size=2, progress=False)
        >>> len(result.log)
        2
    """
    task = load_task(task) if isinstance(task, str | Path) else task
    rate = default_rate(model) if learning_rate is None else LearningRate(learning_rate, "as given")
    beside = beside_rate(model, learning_rate_beside)
    parent = None if start_from is None else Parent.read(start_from, model)
    staged: StagedModel | None = None
    if curriculum is not None:
        staged = StagedModel.of(model, curriculum, steps, seed, learning_rate, learning_rate_beside)
        steps = staged.curriculum.steps
    settings = Settings.of(
        model,
        task,
        steps=200 if steps is None else steps,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        learning_rate=float(rate.value),
        learning_rate_beside=None if beside is None else float(beside.value),
        seed=seed,
        training_arguments=training_arguments,
        patience=patience,
        check_every=check_every,
        check_examples=check_examples,
        snapshots=snapshots,
        start_from=None if parent is None else parent.identity,
        curriculum=None if staged is None else staged.kept(),
    )
    if model.placement.is_edited:
        raise SettingError(
            f"an intervention on {model.method} is on, so its latents cannot be trained; expected "
            "train outside of the block of the intervention"
        )
    if model.num_trainable == 0:
        raise SettingError(
            f"{model.method} has no latents, so there is nothing to train; "
            "expected a layout with at least one group, such as Start_2, or a trained baseline"
        )
    check_snapshots(model, settings.steps, settings.snapshots, output_dir is not None)
    started, notes = time.perf_counter(), asked_dtype(model) | (notes or {})
    if parent is not None:
        notes = {"started_from": str(parent.folder.absolute())} | notes
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
            stages=staged is not None,
        )
        first = arguments.process_index == 0

        def is_finished() -> bool:
            if output_dir is not None:
                # Refused before anything is written, and again under the lock.
                holds_finished_run(folder, settings.as_dict(), resume)
                stack.enter_context(run_lock(folder))
            return holds_finished_run(folder, settings.as_dict(), resume)

        if _told_by_main(arguments, is_finished):
            load_trained(model, folder)
            if first:
                delete_checkpoints(folder)
            seconds, kept = time.perf_counter() - started, kept_step(folder)
            return TrainingResult(read_log(folder), seconds, folder, loaded=True, kept=kept)
        if parent is not None:
            parent.give(model)
            if staged is not None:
                staged.start_from_last()
        per_step = settings.batch_size * settings.gradient_accumulation
        count = settings.steps * per_step
        in_stages = None if staged is None else (staged, per_step)
        examples = TrainingExamples(model, task, count, settings.seed, in_stages)
        trained = model if staged is None else staged
        checkpoint, start = _told_by_main(
            arguments, lambda: _begin(folder, trained, settings, notes)
        )
        if start is not None:
            trained.assign(load(start))
        if first:
            stack.callback(drop_broken_checkpoints, folder)
        run = folder if output_dir is not None and first else None
        watcher = Watcher(
            settings.steps,
            progress and first,
            on_step,
            started,
            run=run,
            keep=arguments.save_total_limit,
        )
        arguments.save_total_limit = None  # the watcher deletes old checkpoints
        validation = taker = None
        if settings.check_every is not None:
            validation = Validation(
                model, task, settings, run, checkpoint, on_check, watcher.interrupt
            )
        if settings.snapshots is not None and run is not None:
            taker = SnapshotTaker(model, run, settings.snapshots)
        stack.callback(watcher.bar.close)
        fitter = ThreadFitter(watcher.bar)
        turns = stack.enter_context(TurnOfEachStep(model.backbone.model, model.method))
        stack.enter_context(restored(model.backbone.model))
        stack.enter_context(products_where_faster(model.backbone))
        stack.callback(trained.train, False)
        stack.callback(turns.hold)
        trackers = stack.enter_context(Trackers(arguments, trained, settings.as_dict()))
        trainer = Trainer(
            model=trained,
            args=arguments,
            train_dataset=examples,
            data_collator=lambda examples: collate(examples).as_dict(),
            callbacks=[
                one for one in (trackers, validation, taker, watcher, fitter) if one is not None
            ],
            optimizers=_optimizers(model, staged, arguments, beside),
        )
        trainer.remove_callback(PrinterCallback)  # our bar shows the loss already
        if staged is not None:
            stack.callback(staged.release)
            trainer.add_callback(StageChanges(staged))
        trainer.add_callback(turns)
        try:
            with interrupts_after_steps(watcher.interrupt, arguments.world_size == 1):
                trainer.train(resume_from_checkpoint=checkpoint)
            if staged is not None:
                staged.finish()
            if not all(weight.isfinite().all() for weight in model.trainable_weights().values()):
                raise TrainingDivergedError(
                    f"what was trained became NaN or infinite in the last of {steps} steps, so "
                    "nothing was saved; lower learning_rate, or load the backbone in float32"
                )
        except (TrainingDivergedError, SettingError) as error:
            # A tracker that cannot begin leaves what an earlier call has trained.
            nothing = checkpoint is None and trainer.state.global_step == 0
            if first and (nothing or isinstance(error, TrainingDivergedError)):
                abandon_run(folder)
            raise
        columns = LOG_COLUMNS if validation is None else [*LOG_COLUMNS, LOSS_COLUMN]
        log = pd.DataFrame(trainer.state.log_history, columns=columns)
        if staged is not None:
            log[STAGE_COLUMN] = [staged.curriculum.stage_of(int(n) - 1) for n in log["step"]]
        result = TrainingResult(
            log[log["loss"].notna()].reset_index(drop=True),
            time.perf_counter() - started,
            None if output_dir is None else folder,
            watcher.stopped,
            occurrences=dict(examples.occurrences),
            rate_from=rate.reason,
            threads=tuple(fitter.used),
            kept=None if validation is None else validation.keep_best(trainer.state.global_step),
        )
        if output_dir is not None and first:
            if taker is not None:
                taker.join()
            spent = watcher.earlier + result.seconds
            _keep(folder, model, settings, result, spent, notes, arguments.world_size)
        if watcher.interruption is not None:
            raise watcher.interruption
        return result


def _told_by_main(arguments: TrainingArguments, work: Callable[[], T]) -> T:
    """What `work` gives on the main process, where alone it is done; the others wait for it."""
    told = [work() if arguments.process_index == 0 else None]
    if arguments.world_size > 1:
        broadcast_object_list(told)
    return cast(T, told[0])


def _optimizers(
    model: SteeredModel,
    staged: StagedModel | None,
    args: TrainingArguments,
    beside: LearningRate | None,
) -> tuple[Optimizer | None, LambdaLR | None]:
    """Optimiser and schedule, where the Trainer's own are not enough."""
    if staged is not None:
        return optimizer_of_stages(staged, args)
    return None if beside is None else optimizer_of_two(model, args, beside.value), None


def _begin(
    folder: Path, model: SteeredModel | StagedModel, settings: Settings, notes: dict[str, Any]
) -> tuple[str | None, bytes | None]:
    """Open the run: the checkpoint to go on from, or else the numbers to start with."""
    open_run(folder, settings.as_dict(), notes)
    drop_broken_checkpoints(folder)
    checkpoint = last_checkpoint(folder)
    if checkpoint is not None:
        return checkpoint, None
    return None, kept_start(folder, save(model.trainable_weights()))


def _keep(
    folder: Path,
    model: SteeredModel,
    settings: Settings,
    result: TrainingResult,
    spent: float,
    notes: dict[str, Any],
    processes: int,
) -> None:
    """Write adapter and log, and then that the run has ended."""
    about = {"task": settings.task, "task_fingerprint": settings.task_fingerprint}
    model.save_pretrained(folder, **about, seed=settings.seed, **notes)
    write_file(folder / LOG_FILE, result.log.to_csv(index=False).encode())
    close_run(
        folder,
        "stopped" if result.stopped else "finished",
        settings.as_dict(),
        notes,
        loss=result.loss,
        seconds=round(spent, 1),
        trainable=model.num_trainable,
        processes=processes,
        occurrences=dict(result.occurrences),
        learning_rate_from=result.rate_from,
        threads=list(result.threads),
        **({} if result.kept is None else {"kept": result.kept._asdict()}),
    )
