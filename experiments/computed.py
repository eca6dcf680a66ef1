"""Computed latents against learned ones, from records: lines of the results page."""

from __future__ import annotations

from typing import Any

import pandas as pd

import latent_core as lc
from latent_core.slots.methods import Method


def computed_against_learned(rows: pd.DataFrame, metric: str) -> str:
    """Computed latents against learned ones at the same places, and against what has no latents."""
    methods = list(dict.fromkeys(rows["method"]))
    lines = []
    for method in methods:
        parsed = Method.parse(str(method))
        if not parsed.layout.computed:
            continue
        alone = "zero-shot" if parsed.companion is None else parsed.companion.name
        for control in (lc.matched(parsed, against="learned").name, alone):
            if control in methods:
                lines.append(
                    f"- `{method}` minus `{control}`: {differences(rows, method, control, metric)}"
                )
    if not lines:
        return ""
    return (
        "Computed latents, minus learned ones at the same places and minus what trains without "
        "latents; on the same examples, with 95 % intervals that are not adjusted:\n\n"
        + "\n".join(lines)
        + "\n"
    )


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
