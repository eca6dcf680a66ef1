"""Confirm claims about gains on seeds that did not exist when the claims were written down.

    python experiments/confirm_gains.py register      before the runs: the claims and their hashes
    latent grid experiments/lookup-new-seeds.yaml --out runs/confirm/lookup-new-seeds
    python experiments/confirm_gains.py               write docs/confirmed-gains.md

`experiments/gains.yaml` and `gains-prefix.yaml` hold the claims and the analysis. The runs are in
the archive experiments/runs, each grid below `confirm`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

import latent_core as lc
from experiments.readme import ROOT, accuracy_table, draw_intervals
from experiments.registry import register, registered_at
from latent_core.statistics.inference import Effect, holm
from latent_core.yaml_file import read_yaml

FILES: Final = [Path(__file__).parent / name for name in ("gains.yaml", "gains-prefix.yaml")]
ARCHIVE: Final = Path(__file__).parent / "runs"
PAGE: Final = ROOT / "docs" / "confirmed-gains.md"
PICTURE: Final = PAGE.with_name("gains-on-new-seeds.svg")
LEVEL: Final = 0.05


@dataclass(frozen=True)
class Gain:
    """A claim of a file: `method` scores higher than `baseline` on `split`.

    Attributes:
        method, baseline, split: as they stand there.
        grid: all settings of the runs that test it; a list where there are several grids.
        family: number of claims in the file, which Holm's rule corrects for.
    """

    method: str
    baseline: str
    split: str
    grid: Any
    family: int

    @property
    def stated(self) -> dict[str, Any]:
        """Everything that the claim states."""
        said = f"{self.method} scores higher than {self.baseline} on {self.split}"
        return {"claim": said} | asdict(self)

    def effect(self, records: pd.DataFrame) -> Effect | None:
        """The difference, with its interval; None as long as a seed of a method is missing."""
        rows = records[records["split"] == self.split]
        names = [self.method, self.baseline]
        (first, *_) = self.grid if isinstance(self.grid, list) else [self.grid]
        for name in names:
            if set(rows.loc[rows["method"] == name, "seed"]) != set(first["seeds"]):
                return None
        scores = rows.pivot(index=["seed", "example"], columns="method", values="graded")
        both = scores[names].dropna().reset_index()
        change = both[self.method] - both[self.baseline]
        return lc.paired_effect(change, both["seed"], both["example"], exact=False)


def grids_of(path: Path) -> list[Path]:
    """The grids that test the claims of a file."""
    return [path.parent / name for name in read_yaml(path)["grids"]]


def read_gains(path: Path) -> list[Gain]:
    """The claims of a file."""
    claims, grids = read_yaml(path)["claims"], [read_yaml(grid) for grid in grids_of(path)]
    stated = grids if len(grids) > 1 else grids[0]
    return [Gain(**claim, grid=stated, family=len(claims)) for claim in claims]


def tested(gains: Sequence[Gain], records: pd.DataFrame) -> list[tuple[Gain, Effect | None, float]]:
    """The claims of one file with their effects, None before a test, and p-values after Holm."""
    effects = [gain.effect(records) for gain in gains]
    adjusted = holm([1.0 if effect is None else effect.p for effect in effects])
    return list(zip(gains, effects, adjusted, strict=True))


def table(gains: Sequence[Gain], records: pd.DataFrame) -> list[str]:
    """A table of the claims of one file, which Holm's rule corrects for."""
    lines = [
        "",
        "| method | baseline | split | registered | scores | difference | p (Holm) | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for gain, effect, p in tested(gains, records):
        time = registered_at(gain.stated)
        row = (
            f"| `{gain.method}` | `{gain.baseline}` | {gain.split} | {time[:16].replace('T', ' ')} "
        )
        if effect is None:
            lines.append(f"{row}| | | | not tested yet |")
            continue
        means = records[records["split"] == gain.split].groupby("method")["graded"].mean()
        outcome = "**confirmed**" if effect.mean > 0 and p < LEVEL else "not confirmed"
        lines.append(
            f"{row}| {means[gain.method]:.2f} / {means[gain.baseline]:.2f} "
            f"| {effect.mean:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}] | {p:.3f} | {outcome} |"
        )
    return lines


def picture(families: Sequence[Sequence[Gain]], records: pd.DataFrame) -> Figure:
    """The difference that each tested claim is about, with its interval; orange: confirmed."""
    rows = []
    for gain, effect, p in (one for gains in families for one in tested(gains, records)):
        if effect is not None:
            colour = "#c2410c" if effect.mean > 0 and p < LEVEL else "#777777"
            name = f"{gain.method} - {gain.baseline}, {gain.split}"
            rows.append((name, effect, colour, f"p {p:.3f}"))
    figure = Figure(figsize=(7.2, 0.36 * len(rows) + 1.0), layout="constrained")
    axes = figure.add_subplot()
    draw_intervals(axes, rows)
    axes.axvline(0, color="#999999", lw=0.8, zorder=0)
    axes.set_xlabel("difference of scores on new seeds (orange: confirmed)")
    return figure


def page(families: Sequence[Sequence[Gain]], records: pd.DataFrame) -> str:
    """The page of all claims."""
    lines = [
        "# Gains that were claimed first",
        "",
        "Each claim, with its analysis and the settings of its runs, stood in a file "
        "([gains.yaml](../experiments/gains.yaml), "
        "[gains-prefix.yaml](../experiments/gains-prefix.yaml)) "
        "and in [registered.jsonl](../experiments/records/registered.jsonl) before these runs "
        "existed. `python experiments/confirm_gains.py` wrote this page from the runs in the "
        "archive `experiments/runs`. Each table is corrected for its number of claims.",
        "",
        f"![Differences of scores, with their intervals]({PICTURE.name})",
        *(line for gains in families for line in table(gains, records)),
    ]
    if all(gain.effect(records) for gain in families[0]):
        lines += ["", "## All scores of these runs", "", accuracy_table(records)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Register, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", nargs="?", choices=["register", "page"], default="page")
    parser.add_argument("--runs", type=Path, default=ARCHIVE, help="default: the archive")
    options = parser.parse_args()
    if options.step == "register":
        for path in FILES:
            runs = [ROOT / "runs" / "confirm" / grid.stem for grid in grids_of(path)]
            for gain in read_gains(path):
                register(gain.stated, runs)
        return
    records = lc.load_runs(options.runs, records=True)
    stems = {grid.stem for path in FILES for grid in grids_of(path)}
    records = records[records["run"].str.extract(r"confirm/([^/]+)/")[0].isin(stems)]
    families = [read_gains(path) for path in FILES]
    PAGE.write_text(page(families, records))
    with matplotlib.rc_context({"svg.hashsalt": PICTURE.name}):  # the same records, the same file
        picture(families, records).savefig(PICTURE, metadata={"Date": None})
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
