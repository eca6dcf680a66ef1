"""Tables and pictures of results, and their places in docs. Imported by the scripts beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

import latent_core as lc
from latent_core.statistics.inference import Effect

__all__ = ["ROOT", "accuracy_table", "draw_intervals", "write_section"]

ROOT = Path(__file__).parent.parent


def write_section(name: str, body: str) -> None:
    """Print `body`, and put it between the marks `<!-- name -->` and `<!-- /name -->` in docs.

    Raises:
        LookupError: if not exactly one page has the marks.
    """
    opening, closing = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    pages = [page for page in (ROOT / "docs").glob("*.md") if opening in page.read_text()]
    if len(pages) != 1:
        raise LookupError(
            f"{len(pages)} pages in docs have the marks {opening.strip()!r}; expected 1"
        )
    head, rest = pages[0].read_text().split(opening)
    tail = rest.split(closing)[1]
    pages[0].write_text(f"{head}{opening}\n{body}\n{closing}{tail}")
    print(body)


def accuracy_table(frame: pd.DataFrame) -> str:
    """Markdown of graded accuracy with 95 % intervals: a row per method, a column per split."""
    parts = []
    for task, records in frame.groupby("task", sort=False):
        summary = lc.summarise(records, ("method", "split"))
        splits = list(dict.fromkeys(summary["split"]))
        parts.append(f"| {task} | " + " | ".join(splits) + " |\n")
        parts.append("|---" * (len(splits) + 1) + "|\n")
        for method, rows in summary.groupby("method", sort=False):
            cells = rows.set_index("split").loc[splits].to_dict("records")
            shown = ("{mean:.2f} [{low:.2f}, {high:.2f}]".format(**cell) for cell in cells)
            parts.append(f"| `{method}` | " + " | ".join(shown) + " |\n")
        parts.append("\n")
    seeds = frame.groupby(["task", "method"])["seed"].nunique().min()
    examples = frame.groupby(["task", "method", "seed", "split"]).size().min()
    per_split = f"{examples} examples per split and seed"
    return (
        "".join(parts)
        + f"Graded accuracy, mean and 95 % interval; seeds per method: {seeds}; {per_split}.\n"
    )


def draw_intervals(axes: Axes, rows: Sequence[tuple[str, Effect, str, str]]) -> None:
    """Draw effects with their intervals, from top to bottom.

    Args:
        axes: where.
        rows: of each effect its name, itself, its colour, and what stands beside it.
    """
    for place, (_, effect, colour, said) in enumerate(rows[::-1]):
        axes.plot([effect.low, effect.high], [place, place], color=colour, lw=2)
        axes.plot(effect.mean, place, "o", color=colour)
        axes.annotate(said, (1.01, place), xycoords=("axes fraction", "data"), va="center", size=8)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows[::-1]], size=9)
