"""`latent train`: one run, from its first step to its last."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from latent_core.cli.app import (
    FIRST_PROCESS,
    ThreadsOption,
    app,
    console,
    fix_threads_if,
    say_once,
    say_threads,
)
from latent_core.errors import SettingError
from latent_core.wording import duration

__all__ = ["train"]


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for the run; must not contain another run.")],
    task: Annotated[
        str | None, typer.Option(help="Task name or a .jsonl file (see `latent tasks`).")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Layout or baseline (see `latent methods`).")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            "-b",
            help="Short name (see `latent backbones`), folder, GGUF file or hub id; default: tiny.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; default: 200.")] = None,
    batch_size: Annotated[int, typer.Option(help="Examples per step.")] = 16,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of AdamW; default: half of the RMS of the backbone's input "
            "embeddings, for prefixes 0.1, for LoRA 0.001, for `full` 0.0001."
        ),
    ] = None,
    learning_rate_beside: Annotated[
        float | None,
        typer.Option(help="Learning rate of what trains beside latents, as in Start_2 & lora-r8."),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the initial vectors and of the training examples.")
    ] = 0,
    curriculum: Annotated[
        str | None,
        typer.Option(
            help="Stages of training, in which latents replace written steps: coconut, lt-tuning, "
            "written, or a .yaml file."
        ),
    ] = None,
    init: Annotated[
        str,
        typer.Option(
            help="Initial vectors: vocab (random tokens), mean, gaussian, task (its words; also of "
            "a prefix) or 'text:SOME WORDS'. The method's name says mean, gaussian and task."
        ),
    ] = "vocab",
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Start with what this run trained. Task, method and backbone are by default "
            "those of that run.",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="End when so many checks in a row find no lower validation loss, and keep the "
            "vectors with the lowest one; default: take all steps and keep the last."
        ),
    ] = None,
    check_every: Annotated[
        int | None,
        typer.Option(
            help="Steps between two checks of the validation loss; default with --patience: a "
            "twentieth of the steps."
        ),
    ] = None,
    check_examples: Annotated[
        int | None, typer.Option(help="Validation examples of a check; default: 50.")
    ] = None,
    snapshots: Annotated[
        int | None, typer.Option(help="Keep what trains every so many steps.")
    ] = None,
    report_to: Annotated[
        str,
        typer.Option(
            help="Also report the loss to a tracker that Transformers knows, if it is installed: "
            "tensorboard, wandb, mlflow, ..."
        ),
    ] = "none",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an unfinished run.")] = False,
    threads: ThreadsOption = None,
) -> None:
    """Train latent tokens, or a baseline, on a task.

    The backbone does not change. The run folder gets the adapter, run.json and log.csv.

    Example: `latent train --task repetition --method Start_1+Comma_1 --backbone tiny --out runs/a`
    """
    from latent_core.slots.methods import Method
    from latent_core.tasks.table import load_task

    asked = _Asked(task, method, backbone)
    parent = None
    if start_from is not None:
        asked, parent = _as_in(start_from, asked)
    for name in ("task", "method"):
        if getattr(asked, name) is None:
            raise SettingError(f"expected --{name}, or --from RUN for that of another run")
    chosen, loaded = Method.parse(str(asked.method)).starting(init), load_task(str(asked.task))
    source = str(asked.task)
    if source.endswith(".jsonl"):
        source = str(Path(source).resolve())
    notes = {"method": chosen.name, "task_source": source, "init": chosen.init}
    if steps is not None and steps < 1:
        raise SettingError(f"steps is {steps}; expected at least 1")

    from latent_core.models.build import build_model  # brings torch, which takes seconds
    from latent_core.models.rates import beside_rate, default_rate
    from latent_core.training.train import train as train_tables
    from latent_core.training.untrained import keep_untrained

    fix_threads_if(threads)
    model = build_model(asked.backbone or "tiny", chosen, seed, task=loaded)
    checks: dict[str, Any] = {
        "patience": patience,
        "check_every": check_every,
        "check_examples": check_examples,
        "snapshots": snapshots,
    }
    if report_to != "none":
        checks["report_to"] = report_to
    if not chosen.trained:
        if given := [f"--{name.replace('_', '-')}" for name, one in checks.items() if one]:
            raise SettingError(
                f"{chosen.name} has nothing to train; expected it without {', '.join(given)}"
            )
        if FIRST_PROCESS:
            keep_untrained(model, loaded, seed, out, resume=resume, notes=notes)
        console.print(f"{chosen.name} has nothing to train. Next: latent evaluate {out}")
        return
    if curriculum is None:  # whose stages have their own
        if learning_rate is None:
            console.print(f"learning rate {default_rate(model)}")
        if learning_rate_beside is None and (beside := beside_rate(model)) is not None:
            console.print(f"learning rate beside {beside}")
    try:
        result = train_tables(
            model,
            loaded,
            steps=steps,
            batch_size=batch_size,
            seed=seed,
            output_dir=out,
            learning_rate=learning_rate,
            learning_rate_beside=learning_rate_beside,
            curriculum=curriculum,
            start_from=parent,
            resume=resume,
            notes=notes,
            **checks,
        )
    except KeyboardInterrupt as interrupt:
        _say_what_is_kept(out)
        raise typer.Exit(130) from interrupt
    done = "already finished" if result.loaded else duration(result.seconds)
    console.print(
        f"{chosen.name} on {loaded.name}: loss {result.loss:.3f} after {len(result.log)} "
        f"steps ({done}), {model.num_trainable} trainable parameters, saved in {out}"
    )
    if result.kept is not None:
        ended = (
            "the loss fell no more, and the run ended early"
            if result.kept.early
            else ("the run took all its steps")
        )
        console.print(
            f"kept: step {result.kept.step}, with the lowest validation loss "
            f"({result.kept.validation_loss:.3f}); {ended}"
        )
    if result.occurrences:
        each = ", ".join(f"{name} {count:.1f}" for name, count in result.occurrences.items())
        console.print(f"mean occurrences per training example: {each}")
    say_threads()


class _Asked(NamedTuple):
    """What is trained; None for what is not said."""

    task: str | None
    method: str | None
    backbone: str | None


def _as_in(source: Path, asked: _Asked) -> tuple[_Asked, Path]:
    """What is trained on from a run, where it is not said otherwise; and the run's folder.

    Raises:
        AdapterError: if there is no adapter.
    """
    from latent_core.adapters.locate import locate
    from latent_core.adapters.saved import read_saved

    folder = locate(str(source))
    config = read_saved(folder)
    task = config.notes.get("task_source", config.notes.get("task"))
    method = config.notes.get("method", config.method)
    found = _Asked(asked.task or task, asked.method or method, asked.backbone or config.backbone)
    return found, folder


def _say_what_is_kept(folder: Path) -> None:
    """Say after Ctrl-C what a run folder holds, and how the run goes on."""
    from latent_core.errors import LatentError
    from latent_core.runs.checkpoints import last_checkpoint
    from latent_core.runs.folder import read_run

    try:
        status = read_run(folder)["status"]
    except (OSError, LatentError):
        say_once("interrupted before the first step; nothing was kept")
        return
    if status == "finished":
        say_once(f"interrupted after the last step; {folder} holds the finished run")
        return
    checkpoint = last_checkpoint(folder)
    step = Path(checkpoint).name.rpartition("-")[2] if checkpoint else "0"
    adapter = "the adapter and a checkpoint" if status == "stopped" else "a checkpoint"
    what = f"{adapter} of step {step}" if checkpoint else "what it started from"
    say_once(f"interrupted; {folder} keeps {what}. The same command with --resume goes on")
