"""Confirm claims about gains on seeds that did not exist when the claims were written down.

    python experiments/confirm_gains.py register      before the runs: the claims and their hashes
    latent grid experiments/lookup-new-seeds.yaml --out runs/confirm/lookup-new-seeds
    python experiments/confirm_gains.py               write docs/confirmed-gains.md

`experiments/gains.yaml` holds the claims, in families, and the analysis. The archive
`experiments/runs` holds the runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import latent_core as lc
from experiments.readme import ROOT, accuracy_table, draw_intervals
from experiments.registry import register, registered_at
from latent_core.statistics.inference import Effect, holm
from latent_core.yaml_file import read_yaml

FILE: Final = Path(__file__).parent / "gains.yaml"
ARCHIVE: Final = Path(__file__).parent / "runs"
PAGE: Final = ROOT / "docs" / "confirmed-gains.md"
PICTURE: Final = PAGE.with_name("gains-on-new-seeds.svg")
CURVES: Final = PAGE.with_name("lookup-by-length.svg")
#: The methods of its curves, with their colours.
SHOWN: Final = {
    "Start_1+Comma_1": "#c2410c",
    "Start_2": "#2563eb",
    "prefix-9; init=task": "#15803d",
}
#: The grids of its curves, with what they say and how they are drawn.
TRAINED: Final = {
    "converged-smollm2": ("360 steps", "-"),
    "-new-seeds": ("120 steps", ":"),
}
LEVEL: Final = 0.05


@dataclass(frozen=True)
class Gain:
    """A claim of `gains.yaml`: `method` scores higher than `baseline` on `split`.

    Attributes:
        method, baseline, split: as they stand there.
        grid: all settings of the runs that test it; a list where there are several grids.
        family: number of claims beside each other, which Holm's rule corrects for.
        task: where the grid has several.
    """

    method: str
    baseline: str
    split: str
    grid: Any
    family: int
    task: str | None = None

    @property
    def place(self) -> str:
        """Its split, and its task where it names one."""
        return f"{self.split} of {self.task}" if self.task else self.split

    @property
    def first_grid(self) -> dict[str, Any]:
        """The settings of its runs, or of the first of its grids."""
        return self.grid[0] if isinstance(self.grid, list) else self.grid

    @property
    def stated(self) -> dict[str, Any]:
        """Everything that the claim states."""
        said = f"{self.method} scores higher than {self.baseline} on {self.place}"
        stated = {"claim": said} | asdict(self)
        return {name: value for name, value in stated.items() if value is not None}

    def rows(self, records: pd.DataFrame) -> pd.DataFrame:
        """The records that it is about."""
        rows = records[records["split"] == self.split]
        return rows[rows["task"] == self.task] if self.task else rows

    def effect(self, records: pd.DataFrame) -> Effect | None:
        """The difference, with its interval; None as long as a seed of a method is missing."""
        rows, names = self.rows(records), [self.method, self.baseline]
        for name in names:
            if set(rows.loc[rows["method"] == name, "seed"]) != set(self.first_grid["seeds"]):
                return None
        scores = rows.pivot(index=["seed", "example"], columns="method", values="graded")
        both = scores[names].dropna().reset_index()
        change = both[self.method] - both[self.baseline]
        return lc.paired_effect(change, both["seed"], both["example"], exact=False)


@dataclass(frozen=True)
class Family:
    """Claims that Holm's rule corrects for together, and the names and seeds of their grids."""

    gains: tuple[Gain, ...]
    grids: dict[str, tuple[int, ...]]

    def records(self, records: pd.DataFrame) -> pd.DataFrame:
        """Those of its grids and seeds."""
        grid = records["run"].str.extract(r"([^/]+)/[^/]+/[^/]+/[^/]+/[^/]+$")[0]
        mine = [(grid == name) & records["seed"].isin(seeds) for name, seeds in self.grids.items()]
        return records[np.logical_or.reduce(mine)]

    @property
    def trained(self) -> str:
        """What was trained, and for how many steps."""
        grid = self.gains[0].first_grid
        return f"{grid['backbones'][0]}, {grid['training']['steps']} steps"

    def complete(self, records: pd.DataFrame) -> pd.DataFrame:
        """As `records`, of the methods that have every seed."""
        rows = self.records(records)
        seeds = rows.groupby(["task", "method"])["seed"].transform("nunique")
        return rows[seeds == len(self.gains[0].first_grid["seeds"])]

    def tested(self, records: pd.DataFrame) -> list[tuple[Gain, Effect | None, float]]:
        """Its claims with their effects, None before a test, and p-values after Holm."""
        rows = self.records(records)
        effects = [gain.effect(rows) for gain in self.gains]
        adjusted = holm([1.0 if effect is None else effect.p for effect in effects])
        return list(zip(self.gains, effects, adjusted, strict=True))


def read_families(path: Path = FILE) -> list[Family]:
    """The families of a file."""
    families = []
    for entry in read_yaml(path):
        new = {"seeds": entry["seeds"]} if "seeds" in entry else {}
        grids = {Path(name).stem: read_yaml(path.parent / name) | new for name in entry["grids"]}
        stated = list(grids.values()) if len(grids) > 1 else next(iter(grids.values()))
        gains = [Gain(**gain, grid=stated, family=len(entry["claims"])) for gain in entry["claims"]]
        seeds = {name: tuple(grid["seeds"]) for name, grid in grids.items()}
        families.append(Family(tuple(gains), seeds))
    return families


