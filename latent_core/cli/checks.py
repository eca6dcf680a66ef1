"""What `latent backbones --check` shows: invariants by layouts, and the reason where one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from latent_core.cli.app import console, table_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["show_check"]


def show_check(name: str) -> bool:
    """Check a backbone, print the table, and say whether everything holds."""
    from latent_core.invariants import check_backbone

    with console.status(f"loading {name}") as status:
        frame = check_backbone(
            name, progress=lambda layout, invariant: status.update(f"{layout}: {invariant}")
        )
    layouts = list(dict.fromkeys(frame["layout"]))
    table = table_of("what has to hold", *layouts, title=f"latent tokens on {name}")
    cells = frame.set_index(["invariant", "layout"])
    for invariant in dict.fromkeys(frame["invariant"]):
        shown = [
            _cell(cells.loc[(invariant, layout)])
            if (invariant, layout) in cells.index
            else Text("")
            for layout in layouts
        ]
        table.add_row(Text(invariant), *shown)
    console.print(table)
    notes = frame[frame["holds"].isna() | ~frame["holds"].fillna(True)]
    for (invariant, layout), row in notes.set_index(["invariant", "layout"]).iterrows():
        what = "does not apply" if row["holds"] is None or row.isna()["holds"] else "fails"
        console.print(Text(f"{invariant}, {layout}: {what}. {row['note']}"))
    failed = int((~frame["holds"].fillna(True)).sum())
    if failed:
        console.print(Text(f"{failed} of {len(frame)} checks fail", style="bold red"))
    else:
        seconds = frame["seconds"].sum()
        console.print(f"everything holds that applies ({len(frame)} checks, {seconds:.0f} s)")
    return failed == 0


def _cell(row: pd.Series) -> Text:
    """A mark, and how far two ways of computing the same thing were apart."""
    if row.isna()["holds"]:
        return Text("-", style="dim")
    apart = f" {row['difference']:.0e}" if row["difference"] else ""
    return Text(f"yes{apart}") if row["holds"] else Text(f"NO{apart}", style="bold red")
