"""Confirm claims about gains on seeds that did not exist when the claims were written down.

    python experiments/confirm_gains.py register      before the runs: the claims and their hashes
    latent grid experiments/lookup-new-seeds.yaml --out runs/confirm/lookup-new-seeds
    python experiments/confirm_gains.py               write docs/confirmed-gains.md

`experiments/gains.yaml` holds the claims and the analysis. The runs are in the archive
experiments/runs, below `confirm/lookup-new-seeds`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

import latent_core as lc
from experiments.readme import ROOT, accuracy_table
from experiments.registry import register, registered_at
from latent_core.statistics.inference import Effect, holm
from latent_core.yaml_file import read_yaml

CLAIMS: Final = Path(__file__).parent / "gains.yaml"
ARCHIVE: Final = Path(__file__).parent / "runs"
PAGE: Final = ROOT / "docs" / "confirmed-gains.md"
LEVEL: Final = 0.05


@dataclass(frozen=True)
class Gain:
    """A claim of `gains.yaml`: `method` scores higher than `baseline` on `split`.

    Attributes:
        method, baseline, split: as they stand there.
        grid: all settings of the runs that test it.
        family: number of claims in the file, which Holm's rule corrects for.
    """

    method: str
    baseline: str
    split: str
    grid: dict[str, Any]
    family: int

    @property
    def stated(self) -> dict[str, Any]:
        """Everything that the claim states."""
        said = f"{self.method} scores higher than {self.baseline} on {self.split}"
        return {"claim": said} | asdict(self)

    def effect(self, records: pd.DataFrame) -> Effect:
        """The difference, with its interval."""
        rows = records[records["split"] == self.split]
        scores = rows.pivot(index=["seed", "example"], columns="method", values="graded")
        both = scores[[self.method, self.baseline]].dropna().reset_index()
        change = both[self.method] - both[self.baseline]
        return lc.paired_effect(change, both["seed"], both["example"], exact=False)


def read_gains(path: Path = CLAIMS) -> list[Gain]:
    """The claims of a file."""
    content = read_yaml(path)
    grid, claims = read_yaml(path.parent / content["grid"]), content["claims"]
    return [Gain(**claim, grid=grid, family=len(claims)) for claim in claims]


def page(gains: Sequence[Gain], records: pd.DataFrame) -> str:
    """The page of all claims of one file."""
    times = [registered_at(gain.stated) for gain in gains]
    effects = [gain.effect(records) for gain in gains]
    lines = [
        "# Gains that were claimed first",
        "",
        "Each claim, with its analysis and the settings of its runs, stood in "
        "[gains.yaml](../experiments/gains.yaml) and in "
        "[registered.jsonl](../experiments/records/registered.jsonl) before these runs existed. "
        "`python experiments/confirm_gains.py` wrote this page from the runs in the archive "
        "`experiments/runs`.",
        "",
        "| method | baseline | split | registered | scores | difference | p (Holm) | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    adjusted = holm([effect.p for effect in effects])
    for gain, time, effect, p in zip(gains, times, effects, adjusted, strict=True):
        means = records[records["split"] == gain.split].groupby("method")["graded"].mean()
        confirmed = effect.mean > 0 and p < LEVEL
        lines.append(
            f"| `{gain.method}` | `{gain.baseline}` | {gain.split} "
            f"| {time[:16].replace('T', ' ')} "
            f"| {means[gain.method]:.2f} / {means[gain.baseline]:.2f} "
            f"| {effect.mean:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}] | {p:.3f} "
            f"| {'**confirmed**' if confirmed else 'not confirmed'} |"
        )
    return "\n".join([*lines, "", "## All scores of these runs", "", accuracy_table(records)])


def main() -> None:
    """Register, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", nargs="?", choices=["register", "page"], default="page")
    parser.add_argument("--runs", type=Path, default=ARCHIVE, help="default: the archive")
    options = parser.parse_args()
    gains, grid = read_gains(), Path(read_yaml(CLAIMS)["grid"])
    if options.step == "register":
        for gain in gains:
            register(gain.stated, [ROOT / "runs" / "confirm" / grid.stem])
        return
    records = lc.load_runs(options.runs, records=True)
    records = records[records["run"].str.contains(f"confirm/{grid.stem}/", regex=False)]
    PAGE.write_text(page(gains, records))
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
