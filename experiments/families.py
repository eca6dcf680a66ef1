"""The table of families in docs/backbones.md: each a tiny random model, held to every invariant.

    python -m experiments.families

Runs `latent_core.check_backbone` on the families of `tests/families.py`, keeps what it found in
`experiments/records/families.parquet`, and writes the table. A minute or two on one core.
"""

from __future__ import annotations

import argparse
import sys

import pandas as pd

from experiments.readme import ROOT, write_section

RECORDS = ROOT / "experiments" / "records" / "families.parquet"
PLACES = ("Start_2", "End_2", "Comma_2", "3_2", "Start_2+Comma_1+4_1+End_1@verbal")
PROMPTS = ("ab,cd=", "12,3", "a,b,c,dddddd,e", "x")
NEW_TOKENS = 12

# Columns of the table: which invariants each sums up.
COLUMNS = {
    "own `generate`": ("zero latents = own generate", "detached = backbone"),
    "cache = one pass": ("decoding = one pass", "slots fed = slots trained"),
    "dynamic cache": ("dynamic cache = one pass",),
    "static cache": ("static cache = one pass",),
    "batch = row alone": (
        "ragged batch = row alone",
        "padded training row = row alone",
        "row beside a far one = row alone",
    ),
    "masks agree": ("masks: none = 2-D = 4-D",),
    "eager = SDPA": ("eager = SDPA",),
    "bf16": ("bf16 = fp32 but for rounding",),
    "checkpointing": ("checkpointing on = off",),
    "backbone untouched": ("training leaves the backbone",),
    "save and load": ("saved and loaded = same bits",),
}


def measured() -> pd.DataFrame:
    """Findings of every family and layout, one row each."""
    from latent_core import check_backbone
    from tests.families import FAMILIES, tiny_backbone

    frames = []
    for family in FAMILIES:
        backbone = tiny_backbone(family)
        frame = check_backbone(backbone, PLACES, PROMPTS, NEW_TOKENS)
        print(family, "holds" if frame["holds"].fillna(True).all() else "FAILS", file=sys.stderr)
        frames.append(frame.assign(family=family, window=backbone.has_sliding_window))
    return pd.concat(frames, ignore_index=True)


def table(frame: pd.DataFrame) -> str:
    """Markdown: a row per family, a column per group of invariants."""
    missing = set(frame["invariant"]) - {name for names in COLUMNS.values() for name in names}
    assert not missing, f"no column for {missing}"
    lines = ["| family | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for family, rows in frame.groupby("family", sort=False):
        cells = [_cell(rows[rows["invariant"].isin(names)]) for names in COLUMNS.values()]
        mark = "\\*" if rows["window"].any() else ""
        lines.append(f"| {family}{mark} | " + " | ".join(cells) + " |")
    exact = frame[~frame["invariant"].str.startswith("bf16") & frame["holds"].fillna(False)]
    apart = exact["difference"].max()
    bf16 = frame.loc[frame["invariant"].str.startswith("bf16"), "difference"].max()
    layouts = ", ".join(f"`{layout}`" for layout in dict.fromkeys(frame["layout"]))
    return "\n".join(lines) + (
        f"\n\nEvery check was run with the layouts {layouts}. The largest difference of logits, "
        f"relative to the largest logit, is {apart:.0e}. In bf16 it is {bf16:.2f} of the norm; "
        "these random weights are much larger than trained ones. \\* marks a family with "
        "sliding-window layers; the test prompts are longer than the window. - means that the "
        "check cannot be made on a loaded model of this family, or has nothing to compare.\n"
    )


def _cell(rows: pd.DataFrame) -> str:
    if rows["holds"].isna().all():
        return "-"
    return "yes" if rows["holds"].fillna(True).all() else "**no**"


def main() -> None:
    """Measure unless told not to, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kept", action="store_true", help="use the records that are there")
    if parser.parse_args().kept:
        frame = pd.read_parquet(RECORDS)
    else:
        frame = measured()
        frame.to_parquet(RECORDS, index=False)
    write_section("families", table(frame))


if __name__ == "__main__":
    main()