def table(family: Family, records: pd.DataFrame) -> list[str]:
    """A table of the claims of one family, which Holm's rule corrects for."""
    records, grid = family.records(records), family.gains[0].first_grid
    files = " and ".join(f"[{name}.yaml](../experiments/{name}.yaml)" for name in family.grids)
    seeds = f"seeds {min(grid['seeds'])}-{max(grid['seeds'])}"
    lines = [
        "",
        f"{family.trained}, {seeds} of {files}:",
        "",
        "| method | baseline | split | registered | scores | difference | p (Holm) | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for gain, effect, p in family.tested(records):
        time = registered_at(gain.stated)
        row = (
            f"| `{gain.method}` | `{gain.baseline}` | {gain.place} | {time[:16].replace('T', ' ')} "
        )
        if effect is None:
            lines.append(f"{row}| | | | not tested yet |")
            continue
        means = gain.rows(records).groupby("method")["graded"].mean()
        outcome = "**confirmed**" if effect.mean > 0 and p < LEVEL else "not confirmed"
        lines.append(
            f"{row}| {means[gain.method]:.2f} / {means[gain.baseline]:.2f} "
            f"| {effect.mean:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}] | {p:.3f} | {outcome} |"
        )
    return lines


def picture(families: Sequence[Family], records: pd.DataFrame) -> Figure:
    """The difference that each tested claim is about, with its interval; orange: confirmed."""
    rows = []
    for family in families:
        for gain, effect, p in family.tested(records):
            if effect is None:
                continue
            colour = "#c2410c" if effect.mean > 0 and p < LEVEL else "#777777"
            steps = gain.first_grid["training"]["steps"]
            name = f"{gain.method} - {gain.baseline}, {gain.place}, {steps} steps"
            rows.append((name, effect, colour, f"p {p:.3f}"))
    figure = Figure(figsize=(8.4, 0.3 * len(rows) + 1.0), layout="constrained")
    axes = figure.add_subplot()
    draw_intervals(axes, rows)
    axes.axvline(0, color="#999999", lw=0.8, zorder=0)
    axes.set_xlabel("difference of scores (orange: confirmed)")
    return figure


def curves(records: pd.DataFrame) -> Figure:
    """Scores of lookup by length: methods, each after few and after many steps."""
    records = records[(records["task"] == "lookup") & records["method"].isin(SHOWN)]
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for grid, (said, style) in TRAINED.items():
        rows = records[records["run"].str.contains(f"{grid}/", regex=False)]
        for method, of_method in rows.groupby("method"):
            means = of_method.groupby("split")[["level", "graded"]].mean().sort_values("level")
            name, colour = f"{method}, {said}", SHOWN[method]
            axes.plot("level", "graded", style, data=means, marker="o", label=name, color=colour)
    axes.set_xscale("log")
    ticks = [6, 12, 20, 30, 50, 100, 200, 400]
    axes.set_xticks(ticks, list(map(str, ticks)), minor=False)
    axes.minorticks_off()
    axes.set(xlabel="variables in the list (training: 3-8)", ylabel="graded accuracy", ylim=(0, 1))
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def page(families: Sequence[Family], records: pd.DataFrame) -> str:
    """The page of all claims."""
    lines = [
        "# Gains that were claimed first",
        "",
        "Each claim, with its analysis and the settings of its runs, stood in "
        "[gains.yaml](../experiments/gains.yaml) "
        "and in [registered.jsonl](../experiments/records/registered.jsonl) before these runs "
        "existed. `python experiments/confirm_gains.py` wrote this page from the runs in the "
        "archive `experiments/runs`. Each table is corrected for its number of claims.",
        "",
        f"![Differences of scores, with their intervals]({PICTURE.name})",
        *(line for family in families for line in table(family, records)),
        "",
        f"![lookup by length, after 120 and 360 steps]({CURVES.name})",
        "",
        "## All scores of these runs",
    ]
    tables: dict[str, list[pd.DataFrame]] = {}
    for family in families:
        title = f"### {family.trained}"
        tables.setdefault(title, []).append(family.complete(records))
    for title, parts in tables.items():
        every = pd.concat(parts).drop_duplicates(["run", "split", "example"])
        lines += ["", title, "", accuracy_table(every)] if len(every) else []
    return "\n".join(lines) + "\n"


def runs_of(family: Family) -> list[Path]:
    """Its runs that exist, in the folder runs and in the archive."""
    folders = {path.parent for path in (ROOT / "runs").glob("**/run.json")}
    names = pd.Series([*map(str, folders), *lc.load_runs(ARCHIVE)["run"].unique()], dtype=str)
    found = family.records(
        pd.DataFrame({"run": names, "seed": names.str.extract(r"seed-(\d+)")[0].astype(float)})
    )
    return list(map(Path, found["run"]))


def main() -> None:
    """Register, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", nargs="?", choices=["register", "page"], default="page")
    parser.add_argument("--runs", type=Path, default=ARCHIVE, help="default: the archive")
    options = parser.parse_args()
    families = read_families()
    if options.step == "register":
        for family in families:
            existing = runs_of(family)
            for gain in family.gains:
                register(gain.stated, existing)
        return
    records = lc.load_runs(options.runs, records=True)
    PAGE.write_text(page(families, records))
    for path, figure in ((PICTURE, picture(families, records)), (CURVES, curves(records))):
        with matplotlib.rc_context({"svg.hashsalt": path.name}):  # the same records, the same file
            figure.savefig(path, metadata={"Date": None})
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
