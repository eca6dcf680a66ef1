"""What can be chosen or made (`latent backbones | tasks | methods | shipped`).

`latent backbones --check` shows which invariants hold for which layouts, and the reason where one
fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from latent_core.cli.app import (
    app,
    checked_metric,
    console,
    shares,
    show_words,
    table_of,
    table_of_numbers,
)
from latent_core.errors import BackboneError, SettingError
from latent_core.wording import did_you_mean

__all__ = ["backbones", "convert", "fetch", "methods", "pretrain", "shipped", "show_check", "tasks"]

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


@app.command()
def shipped(
    name: Annotated[
        str,
        typer.Argument(help="Which runs to list: BACKBONE, BACKBONE/TASK or BACKBONE/TASK/METHOD."),
    ] = "",
    metric: Annotated[str, typer.Option(help="graded or exact.")] = "graded",
) -> None:
    """List the runs that ship with the package, with accuracy in and out of distribution.

    Every command that takes a run also takes shipped:NAME. Without a seed, NAME means all seeds, or
    the first seed if the command needs one run.

    Example: `latent generate shipped:tiny/summation/8_2 --prompt 'a=1\\nb=2\\na+b='`
    """
    from latent_core.archives.folders import SHIPPED_PREFIX
    from latent_core.runs.store import load_runs

    checked_metric(metric)
    name = name.removeprefix(SHIPPED_PREFIX).strip("/")
    frame = load_runs(f"{SHIPPED_PREFIX}{name}")
    methods = frame[["backbone", "task", "method"]].agg("/".join, axis=1)
    one_method = methods.nunique() == 1
    table = table_of_numbers("name", "seeds", "id", "ood", texts=2)
    names = methods + "/seed-" + frame["seed"].astype(str) if one_method else methods
    columns = frame["split"].where(~frame["split"].str.startswith("ood"), "ood")
    share = shares(frame, names, columns, metric)
    for each, rows in frame.groupby(names, sort=False):
        seeds = f"{rows['seed'].min()}-{rows['seed'].max()}"
        table.add_row(
            Text(str(each)),
            str(rows["seed"].min()) if rows["seed"].nunique() == 1 else seeds,
            share(str(each), "id"),
            share(str(each), "ood"),
        )
    console.print(table)
    console.print(
        Text(
            f"{frame['path'].nunique()} runs; mean {metric} accuracy over all seeds and OOD "
            "levels. To use a run, give its name: latent evaluate "
            f"{SHIPPED_PREFIX}{methods.iloc[0]}"
        ),
        soft_wrap=True,
    )


def show_check(name: str, report: Path | None = None) -> bool:
    """Check a backbone, print the table, and say whether everything holds.

    Args:
        name: what `load_backbone` takes.
        report: a file of reports that gets a row, also where the backbone is refused.
    """
    from latent_core.backbones.loading import load_backbone
    from latent_core.invariants import reports

    if report is not None and report.exists():
        reports.read_reports(report)  # another file is refused before minutes of checks
    with console.status(f"loading {name}") as status:
        try:
            backbone = load_backbone(name, dtype="float32")
        except BackboneError as error:
            if report is not None:
                reports.add_report(report, reports.refused_report(name, str(error)))
            raise
        frame = reports.check_backbone(
            backbone, progress=lambda layout, invariant: status.update(f"{layout}: {invariant}")
        )
    if report is not None:
        reports.add_report(report, reports.report_of(backbone, frame))
    # None instead of pandas' missing value, which is neither true nor false.
    frame = frame.assign(holds=frame["holds"].astype(object).where(frame["holds"].notna(), None))
    layouts = list(dict.fromkeys(frame["layout"]))
    headings = ["sum" if "+" in layout else layout for layout in layouts]
    table = Table(
        title=f"latent tokens on {name}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for heading in ("check", *headings, "difference"):
        table.add_column(Text(heading), no_wrap=True)
    for invariant, rows in frame.groupby("invariant", sort=False):
        marks = {row["layout"]: _mark(row["holds"]) for _, row in rows.iterrows()}
        apart = rows["difference"].max()
        table.add_row(
            Text(str(invariant)),
            *(marks.get(layout, Text("")) for layout in layouts),
            f"{apart:.0e}" if apart else "",
        )
    console.print(table)
    for layout, heading in zip(layouts, headings, strict=True):
        if heading != layout:
            console.print(
                Text(f"{heading}: {layout}. A row with one mark does not depend on the layout.")
            )
    for _, row in frame.iterrows():
        if row["holds"] is not True:
            what = "does not apply" if row["holds"] is None else "FAILED"
            console.print(Text(f"{row['invariant']}, {row['layout']}: {what}. {row['note']}"))
    failed = sum(holds is False for holds in frame["holds"])
    if failed:
        console.print(Text(f"{failed} of {len(frame)} checks failed", style="bold red"))
    else:
        seconds = frame["seconds"].sum()
        console.print(f"all applicable checks passed ({len(frame)} checks, {seconds:.0f} s)")
    return failed == 0


def _mark(holds: bool | None) -> Text:
    if holds is None:
        return Text("-", style="dim")
    return Text("yes") if holds else Text("NO", style="bold red")
