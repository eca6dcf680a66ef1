"""`latent runs list | show | export | prune | pack | unpack`: list, export and delete runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from latent_core.cli.app import (
    App,
    PlainGroup,
    app,
    checked_metric,
    console,
    shares,
    table_of_numbers,
)
from latent_core.cli.terminal import print_rows
from latent_core.errors import SettingError
from latent_core.wording import counted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["runs_app"]

runs_app = App(
    cls=PlainGroup, help="List, show, export, delete and pack runs.", no_args_is_help=True
)
app.add_typer(runs_app, name="runs")

Paths = Annotated[
    list[Path],
    typer.Argument(help="Folders or archives that contain runs, at any depth.", show_default=True),
]
WhereOption = Annotated[
    list[str],
    typer.Option(
        "--where",
        "-w",
        help="Only runs with this column, setting or note: method=Start_2,Comma_2. Repeatable.",
    ),
]
HERE = [Path("runs")]
IDENTITY = ("task", "backbone", "method", "seed")


@runs_app.command("list")
def list_runs(
    paths: Paths = HERE,
    where: WhereOption = [],  # noqa: B006 Typer reads it, nobody changes it
    metric: Annotated[str, typer.Option(help="graded or exact.")] = "graded",
) -> None:
    """List runs, one per line: task, method, status, and accuracy by split."""
    from latent_core.runs.store import load_runs

    checked_metric(metric)
    frame = load_runs(paths[0] if len(paths) == 1 else paths, _where(where))
    if frame.empty:
        console.print("no runs")
        return
    splits = list(dict.fromkeys(frame["split"].dropna()))
    names = ["run", "status", *(name for name in IDENTITY if not _told_by_path(frame, name))]
    table = table_of_numbers(*names, *splits, texts=len(names))
    if failed := bool((frame["status"] == "failed").any()):
        table.add_column("error", overflow="fold")
        for column in table.columns[1 : len(names)]:
            column.no_wrap = True  # the error is long, and takes their room first
    share = shares(frame, frame["run"], frame["split"], metric)
    first = frame.drop_duplicates("run")
    rows = [
        [
            *(str(row[name]) for name in names),
            *(share(row["run"], split) for split in splits),
            *([str(row["error"]) if row["status"] == "failed" else ""] if failed else []),
        ]
        for row in first.to_dict("records")
    ]
    print_rows(console, table, rows)
    counts = first["status"].value_counts()
    console.print(", ".join(f"{count} {status}" for status, count in counts.items()))


@runs_app.command("show")
def show_run(
    path: Annotated[Path, typer.Argument(help="Folder of one run.")],
    records: Annotated[int, typer.Option(help="Number of records to show.")] = 0,
) -> None:
    """Show the settings of one run, its status, and its accuracy."""
    from latent_core.runs.find import find_runs
    from latent_core.runs.store import load_runs

    found = find_runs(path)
    if len(found) != 1:
        raise SettingError(f"{path} holds {len(found)} runs; expected the folder of one run")
    about = Table.grid(padding=(0, 2))
    for name, value in found[0].about.items():
        if value is not None:
            about.add_row(Text(name), Text(str(value), overflow="fold"))
    console.print(about)
    frame = load_runs(path)
    if frame["split"].notna().any():
        per_answer = (frame["seconds"] / frame["examples"]).astype(float)  # as `latent compare` has
        frame = frame.assign(seconds=per_answer).rename(columns={"seconds": "seconds_per_answer"})
        columns = [name for name in frame.columns[list(frame.columns).index("split") :]]
        results = table_of_numbers(*(name.replace("_", " ") for name in columns), texts=1)
        for row in frame[columns].to_dict("records"):
            results.add_row(*(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()))
        console.print(results)
    if records:
        for row in load_runs(path, records=True).head(records).to_dict("records"):
            console.print(Text(f"{row['split']} {row['example']}: {row['prompt']!r}"))
            console.print(Text(f"  {row['graded']:.2f}  {row['response']!r}"))


@runs_app.command("export")
def export_runs(
    paths: Paths = HERE,
    out: Annotated[Path | None, typer.Option(help="A .csv or .parquet file, or .json.")] = None,
    where: WhereOption = [],  # noqa: B006 Typer reads it, nobody changes it
    records: Annotated[
        bool,
        typer.Option(
            "--records", help="One row per example, instead of one per run, split and level."
        ),
    ] = False,
) -> None:
    """Write the table of runs, or their records, into one file.

    A .json file is a log of Inspect, of one run with its responses: `inspect view` shows it.
    Example: `latent runs export runs --out runs.csv`. Without --out, the first path is the file.
    """
    from latent_core.files import write_file
    from latent_core.runs.find import refuse_in_run
    from latent_core.runs.store import load_runs

    if out is None:
        out, paths = paths[0], paths[1:] or HERE
    if out.suffix not in (".csv", ".parquet", ".json"):
        raise SettingError(
            f"cannot export to {out}; expected --out with a name that ends in .csv, .parquet or "
            ".json"
        )
    refuse_in_run(out)
    if out.suffix == ".json":
        _export_log(paths, out)
        return
    frame = load_runs(paths[0] if len(paths) == 1 else paths, _where(where), records)
    content = (
        frame.to_csv(index=False).encode()
        if out.suffix == ".csv"
        else frame.to_parquet(index=False)
    )
    write_file(out, content)
    console.print(f"{len(frame)} rows of {frame['run'].nunique()} runs: {out}")


def _export_log(paths: list[Path], out: Path) -> None:
    """Write the log of the only run there."""
    from latent_core.bridges.inspect_log import export_inspect_log
    from latent_core.runs.find import find_runs

    found = find_runs(paths)
    if len(found) != 1:
        raise SettingError(
            f"{len(found)} runs in {', '.join(map(str, paths))}; expected one for an Inspect log, "
            "which is about one model"
        )
    console.print(f"Inspect log: {export_inspect_log(found[0].path, out)}")


@runs_app.command("prune")
def prune_runs(
    paths: Paths = HERE,
    where: WhereOption = [],  # noqa: B006 Typer reads it, nobody changes it
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
) -> None:
    """Delete runs that are unfinished or failed and have neither an adapter nor records.

    Only a run's own files go: a folder that holds anything else stays, with it. Left alone is what
    lies behind a link, and a run that a process is working on.
    """
    from latent_core.runs.find import find_runs
    from latent_core.runs.removal import holds_results, lies_behind_link, remove_run

    chosen = [
        run
        for run in find_runs(paths[0] if len(paths) == 1 else paths, _where(where), copies=True)
        if not lies_behind_link(run.path, paths) and not holds_results(run.path)
    ]
    if not chosen:
        console.print("nothing to delete: every run is finished, or has an adapter or records")
        return
    for run in chosen:
        console.print(Text(f"{run.about['status']:9} {run.path}"))
    if not yes and not typer.confirm(f"Delete these {len(chosen)} run folders?"):
        raise typer.Exit(1)
    left = {run.path: reason for run in chosen if (reason := remove_run(run.path))}
    console.print(f"{len(chosen) - len(left)} deleted")
    for path, reason in left.items():
        console.print(Text(f"not deleted: {path}: {reason}"))


@runs_app.command("pack")
def pack(
    folder: Annotated[Path, typer.Argument(help="Folder that holds runs, at any depth.")],
    out: Annotated[
        Path | None, typer.Option(help="New folder for the archive; default: FOLDER-packed.")
    ] = None,
) -> None:
    """Pack runs into an archive of three files. Every command reads it like the folder.

    FOLDER does not change. Unfinished runs are left out, and their names are printed.

    Example: `latent runs pack runs --out runs-packed`, then `latent compare runs-packed`
    """
    from latent_core.runs.archive import pack_runs

    with _bar("packing") as told:
        done = pack_runs(folder, out, told)
    for path, reason in done.left_out.items():
        console.print(Text(f"left out: {path} {reason}"))
    console.print(Text(f"{counted(done.runs, 'run')}, {done.size / 1e6:.1f} MB: {done.path}"))


@runs_app.command("unpack")
def unpack(
    archive: Annotated[
        Path,
        typer.Argument(
            help="Archive, path in an archive, or shipped runs such as shipped:tiny/repetition."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="New folder for the runs; default: ARCHIVE-unpacked.")
    ] = None,
) -> None:
    """Write the runs of an archive as folders. The archive does not change.

    Example: `latent runs unpack shipped:tiny --out runs/tiny`
    """
    from latent_core.runs.archive import unpack_runs

    with _bar("unpacking") as told:
        done = unpack_runs(archive, out, told)
    console.print(Text(f"{counted(done.runs, 'run')}, {done.size / 1e6:.1f} MB: {done.path}"))


@contextlib.contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar in a terminal, and what moves it: it is told how much of all is done."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


def _told_by_path(frame: pd.DataFrame, name: str) -> bool:
    """Whether each run's path has this column's value in it, as those of a grid do."""
    there = frame[["run", name]].drop_duplicates()
    return all(
        (f"seed-{value}" if name == "seed" else str(value)) in run
        for run, value in zip(there["run"], there[name], strict=True)
    )


def _where(conditions: list[str]) -> dict[str, Any] | None:
    """`name=a,b` as what `load_runs` takes; numbers are read as numbers."""
    where: dict[str, Any] = {}
    for condition in conditions:
        name, equals, values = condition.partition("=")
        if not equals or not name.strip() or not values.strip():
            raise SettingError(
                f"cannot read --where {condition!r}; expected NAME=VALUE or NAME=VALUE,VALUE"
            )
        wanted = [value.strip() for value in values.split(",")]
        where[name.strip()] = wanted + [n for text in wanted for n in _numbers(text)]
    return where or None


def _numbers(text: str) -> list[float]:
    try:
        return [float(text)]
    except ValueError:
        return []
