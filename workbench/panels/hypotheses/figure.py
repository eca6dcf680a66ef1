"""Effects, their intervals, and the region that each claim has to reach; live, and as a picture.

One line per part; where there is one part alone, also its controls. Verdicts differ by the shape of
their mark and are written beside it, not told by colour alone. Knows the table of a `Result`.
"""

from __future__ import annotations

from html import escape
from typing import Final

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure

from workbench.pictures.theme import GRID, INK, plain_layout

__all__ = ["effects_figure", "effects_picture"]

#: Verdict -> colour, Plotly's symbol, Matplotlib's marker.
_MARKS: Final = {
    "supported": ("#009E73", "circle", "o"),
    "refuted": ("#D55E00", "x", "X"),
    "inconclusive": ("#E69F00", "diamond-open", "D"),
    "": (INK, "line-ns-open", "|"),
}
_REACH: Final = "rgba(0,114,178,0.16)"
_WRAP: Final = 34


def effects_figure(table: pd.DataFrame) -> go.Figure:
    """The interval plot.

    Args:
        table: of `Result.table`.
    """
    rows = _rows(table)
    low, high = _span(rows)
    figure = go.Figure()
    for number, row in enumerate(rows.itertuples()):
        first, last = _reach(row.smallest_effect, low, high)
        if row.row == "claim":
            figure.add_shape(
                type="rect",
                x0=first,
                x1=last,
                y0=number - 0.38,
                y1=number + 0.38,
                fillcolor=_REACH,
                line={"width": 0},
                layer="below",
            )
        colour, symbol, _ = _MARKS[row.outcome]
        figure.add_scatter(
            x=[row.mean],
            y=[number],
            error_x={
                "type": "data",
                "array": [row.high - row.mean],
                "arrayminus": [row.mean - row.low],
                "thickness": 2 if row.row == "claim" else 1,
                "width": 5,
            },
            mode="markers",
            marker={"symbol": symbol, "size": 12, "color": colour, "line": {"width": 2}},
            name=escape(row.label),
            hovertemplate=(
                f"{escape(row.label)}: {row.mean:+.3f} [{row.low:+.3f}, {row.high:+.3f}]<br>"
                f"{escape(row.verdict or 'no claim: for comparison')}, {row.seeds} "
                f"seed{'s' * (row.seeds > 1)}, {row.records} pairs<extra></extra>"
            ),
        )
        figure.add_annotation(
            x=1.01,
            xref="paper",
            xanchor="left",
            y=number,
            text=escape(row.verdict),
            showarrow=False,
            font={"size": 12},
        )
    figure.add_vline(x=0, line={"color": INK, "width": 1.5})
    figure.update_xaxes(
        title={"text": escape(_measured(rows)), "standoff": 8},
        range=[low, high],
        gridcolor=GRID,
        zeroline=False,
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[escape(_broken(label)).replace("\n", "<br>") for label in rows["label"]],
        range=[len(rows) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )
    figure.update_layout(plain_layout("", height=96 + 46 * len(rows)))
    return figure.update_layout(
        title=None, showlegend=False, margin={"t": 12, "b": 52, "l": 220, "r": 170}
    )


def effects_picture(table: pd.DataFrame, title: str) -> Figure:
    """The same on white, with its title."""
    rows = _rows(table)
    low, high = _span(rows)
    figure = Figure(figsize=(9.5, 1.4 + 0.46 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for number, row in enumerate(rows.itertuples()):
        if row.row == "claim":
            first, last = _reach(row.smallest_effect, low, high)
            axes.fill_betweenx(
                [number - 0.38, number + 0.38],
                first,
                last,
                color="#0072B2",
                alpha=0.15,
                linewidth=0,
            )
        colour, _, marker = _MARKS[row.outcome]
        axes.errorbar(
            row.mean,
            number,
            xerr=[[row.mean - row.low], [row.high - row.mean]],
            color=colour,
            marker=marker,
            markersize=8,
            markerfacecolor="white" if marker == "D" else colour,
            elinewidth=2 if row.row == "claim" else 1,
            capsize=4,
        )
        axes.text(1.01, number, row.verdict, transform=axes.get_yaxis_transform(), va="center")
    axes.axvline(0, color="#333333", linewidth=1)
    axes.set_yticks(range(len(rows)), [_broken(label) for label in rows["label"]])
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlim=(low, high), xlabel=_measured(rows))
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11, wrap=True)
    return figure


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    """What is drawn, with a label each."""
    claims = table[table["row"] == "claim"]
    if len(claims) > 1:
        return claims.assign(label=claims["part"])
    one = claims["part"].iloc[0]
    labels = [one if row == "claim" else f"{row} latents" for row in table["row"]]
    return table.assign(label=[n.replace("filler latents", "full stops") for n in labels])


def _span(rows: pd.DataFrame) -> tuple[float, float]:
    """From and to of the axis: everything drawn, zero, and some of what would be enough."""
    numbers = [0.0, *rows["low"], *rows["high"], *(1.4 * rows["smallest_effect"])]
    low, high = min(numbers), max(numbers)
    room = 0.04 * (high - low)
    return low - room, high + room


def _reach(least: float, low: float, high: float) -> tuple[float, float]:
    return (least, high) if least > 0 else (low, least)


def _measured(rows: pd.DataFrame) -> str:
    metrics = " or ".join(rows["metric"].unique())
    return f"difference in {metrics} score, 95 % interval; shaded: what the claim has to reach"


def _broken(label: str) -> str:
    """A long label on two lines."""
    if len(label) <= _WRAP:
        return label
    cut = label.rfind(" ", 0, _WRAP)
    cut = _WRAP if cut < 1 else cut
    rest = label[cut:].strip()
    return f"{label[:cut]}\n{rest if len(rest) <= _WRAP else rest[: _WRAP - 1] + '…'}"
