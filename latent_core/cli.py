"""The `latent` command: the library's words, typed.

Bad input ends in exit code 2 and one sentence. Torch is imported only by the commands that need it,
so that `--help` is instant.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from latent_core.errors import AdapterError, LatentError, SettingError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    help="Latent tokens: train them, generate with them, and measure where they help.\n\n"
    "Start here: [bold]latent train --task repetition --method Start_1+Comma_1 --backbone tiny "
    "--out runs/first[/bold], then [bold]latent evaluate runs/first[/bold].",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
console = Console()

BackboneOption = Annotated[
    str,
    typer.Option("--backbone", "-b", help="Short name (see `latent backbones`), folder or hub id."),
]
Folders = Annotated[list[Path], typer.Argument(help="Run folders made by `latent train`.")]


def main() -> None:
    """Run the command line; exit code 2 and one sentence on bad input."""
    try:
        app()
    except LatentError as error:
        print(f"latent: {error}", file=sys.stderr)
        sys.exit(2)


@app.command()
def backbones() -> None:
    """List the backbones known by a short name."""
    from latent_core.backbones import BACKBONES

    _show("backbone", {name: known.description for name, known in BACKBONES.items()})
    console.print(
        "Any other decoder-only model works by folder or hub id, if it obeys position ids."
    )


@app.command()
def tasks() -> None:
    """List the tasks, and how to bring your own."""
    from latent_core.tasks import TASKS

    table = _table("task", "what is asked", "ID", "OOD")
    for name, task in TASKS.items():
        levels = f"{task.id_levels[0]}-{task.id_levels[-1]}"
        if len(task.id_levels) == 1:
            levels = str(task.id_levels[0])
        table.add_row(
            name,
            f"{task.description} {task.hypothesis}",
            f"{levels} {task.level_name}",
            ", ".join(map(str, task.ood_levels)),
        )
    console.print(table)
    console.print(
        'Your own: a .jsonl file, one {"prompt": ..., "answer": ..., "split": ...} on each line.'
    )


@app.command()
def methods() -> None:
    """List the methods: layouts of latent tokens, and their baselines."""
    from latent_core.methods import BASELINES, EXAMPLE_LAYOUTS

    _show("baseline", BASELINES)
    _show("layout (examples)", EXAMPLE_LAYOUTS)


@app.command()
def train(
    task: Annotated[str, typer.Option(help="Task name (see `latent tasks`) or a .jsonl file.")],
    method: Annotated[str, typer.Option(help="Layout or baseline (see `latent methods`).")],
    out: Annotated[Path, typer.Option(help="Run folder; must not hold another run.")],
    backbone: BackboneOption = "tiny",
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 200,
    batch_size: Annotated[int, typer.Option(help="Examples per step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW.")] = 1e-2,
    seed: Annotated[int, typer.Option(help="Draws initial vectors and examples.")] = 0,
    init: Annotated[
        str, typer.Option(help="Initial vectors: vocab, mean, gaussian or 'text:SOME WORDS'.")
    ] = "vocab",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run.")] = False,
) -> None:
    """Train latent tokens on a task.

    The backbone stays as it is; the run folder gets the adapter (a few kB), run.json and log.csv.
    Example: latent train --task repetition --method Start_1+Comma_1 --backbone tiny --out runs/a
    """
    from latent_core.methods import Method, build_model
    from latent_core.tasks import load_task
    from latent_core.training import train as train_tables

    chosen, loaded = Method.parse(method, init), load_task(task)
    source = str(Path(task).resolve()) if task.endswith(".jsonl") else task
    notes = {"method": chosen.name, "task_source": source}
    if steps < 1:
        raise SettingError(f"steps is {steps}; expected at least 1")
    model = build_model(backbone, chosen, seed)
    if not chosen.trained:
        model.save_pretrained(out, task=loaded.name, seed=seed, **notes)
        console.print(f"{chosen.name} has nothing to train; {out} is ready for `latent evaluate`.")
        return
    result = train_tables(
        model,
        loaded,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        output_dir=out,
        learning_rate=learning_rate,
        resume=resume,
        notes=notes,
    )
    console.print(
        f"{chosen.name} on {loaded.name}: loss {result.loss:.3f} after {steps} steps "
        f"({result.seconds:.0f} s), {model.num_trainable} trainable numbers, saved in {out}"
    )


@app.command()
def evaluate(
    folders: Folders,
    splits: Annotated[
        str, typer.Option(help="Comma-separated: train, validation, id, ood, ood-10, ...")
    ] = "id,ood",
    examples: Annotated[int, typer.Option(help="Examples per split.")] = 100,
    seed: Annotated[int, typer.Option(help="Draws the examples; keep it to compare runs.")] = 1,
    metric: Annotated[str, typer.Option(help="What the table shows: graded or exact.")] = "graded",
) -> None:
    """Measure runs in and out of distribution.

    Writes records.parquet, one row per example, into each folder, and prints a table with 95 %
    intervals. Runs of one method with different training seeds are averaged.
    """
    import pandas as pd

    from latent_core.statistics import summarise

    if metric not in ("graded", "exact"):
        raise SettingError(f"unknown metric {metric!r}; expected graded or exact")
    names = [name.strip() for name in splits.split(",")]
    loaded: dict[str, Any] = {}
    frames = [_evaluate_run(folder, names, examples, seed, loaded) for folder in folders]
    table = summarise(pd.concat(frames, ignore_index=True), ("task", "method", "split"), metric)
    _show_summary(table, metric)


@app.command()
def generate(
    folder: Annotated[Path, typer.Argument(help="Run folder or adapter.")],
    prompt: Annotated[
        list[str], typer.Option(help="Prompt; \\n is a line break. May be repeated.")
    ],
    max_new_tokens: Annotated[int, typer.Option(help="Verbal tokens at most.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 is greedy; above, tokens are drawn.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    latents: Annotated[bool, typer.Option(help="Show the latents in their places.")] = True,
) -> None:
    """Answer prompts with a trained adapter, latents shown in their places."""
    from latent_core.model import LatentModel

    model = LatentModel.from_pretrained(folder)
    answers = model.generate(
        [text.replace("\\n", "\n") for text in prompt],
        max_new_tokens,
        do_sample=temperature > 0,
        temperature=temperature or 1.0,
        seed=seed,
        return_details=True,
    )
    for answer in answers:
        line = Text()
        for slot in answer.slots:
            if slot.group is None:
                line.append(slot.label, style="bold" if latents else "")
            elif latents:
                line.append(f"[{slot.label}]", style="magenta")
        console.print(line if latents else Text(answer.text))


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="smollm2-135m")]) -> None:
    """Make sure that a backbone's weights are on this machine."""
    from latent_core.backbones import BACKBONES
    from latent_core.weights import fetch_smollm2

    if name not in BACKBONES:
        raise SettingError(f"unknown backbone {name!r}; expected one of {', '.join(BACKBONES)}")
    where = fetch_smollm2(verify=True) if name == "smollm2-135m" else BACKBONES[name].locate()
    console.print(f"{name}: {where}")


