"""One row per method: accuracy in and out of distribution, the gap between them, and the cost.

Knows records; neither runs nor widgets.
"""

from __future__ import annotations

from html import escape
from typing import Final

import pandas as pd

from latent_core.statistics import mean_interval

__all__ = ["method_table", "method_table_html", "split_order"]

_STYLE: Final = """<style>
.latent-methods { overflow-x: auto; }
.latent-methods table { border-collapse: collapse; font-variant-numeric: tabular-nums;
  font-size: 13px; color: var(--jp-ui-font-color1, inherit); }
.latent-methods th, .latent-methods td { padding: 3px 10px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--jp-border-color2, #ddd); line-height: 1.25;
  vertical-align: top; }
.latent-methods th { font-weight: 600; vertical-align: bottom; }
.latent-methods th:first-child { text-align: left; }
.latent-methods tbody th { font-weight: 600; text-align: left; }
.latent-methods small { font-weight: 400; color: var(--jp-ui-font-color2, #666); }
</style>"""


def split_order(splits: pd.Series) -> list[str]:
    """Distinct splits: ID first, then OOD from short to long, then any others."""

    def rank(split: str) -> tuple[int, int, str]:
        if split == "id":
            return 0, 0, split
        tail = split.removeprefix("ood-")
        return (1, int(tail), split) if split != tail and tail.isdigit() else (2, 0, split)

    return sorted(splits.unique(), key=rank)


def method_table(frame: pd.DataFrame, metric: str = "graded") -> pd.DataFrame:
    """Accuracy and cost of every method.

    Args:
        frame: records with columns method, seed, split and the metric, of one task; extra_slots or
            latent_slots, trainable and seconds where they are known.
        metric: `graded` or `exact`.

    Returns:
        columns method, seeds, records; for each split and for `gap` (ID minus the mean of the OOD
        splits) the mean, and `NAME low`, `NAME high`, the ends of its 95 % interval; trainable,
        slots (extra ones per example) and seconds (per example). The gap's interval is over seeds,
        and missing with only one.
    """
    slots = next((n for n in ("extra_slots", "latent_slots") if n in frame.columns), None)
    out_of_distribution = [s for s in split_order(frame["split"]) if s.startswith("ood-")]
    rows = []
    for method, records in frame.groupby("method", sort=False):
        row: dict[str, object] = {
            "method": method,
            "seeds": records["seed"].nunique(),
            "records": len(records),
        }
        for split in split_order(frame["split"]):
            part = records[records["split"] == split]
            if len(part):
                found = mean_interval(part[metric], part["seed"])
                row |= {split: found.mean, f"{split} low": found.low, f"{split} high": found.high}
        means = records.groupby(["seed", "split"])[metric].mean().unstack()
        if "id" in means and set(out_of_distribution) <= set(means.columns) and out_of_distribution:
            gaps = (means["id"] - means[out_of_distribution].mean(axis=1, skipna=False)).dropna()
            if len(gaps):
                row["gap"] = float(gaps.mean())
            if len(gaps) > 1:
                found = mean_interval(gaps, gaps.index.to_series())
                row |= {"gap low": found.low, "gap high": found.high}
        for name, column in (("trainable", "trainable"), ("slots", slots), ("seconds", "seconds")):
            known = column in records.columns and records[column].notna().any()
            row[name] = float(records[column].mean()) if known else None
        rows.append(row)
    return pd.DataFrame(rows)


def method_table_html(table: pd.DataFrame) -> str:
    """The table for a page, its names escaped. The best mean of a split is bold."""
    values = [n for n in table.columns if f"{n} low" in table.columns or n in ("id", "gap")]
    best = {name: table[name].max() for name in values if name != "gap"}
    heads = [*values, "trainable", "slots", "seconds"]
    rows = []
    for _, row in table.iterrows():
        cells = [_accuracy(row, name, best.get(name)) for name in values]
        cells += [_number(row["trainable"], ",.0f"), _number(row["slots"], ".1f")]
        cells += [_number(row["seconds"], ".2f")]
        seeds = f"{row['seeds']} seed{'s' if row['seeds'] != 1 else ''}"
        name = f'<th scope="row">{escape(str(row["method"]))}<br><small>{seeds}</small></th>'
        rows.append(f"<tr>{name}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    titles = {
        "id": "ID",
        "gap": "gap<br><small>ID - mean OOD</small>",
        "trainable": "trained<br><small>numbers</small>",
        "slots": "extra slots<br><small>per example</small>",
        "seconds": "seconds<br><small>per example</small>",
    }
    named = "".join(
        f'<th scope="col">{titles.get(n, escape(n.replace("ood-", "OOD ")))}</th>' for n in heads
    )
    return (
        f'{_STYLE}<div class="latent-methods" tabindex="0" role="region" aria-label="methods">'
        f'<table><thead><tr><th scope="col">method</th>{named}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _accuracy(row: pd.Series, name: str, best: float | None) -> str:
    mean = row[name]
    if pd.isna(mean):
        return "-"
    text = f"{mean:.2f}" if best is None or mean < best else f"<b>{mean:.2f}</b>"
    low, high = row.get(f"{name} low"), row.get(f"{name} high")
    return text if pd.isna(low) else f"{text}<br><small>[{low:.2f}, {high:.2f}]</small>"


def _number(value: object, form: str) -> str:
    return "-" if pd.isna(value) else format(value, form)
