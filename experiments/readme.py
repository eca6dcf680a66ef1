"""Tables of results, and their place in the README. Imported by the scripts beside it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import latent_core as lc

__all__ = ["ROOT", "accuracy_table", "write_section"]

ROOT = Path(__file__).parent.parent


def write_section(name: str, body: str) -> None:
    """Put `body` between the README's marks `<!-- name -->` and `<!-- /name -->`, and print it."""
    readme = ROOT / "README.md"
    head, rest = readme.read_text().split(f"<!-- {name} -->\n")
    tail = rest.split(f"<!-- /{name} -->")[1]
    readme.write_text(f"{head}<!-- {name} -->\n\n{body}\n<!-- /{name} -->{tail}")
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
