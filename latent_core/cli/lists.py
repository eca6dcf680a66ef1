"""What can be chosen (`latent backbones | tasks | methods`), and what makes it (`fetch`, ...)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from latent_core.cli.app import app, console, show_words, table_of
from latent_core.cli.checks import show_check
from latent_core.errors import SettingError
from latent_core.wording import did_you_mean

__all__ = ["backbones", "convert", "fetch", "methods", "pretrain", "tasks"]

OWN_TASK: Final = """\
Your own task: a .jsonl file with one object on each line, such as {"prompt": "2+3=", "answer": "5"}
Optional fields:
  "split": train, validation, id, ood-20, ood-names, ...; on every line or on none. Without it, a
    hash of the prompt assigns lines to train, validation and id; about 50 lines are enough for all.
  "steps": a list of texts, the written steps before the answer, each of one line.
  "level": a whole number, such as a length; default: the number of items in the answer.
  "demand": self-prompting, retrieval or instruction, on the first line; default: self-prompting.
  "metric": how a response is scored, on the first line; default: items.
Metrics:
  items: exact if the response equals the answer, ignoring spaces at both ends. Graded: right
    comma-separated items before the first wrong one / items in the answer or in the response,
    whichever is larger.
  exact, contains: the response equals the answer, or contains it.
  numeric: the last number of the response is that of the answer.
  regex: the answer is a regular expression that matches the whole response.
`latent convert` makes such a file of a Parquet or CSV file, or of a saved Hugging Face dataset.\
"""


@app.command()
def backbones(
    check: Annotated[
        str | None,
        typer.Option(
            help="Check whether latents are exact on this backbone: name, folder or hub id."
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="With --check: JSON file that gets a row with the result."),
    ] = None,
) -> None:
    """List the backbones that have a short name, or check any backbone.

    The check decodes, trains one step, saves and loads, each in two ways that must agree. It shows
    the result of every comparison. The exit code is 1 if one of them fails.
    """
    from latent_core.backbones.known import BACKBONES

    if check is not None:
        raise typer.Exit(0 if show_check(check, report) else 1)
    if report is not None:
        raise SettingError("--report needs --check NAME: it reports a check")

    show_words("backbone", {name: known.description for name, known in BACKBONES.items()})
    console.print(
        "Give any other decoder-only model by its folder or hub id. It must use position ids."
    )


@app.command()
def tasks() -> None:
    """List the tasks, and explain the format of your own task."""
    from latent_core.tasks.table import TASKS

    table = table_of("task", "description", "ID", "OOD")
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
def convert(
    source: Annotated[
        Path, typer.Argument(help=".parquet, .csv or .jsonl file, or folder of a saved dataset.")
    ],
    out: Annotated[Path, typer.Argument(help="The task file to write; ends in .jsonl.")],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column", help="FIELD=COLUMN where the names differ, such as prompt=question."
        ),
    ] = None,
    splits: Annotated[
        list[str] | None,
        typer.Option("--split", help="THEIRS=OURS, such as test=ood-20; by default test=id."),
    ] = None,
    metric: Annotated[str | None, typer.Option(help="How responses are scored.")] = None,
    demand: Annotated[str | None, typer.Option(help="What the task demands of latents.")] = None,
    replace: Annotated[bool, typer.Option(help="Replace a file that is there.")] = False,
) -> None:
    """Write a table or a dataset as a task file, which --task takes.

    Example: latent convert gsm8k.parquet gsm8k.jsonl --column prompt=question --metric numeric
    """
    from latent_core.tasks.convert import convert as write

    pairs = {"--column": columns, "--split": splits}
    named = {option: _pairs(option, given or []) for option, given in pairs.items()}
    task = write(source, out, named["--column"], named["--split"], metric, demand, replace)
    counts = ", ".join(f"{split} {task.counts[split]}" for split in task.splits)
    console.print(f"{out}: {counts}", highlight=False, soft_wrap=True)


def _pairs(option: str, given: list[str]) -> dict[str, str]:
    for one in given:
        if "=" not in one:
            raise SettingError(f"{option} {one!r}: expected two names with = between them")
    parted = (one.partition("=") for one in given)
    return {ours: theirs for ours, _, theirs in parted}


@app.command()
def methods() -> None:
    """List the methods: layouts of latent tokens, and baselines."""
    from latent_core.slots.filling import FILLINGS
    from latent_core.slots.methods import BASELINES, EXAMPLE_LAYOUTS

    show_words("baseline", {known.form: known.description for known in BASELINES.values()})
    show_words("layout (examples)", EXAMPLE_LAYOUTS)
    show_words("filling, as in End_6=hidden", FILLINGS)
    console.print(
        "A computed latent takes a forward pass of its own. The first one of a group before a "
        "sampled trigger takes none."
    )


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="Backbone, such as smollm2-135m.")]) -> None:
    """Download or convert the weights of a backbone, if they are not on this machine."""
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
    name: Annotated[str, typer.Argument(help="Backbone; only tiny can be pre-trained.")],
    out: Annotated[Path, typer.Option(help="Folder to write the backbone to.")],
    seed: Annotated[int, typer.Option(help="Seed of the initial weights and of the corpus.")] = 0,
    steps: Annotated[
        int | None, typer.Option(help="Training steps; fewer than the default only for a trial.")
    ] = None,
) -> None:
    """Pre-train the backbone `tiny` again from a seed; takes about half an hour."""
    if name != "tiny":
        raise SettingError(f"cannot pre-train {name!r}; expected tiny")
    from latent_core.tiny.pretraining import STEPS, pretrain_tiny

    folder = pretrain_tiny(out, seed=seed, steps=STEPS if steps is None else steps)
    console.print(f"tiny: {folder}")