@app.command()
def pretrain(
    name: Annotated[str, typer.Argument(help="tiny")],
    out: Annotated[Path, typer.Option(help="Folder to write the backbone to.")],
    seed: Annotated[int, typer.Option(help="Of weights and corpus.")] = 0,
) -> None:
    """Make the backbone `tiny` anew from a seed."""
    if name != "tiny":
        raise SettingError(f"cannot pre-train {name!r}; expected tiny")
    from latent_core.pretraining import pretrain_tiny

    console.print(f"tiny: {pretrain_tiny(out, seed=seed)}")


def _evaluate_run(
    folder: Path, splits: list[str], examples: int, seed: int, loaded: dict[str, Any]
) -> pd.DataFrame:
    """Evaluate one run and keep its records; `loaded` shares backbones between runs."""
    from latent_core.adapter import read_adapter
    from latent_core.backbones import load_backbone
    from latent_core.evaluation import evaluate as answer
    from latent_core.methods import Method
    from latent_core.model import LatentModel
    from latent_core.runs import write_records
    from latent_core.tasks import load_task

    config, _ = read_adapter(folder)
    if "task" not in config.notes:
        raise AdapterError(
            f"{folder} does not say what task it was trained on; expected a folder made by "
            "`latent train`"
        )
    if config.backbone not in loaded:
        loaded[config.backbone] = load_backbone(config.backbone)
    model = LatentModel.from_pretrained(folder, loaded[config.backbone])
    method = Method.parse(config.notes.get("method", config.layout))
    task = load_task(config.notes.get("task_source", config.notes["task"]))
    frame = answer(model, task, splits, examples, seed, shots=method.shots)
    frame = frame.assign(method=method.name, seed=config.notes.get("seed", 0))
    write_records(folder, frame)
    return frame


def _show_summary(table: pd.DataFrame, metric: str) -> None:
    for task, rows in table.groupby("task", sort=False):
        splits = list(dict.fromkeys(rows["split"]))
        shown = _table("method", *splits, title=f"{task}: {metric}, mean and 95 % interval")
        for method, cells in rows.groupby("method", sort=False):
            by_split = cells.set_index("split")
            shown.add_row(
                str(method),
                *(
                    "{mean:.2f} [{low:.2f}, {high:.2f}]".format(**by_split.loc[split])
                    if split in by_split.index
                    else "-"
                    for split in splits
                ),
            )
        console.print(shown)
        console.print(f"training seeds per method: {rows['seeds'].min()}-{rows['seeds'].max()}")


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _show(heading: str, rows: dict[str, str]) -> None:
    table = _table(heading, "what it is")
    for name, text in rows.items():
        table.add_row(Text(name), Text(text))
    console.print(table)
