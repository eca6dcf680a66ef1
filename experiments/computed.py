"""Lines and tables of the results page, from records; computed latents against learned ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

import latent_core as lc
from latent_core.slots.methods import Method

#: Runs of LoRA without latents, by their folder in the archive of the repository's own runs.
RUNS = Path(__file__).parent / "runs"
ALONE = {"hops-written": "lora-r8 with written steps", "hops-answers": "lora-r8 on answers alone"}


def computed_against_learned(rows: pd.DataFrame, metric: str) -> str:
    """Computed latents against learned ones at the same places, and against what has no latents."""
    methods = [str(method) for method in dict.fromkeys(rows["method"])]
    computed = [method for method in methods if Method.parse(method).layout.computed]
    if not computed:
        return ""
    alone = _alone(rows)
    parts = [_table(alone, metric)] if len(alone) else []
    rows = pd.concat([rows, alone], ignore_index=True)
    lines = []
    for method in computed:
        parsed = Method.parse(method)
        without = "zero-shot" if parsed.companion is None else parsed.companion.name
        for control in (lc.matched(parsed, against="learned").name, without, *ALONE.values()):
            if control in set(rows["method"]):
                found = differences(rows, method, control, metric)
                lines.append(f"- `{method}` minus `{control}`: {found}")
    parts.append(
        "Computed latents, minus learned ones at the same places and minus what trains without "
        "latents; on the same examples, with 95 % intervals that are not adjusted:\n\n"
        + "\n".join(lines)
        + "\n"
    )
    return "\n".join(parts)


def _alone(rows: pd.DataFrame) -> pd.DataFrame:
    """Records of LoRA without latents on the same backbone and task, under names of their own."""
    where = {name: rows[name].iloc[0] for name in ("backbone", "task")}
    records = lc.load_runs(RUNS, {"status": "finished"} | where, records=True)
    if records.empty:
        return rows[:0]
    folders = records["run"].str.partition("/")[0]
    return records.assign(method=folders.map(ALONE))[folders.isin(list(ALONE))]


def _table(rows: pd.DataFrame, metric: str) -> str:
    """Means and intervals of what has no latents."""
    splits = ordered(rows["split"].unique())
    lines = [
        f"| without latents | {' | '.join(splits)} | seeds |",
        "|---" * (len(splits) + 2) + "|",
    ]
    summary = lc.summarise(rows, ("method", "split"), metric)
    for method, cells in summary.groupby("method", sort=False):
        by_split = cells.set_index("split")
        shown = [
            f"{c['mean']:.2f} [{c['low']:.2f}, {c['high']:.2f}]"
            for c in (by_split.loc[split] for split in splits)
        ]
        seeds = rows.loc[rows["method"] == method, "seed"].nunique()
        lines.append(f"| {method} | {' | '.join(shown)} | {seeds} |")
    return "\n".join(lines) + "\n"


def differences(rows: pd.DataFrame, method: str, other: str, metric: str) -> str:
    """A paired difference for each split, as text."""
    shown = []
    for split in ordered(rows["split"].unique()):
        here = rows[rows["split"] == split]
        found = lc.paired_difference(here, method, other, metric)
        shown.append(f"{split} {found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]")
    return "; ".join(shown)


def ordered(splits: Any) -> list[str]:
    """In distribution first, then by level."""
    return sorted(map(str, splits), key=lambda s: (int(s[4:]) if s.startswith("ood-") else -1, s))


def means_table(rows: pd.DataFrame, metric: str) -> str:
    """A row per method, means alone."""
    means = rows.groupby(["method", "split"], sort=False)[metric].mean().unstack()
    splits = ordered(means.columns)
    lines = [f"| method | {' | '.join(splits)} |", "|---" * (len(splits) + 1) + "|"]
    for method, row in means[splits].iterrows():
        shown = ("-" if pd.isna(mean) else f"{mean:.2f}" for mean in row)
        lines.append(f"| `{method}` | {' | '.join(shown)} |")
    return "\n".join(lines)


def for_every_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Records of a method without training stand for every seed: nothing in them would change."""
    seeds = sorted(rows.loc[rows["trainable"] > 0, "seed"].unique()) or [0]
    fixed = rows[rows["trainable"] == 0]
    copies = [fixed.assign(seed=seed) for seed in seeds] if len(fixed) else []
    order = list(dict.fromkeys(rows["method"]))
    whole = pd.concat([*copies, rows[rows["trainable"] > 0]], ignore_index=True)
    return whole.sort_values("method", key=lambda c: c.map(order.index), kind="stable")
