"""`latent shipped`: the runs that ship with the package, and the names that commands take."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from latent_core.cli.app import app, console, table_of_numbers
from latent_core.cli.metrics import checked_metric, shares

__all__ = ["shipped"]


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
    from latent_core.archives.names import SHIPPED_PREFIX
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
