"""What `latent backbones --check` shows: invariants by layouts, and the reason where one fails."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from latent_core.cli.app import console
from latent_core.errors import BackboneError

__all__ = ["show_check"]


def show_check(name: str, report: Path | None = None) -> bool:
    """Check a backbone, print the table, and say whether everything holds.

    Args:
        name: what `load_backbone` takes.
        report: a file of reports that gets a row, also where the backbone is refused.
    """
    from latent_core.backbones.loading import load_backbone
    from latent_core.invariants import check, reports

    if report is not None and report.exists():
        reports.read_reports(report)  # another file is refused before minutes of checks
    with console.status(f"loading {name}") as status:
        try:
            backbone = load_backbone(name, dtype="float32")
        except BackboneError as error:
            if report is not None:
                reports.add_report(report, reports.refused_report(name, str(error)))
            raise
        frame = check.check_backbone(
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
