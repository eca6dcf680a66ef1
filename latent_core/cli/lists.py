"""`latent backbones | tasks | methods | fetch | pretrain`: what there is, and getting it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from latent_core.cli.app import app, console, show_words, table_of
from latent_core.cli.checks import show_check
from latent_core.errors import SettingError
from latent_core.wording import did_you_mean

__all__ = ["backbones", "fetch", "methods", "pretrain", "tasks"]

OWN_TASK: Final = """\
Your own: a .jsonl file, one {"prompt": "2+3=", "answer": "5"} on each line.
  "split": train, validation, id, ood-20, ...; on every line or on none. Without it, lines are dealt
    out to train, validation and id by their prompts, and some 50 of them fill all three.
  "level": a whole number, such as a length; by default how many items the answer has.
  "demand": self-prompting, retrieval or instruction, on the first line; by default self-prompting.
  exact: the answer as it is written, but for spaces at its ends.
  graded: leading comma-separated items that are right / items wanted, or written if more.\
"""


@app.command()
def backbones(
    check: Annotated[
        str | None,
        typer.Option(help="Try out whether latents are exact on this one: name, folder or hub id."),
    ] = None,
) -> None:
    """List the backbones known by a short name, or check any.

    A check decodes, trains a step, saves and loads, each in two ways, and shows what holds; the
    exit code is 1 if something does not.
    """
    from latent_core.backbones.known import BACKBONES

    if check is not None:
        raise typer.Exit(0 if show_check(check) else 1)

    show_words("backbone", {name: known.description for name, known in BACKBONES.items()})
    console.print(
        "Any other decoder-only model works by folder or hub id, if it obeys position ids."
    )


@app.command()
def tasks() -> None:
    """List the tasks, and how to bring your own."""
    from latent_core.tasks.table import TASKS

    table = table_of("task", "what is asked", "ID", "OOD")
    for name, task in TASKS.items():
        levels = f"{task.id_levels[0]}-{task.id_levels[-1]}"
        if len(task.id_levels) == 1:
            levels = str(task.id_levels[0])
        table.add_row(
            name,
            f"{task.description} Demand: {task.demand}.",
            f"{levels} {task.level_name}",
            ", ".join(map(str, task.ood_levels)),
        )
    console.print(table)
    console.print(OWN_TASK, highlight=False)


@app.command()
def methods() -> None:
    """List the methods: layouts of latent tokens, and their baselines."""
    from latent_core.slots.methods import BASELINES, EXAMPLE_LAYOUTS

    show_words("baseline", {known.form: known.description for known in BASELINES.values()})
    show_words("layout (examples)", EXAMPLE_LAYOUTS)


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="smollm2-135m")]) -> None:
    """Make sure that a backbone's weights are on this machine."""
    from latent_core.backbones.known import BACKBONES
    from latent_core.backbones.smollm2 import fetch_smollm2

    if name not in BACKBONES:
        raise SettingError(
            f"unknown backbone {name!r}{did_you_mean(name, BACKBONES)} Expected one of "
            f"{', '.join(BACKBONES)}"
        )
    where = fetch_smollm2(verify=True) if name == "smollm2-135m" else BACKBONES[name].locate()
    console.print(f"{name}: {where}")


@app.command()
def pretrain(
    name: Annotated[str, typer.Argument(help="tiny")],
    out: Annotated[Path, typer.Option(help="Folder to write the backbone to.")],
    seed: Annotated[int, typer.Option(help="Of weights and corpus.")] = 0,
    steps: Annotated[
        int | None, typer.Option(help="Fewer than all of them, only to try it out.")
    ] = None,
) -> None:
    """Make the backbone `tiny` anew from a seed, in about half an hour."""
    if name != "tiny":
        raise SettingError(f"cannot pre-train {name!r}; expected tiny")
    from latent_core.tiny.pretraining import STEPS, pretrain_tiny

    folder = pretrain_tiny(out, seed=seed, steps=STEPS if steps is None else steps)
    console.print(f"tiny: {folder}")
