"""One row per method: accuracy in and out of distribution, the gap between them, and the cost.

And the same beside one of the methods, example by example. Knows records; neither runs nor widgets.
"""

from __future__ import annotations

from html import escape
from typing import Any, Final

import pandas as pd

from latent_core.errors import SettingError
from latent_core.statistics.means import accuracy_interval, mean_interval, paired_difference
from latent_core.wording import counted

__all__ = [
    "difference_table",
    "difference_table_html",
    "method_table",
    "method_table_html",
    "split_order",
]

_STYLE: Final = """<style>
.widget-html-content:has(> .latent-methods) { min-width: 0; }
.latent-methods { overflow-x: auto; }
.latent-methods table { border-collapse: collapse; font-variant-numeric: tabular-nums;
  font-size: 13px; color: var(--jp-ui-font-color1, inherit); }
.latent-methods th, .latent-methods td { padding: 3px 6px; text-align: right;
  border-bottom: 1px solid var(--jp-border-color2, #ddd); line-height: 1.25;
  vertical-align: top; }
.latent-methods td { white-space: nowrap; }
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
    splits = split_order(frame["split"])
    rows = []
    for method, records in frame.groupby("method", sort=False):
        row: dict[str, object] = {
            "method": method,
            "seeds": records["seed"].nunique(),
            "records": len(records),
        }
        for split in splits:
            part = records[records["split"] == split]
            if len(part):
                found = accuracy_interval(part, metric)
                row |= {split: found.mean, f"{split} low": found.low, f"{split} high": found.high}
        row |= _over_seeds(_gaps(records, splits, metric))
        for name, column in (("trainable", "trainable"), ("slots", slots), ("seconds", "seconds")):
            known = column in records.columns and records[column].notna().any()
            row[name] = float(records[column].mean()) if known else None
        rows.append(row)
    return pd.DataFrame(rows)


def difference_table(frame: pd.DataFrame, reference: str, metric: str = "graded") -> pd.DataFrame:
    """Every other method minus one, over the examples that both answered at the same seed.

    Args:
        frame: as for `method_table`, every record, with columns example and key.
        reference: the method that is subtracted.
        metric: `graded` or `exact`.

    Returns:
        columns as those of `method_table`, without costs: for each split the mean difference and
        its interval; `gap`, the difference of the two gaps, below zero where the method falls less
        than the reference, its interval over seeds. What cannot be paired is missing.

    Raises:
        SettingError: if the records do not say which example they are of.
    """
    if missing := {"example", "key"} - set(frame.columns):
        raise SettingError(
            f"the records have no column {', '.join(sorted(missing))}, so methods cannot be "
            "compared example by example"
        )
    splits = split_order(frame["split"])
    against = _gaps(frame[frame["method"] == reference], splits, metric)
    rows = []
    for method, records in frame.groupby("method", sort=False):
        if method == reference:
            continue
        seeds = pairs = 0
        cells: dict[str, float] = {}
        for split in splits:
            part = frame[(frame["split"] == split) & frame["method"].isin((method, reference))]
            try:
                found = paired_difference(part, str(method), reference, metric)
            except SettingError:  # one of them did not answer these
                continue
            cells |= {split: found.mean, f"{split} low": found.low, f"{split} high": found.high}
            seeds, pairs = max(seeds, found.seeds), pairs + found.records
        cells |= _over_seeds(_gaps(records, splits, metric) - against)
        rows.append({"method": method, "seeds": seeds, "records": pairs} | cells)
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["method", "seeds", "records"])


def _gaps(records: pd.DataFrame, splits: list[str], metric: str) -> pd.Series:
    """By seed: ID minus the mean of the OOD splits; nothing unless a seed has them all."""
    out_of_distribution = [split for split in splits if split.startswith("ood-")]
    means = records.groupby(["seed", "split"])[metric].mean().unstack()
    if not out_of_distribution or not {"id", *out_of_distribution} <= set(means.columns):
        return pd.Series(dtype=float)
    return (means["id"] - means[out_of_distribution].mean(axis=1, skipna=False)).dropna()


def _over_seeds(gaps: pd.Series) -> dict[str, float]:
    """A gap's cells: its mean, and the interval if there are seeds for one."""
    gaps = gaps.dropna()
    if gaps.empty:
        return {}
    cells = {"gap": float(gaps.mean())}
    if len(gaps) > 1:
        found = mean_interval(gaps, gaps.index.to_series(), bounds=(-1.0, 1.0))
        cells |= {"gap low": found.low, "gap high": found.high}
    return cells


def method_table_html(table: pd.DataFrame) -> str:
    """The table for a page, its names escaped. The best mean of a split is bold."""
    values = _values(table)
    best = {name: table[name].max() for name in values if name != "gap"}
    costs = {"trainable": ",.0f", "slots": ".1f", "seconds": ".2f"}
    rows = [
        [_accuracy(row, name, best.get(name)) for name in values]
        + [_number(row[name], form) for name, form in costs.items()]
        for _, row in table.iterrows()
    ]
    return _html(table, "methods", "method", [*values, *costs], rows)


def difference_table_html(table: pd.DataFrame, reference: str) -> str:
    """The differences for a page, their names escaped."""
    values = _values(table)
    rows = [[_accuracy(row, name, form="+.2f") for name in values] for _, row in table.iterrows()]
    return _html(table, f"minus {reference}", f"minus {reference}", values, rows)


def _values(table: pd.DataFrame) -> list[str]:
    """The columns of accuracies, and of the gap."""
    return [n for n in table.columns if f"{n} low" in table.columns or n in ("id", "gap")]


_TITLES: Final = {
    "id": "ID",
    "gap": "gap<br><small>ID - mean OOD</small>",
    "trainable": "trained<br><small>numbers</small>",
    "slots": "extra slots<br><small>per example</small>",
    "seconds": "seconds<br><small>per example</small>",
}


def _html(
    table: pd.DataFrame, label: str, first: str, heads: list[str], cells: list[list[str]]
) -> str:
    """Rows of cells, each behind its method's name and seeds."""
    rows = []
    for (_, row), inner in zip(table.iterrows(), cells, strict=True):
        seeds = f"{counted(row['seeds'], 'seed')}"
        name = f'<th scope="row">{escape(str(row["method"]))}<br><small>{seeds}</small></th>'
        rows.append(f"<tr>{name}{''.join(f'<td>{cell}</td>' for cell in inner)}</tr>")
    named = "".join(
        f'<th scope="col">{_TITLES.get(n, escape(n.replace("ood-", "OOD ")))}</th>' for n in heads
    )
    return (
        f'{_STYLE}<div class="latent-methods" tabindex="0" role="region" '
        f'aria-label="{escape(label)}">'
        f'<table><thead><tr><th scope="col">{escape(first)}</th>{named}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _accuracy(row: pd.Series, name: str, best: float | None = None, form: str = ".2f") -> str:
    mean = row[name]
    if pd.isna(mean):
        return "-"
    shown = _number(mean, form)
    text = shown if best is None or mean < best else f"<b>{shown}</b>"
    low, high = row.get(f"{name} low"), row.get(f"{name} high")
    if pd.isna(low):
        return text
    return f"{text}<br><small>[{_number(low, form)}, {_number(high, form)}]</small>"


def _number(value: Any, form: str) -> str:
    """The number, and a dash for none; what rounds to zero has no minus."""
    if pd.isna(value):
        return "-"
    places = int(form[form.index(".") + 1])
    return format(round(float(value), places) + 0.0, form)
