"""The command line's frame: the app, its console, and what several commands share.

They share options, how tables look, and the accuracy that tables show.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

import latent_core
from latent_core.cli.terminal import Terminal, say
from latent_core.errors import SettingError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COMMANDS",
    "FIRST_PROCESS",
    "App",
    "BackboneOption",
    "Folders",
    "OtherWeights",
    "PlainGroup",
    "Runs",
    "ThreadsOption",
    "app",
    "checked_metric",
    "console",
    "fix_threads_if",
    "say_once",
    "say_threads",
    "shares",
    "show_words",
    "table_of",
    "table_of_numbers",
]

#: The commands in the order in which one gets to know them.
COMMANDS = (
    *("demo", "train", "evaluate", "generate", "compare", "match"),
    *("tasks", "convert", "methods", "backbones", "shipped", "fetch", "pretrain"),
    *("grid", "runs", "hypotheses", "test"),
    *("export", "push", "harness", "doctor"),
)


class _PlainFlags(TyperCommand):
    """Help shows no type for a flag, which takes no value: `--resume`, not `--resume <bool>`."""

    def get_params(self, ctx: Any) -> Any:
        """Return all parameters, `--help` included."""
        return _without_types_of_flags(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """The same for a group of commands."""

    def get_params(self, ctx: Any) -> Any:
        """Return all parameters, `--help` included."""
        return _without_types_of_flags(super().get_params(ctx))


class InReadingOrder(PlainGroup):
    """Help lists the commands as `COMMANDS` has them, not by the files they come from."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        return sorted(super().list_commands(ctx), key=COMMANDS.index)


def _without_types_of_flags(params: Any) -> Any:
    for param in params:
        if getattr(param, "is_flag", False):
            param.display_type_rich = lambda ctx: None
    return params


class App(typer.Typer):
    """Commands whose help shows flags as they are typed."""

    def command(self, name: str | None = None, **settings: Any) -> Any:
        """Register a command."""
        return super().command(name, **({"cls": _PlainFlags} | settings))


app = App(
    help="Train latent tokens, generate with them, and measure where they help.\n\n"
    "Start here: `latent train --task repetition --method Start_1+Comma_1 --backbone tiny "
    "--out runs/first`, then `latent evaluate runs/first`.",
    cls=InReadingOrder,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
#: Of several processes that Accelerate starts, the first one speaks, and holds the run's lock.
FIRST_PROCESS: Final = os.environ.get("RANK", "0") == "0"
console = Terminal(quiet=not FIRST_PROCESS)

BackboneOption = Annotated[
    str,
    typer.Option(
        "--backbone", "-b", help="Short name (see `latent backbones`), folder, GGUF file or hub id."
    ),
]
OtherWeights = Annotated[
    bool,
    typer.Option(
        "--allow-other-weights",
        help="Take a backbone whose weights are not those of the training, if its width is.",
    ),
]
Runs = Annotated[
    list[Path], typer.Argument(help="Run folders, or folders that contain runs at any depth.")
]
Folders = Annotated[list[Path], typer.Argument(help="Run folders made by `latent train`.")]


def table_of(*columns: str, title: str | None = None) -> Table:
    """An empty table whose cells break rather than being cut."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def table_of_numbers(*columns: str, texts: int, title: str | None = None) -> Table:
    """A table without bars, which leaves many columns room in a terminal of eighty characters.

    Args:
        columns: headings; they break between words.
        texts: how many columns at the left hold words; the others hold numbers.
        title: stands above.
    """
    table = table_of(*columns, title=title)
    table.box, table.padding, table.pad_edge = SIMPLE_HEAD, (0, 1, 0, 0), False
    for column in table.columns[texts:]:
        column.justify = "right"
        column.min_width = max(map(len, str(column.header).split()))
    return table


def show_words(heading: str, rows: dict[str, str]) -> None:
    """A table of names and what they stand for."""
    table = table_of(heading, "description")
    for name, text in rows.items():
        table.add_row(Text(name), Text(text))
    console.print(table)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.print(f"latent {latent_core.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Take the options of `latent` itself; its help text stands in `app`."""


# --- the accuracy that tables show ----------------------------------------------------------------

Shares = Callable[[str, str], str]


def checked_metric(metric: str) -> str:
    """Refuse a metric that is neither graded nor exact."""
    if metric not in ("graded", "exact"):
        raise SettingError(f"unknown metric {metric!r}; expected graded or exact")
    return metric


def shares(frame: pd.DataFrame, by: pd.Series, split: pd.Series, metric: str) -> Shares:
    """The mean over the levels of each split, weighted by their examples.

    Args:
        frame: rows of `load_runs`.
        by: for each row, to which line of a table it belongs.
        split: for each row, to which column.
        metric: graded or exact.

    Returns:
        a function of line and column that says the mean as text: - if there is none.
    """
    weights = frame["examples"].astype(float)
    parts = (
        (frame[metric].astype(float) * weights).groupby([by, split]),
        weights.groupby([by, split]),
    )
    means = (parts[0].sum() / parts[1].sum()).dropna().to_dict()
    texts = {place: f"{mean:.2f}" for place, mean in means.items()}
    return lambda line, column: texts.get((line, column), "-")


# --- threads --------------------------------------------------------------------------------------

ThreadsOption = Annotated[
    int | None,
    typer.Option(help="Threads to compute with; by default what other processes leave free."),
]


def fix_threads_if(threads: int | None) -> None:
    """Compute with a number of threads, if the user gave one."""
    if threads is not None:
        from latent_core.threads import fix_threads  # brings torch

        fix_threads(threads)


def say_threads() -> None:
    """Say on how many threads was computed, if others left fewer than there are."""
    from latent_core.threads import fit_threads

    choice = fit_threads()
    if choice.threads < choice.most:
        say_once(f"computed on {choice} (--threads)")


def say_once(text: str) -> None:
    """Say something beside the answers, which may go into a file."""
    if FIRST_PROCESS:
        say(text)
