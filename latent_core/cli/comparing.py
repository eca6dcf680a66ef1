"""`latent compare | match`: methods side by side, and controls of the same size."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Annotated, cast

import typer

from latent_core.cli.app import BackboneOption, Runs, app, console, table_of, table_of_numbers
from latent_core.cli.terminal import fit_numbers, keep_first_column, say
from latent_core.errors import SettingError

if TYPE_CHECKING:
    import pandas as pd

    from latent_core.models.matching import By

__all__ = ["compare", "interval_text", "match", "show_comparison", "show_summary"]

_MISSING = dict.fromkeys(("mean", "low", "high"), math.nan)


@app.command()
def compare(
    folders: Runs,
    metric: Annotated[str, typer.Option(help="graded or exact.")] = "graded",
) -> None:
    """Show evaluated runs in one table: accuracy, trainable parameters, extra slots and time."""
    from latent_core.evaluation.comparison import compare as side_by_side

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        frame = side_by_side(folders, metric)
    for warning in caught:
        if warning.category is UserWarning:
            say(f"latent: {warning.message}")
    show_comparison(frame, metric)


@app.command()
def match(
    layout: Annotated[str, typer.Argument(help="Layout whose cost is matched.")],
    task: Annotated[str, typer.Option(help="Task name or a .jsonl file.")],
    backbone: BackboneOption = "tiny",
    by: Annotated[
        str, typer.Option(help="Which cost is equal: parameters or compute.")
    ] = "parameters",
) -> None:
    """List controls of the same cost as a layout, and show their cost."""
    from latent_core.backbones.loading import load_backbone
    from latent_core.models.matching import AGAINST, BESIDE, cost, matched
    from latent_core.slots.methods import Method
    from latent_core.tasks.table import load_task

    if by not in ("parameters", "compute"):
        raise SettingError(f"by is {by!r}; expected parameters or compute")
    loaded, chosen = load_backbone(backbone), load_task(task)
    table = table_of("control", "method", "trainable parameters", "extra slots per ID example")
    beside = Method.parse(layout).companion is not None
    for against in ("itself", *(BESIDE if beside else AGAINST)):
        if against == ("filler" if by == "parameters" else "lora"):
            continue  # nothing of theirs could be matched
        name = layout
        if against != "itself":
            name = matched(layout, cast("By", by), against, backbone=loaded, task=chosen).name
        trainable, slots = cost(name, loaded, chosen)
        table.add_row(against, name, f"{trainable:,}", f"{slots:.1f}")
    console.print(table)


def show_summary(frame: pd.DataFrame, metric: str) -> None:
    """Print the frame of `summarise`: by backbone, task, method and split."""
    for (task, backbone), rows in frame.groupby(["task", "backbone"], sort=False):
        splits = list(dict.fromkeys(rows["split"]))
        title = f"{_place(task, backbone)}: {metric}, mean and 95 % interval"
        table = table_of_numbers("method", *splits, texts=1 + len(splits), title=title)
        table.padding, table.show_edge = 0, False
        methods = rows["method"].str.len().max()
        for column in table.columns[1:]:
            column.no_wrap = console.width >= methods + 13 * len(splits)
        between = _between(methods + 18 * len(splits))
        for method, cells in rows.groupby("method", sort=False):
            means = {row["split"]: row for row in cells.to_dict("records")}
            found = [means.get(split, _MISSING) for split in splits]
            shown = [interval_text(row["mean"], row["low"], row["high"], between) for row in found]
            table.add_row(str(method), *shown)
        keep_first_column(table, console.width)
        console.print(table)
        console.print(f"training seeds per method: {_range(rows['seeds'])}")


def show_comparison(frame: pd.DataFrame, metric: str) -> None:
    """Print the frame of `compare`, one table a task and backbone."""
    between = _between(100)
    for (task, backbone), rows in frame.groupby(["task", "backbone"], sort=False):
        title = f"{_place(task, backbone)}: {metric} accuracy with 95 % interval, and cost per "
        title += "answer"
        columns = ("method", "ID", "OOD", "trainable", "extra\nslots", "decode\nsteps")
        table = table_of_numbers(*columns, "seconds", "train\ns", texts=3, title=title)
        table.padding, table.show_edge = 0, False
        for column in table.columns[1:]:
            column.no_wrap = True
        for row in rows.to_dict("records"):
            table.add_row(
                str(row["method"]),
                interval_text(row["id"], row["id_low"], row["id_high"], between),
                interval_text(row["ood"], row["ood_low"], row["ood_high"], between),
                _number(row["trainable"], ",.0f"),
                _number(row["extra_slots"], ".1f"),
                _number(row["decode_steps"], ".1f"),
                _number(row["seconds"], ".3f"),
                _number(row["training_seconds"], ".0f"),
            )
        gone = fit_numbers(table, console.width, keep=3)
        console.print(table)
        if gone:
            console.print(
                f"columns not shown, because the terminal is too narrow: {', '.join(gone)}",
                highlight=False,
            )
        console.print(f"training seeds per method: {_range(rows['seeds'])}")
        if not rows["same_examples"].all():
            console.print(
                "These methods did not answer the same examples; evaluate them with the same "
                "splits, examples and seed."
            )


def _place(task: str, backbone: str) -> str:
    return f"{task} on {backbone}" if backbone else task


def _range(numbers: pd.Series) -> str:
    low, high = numbers.min(), numbers.max()
    return str(low) if low == high else f"{low}-{high}"


def _between(width: int) -> str:
    """What stands between a mean and its interval: a line break in a terminal that is narrower."""
    return " " if console.width >= width else "\n"


def interval_text(mean: float, low: float, high: float, between: str) -> str:
    """A mean and its interval, with a space or a line break between them; - if it is not known."""
    return "-" if math.isnan(mean) else f"{mean:.2f}{between}[{low:.2f}, {high:.2f}]"


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
