"""Copy the finished runs of grids into the package, so that it opens on real results at once.

    python experiments/ship.py runs/paper-tiny runs/paper-smollm2

They replace what shipped for the same backbone and task; the README's table says what ships then.
Logs of training stay behind: they are larger than all the rest.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from readme import write_section

import latent_core as lc
from latent_core.adapter import CONFIG_NAME, WEIGHTS_NAME
from latent_core.runs import RECORDS_FILE, RUN_FILE, SUMMARY_FILE, read_evaluation
from latent_core.shipped import SHIPPED
from latent_core.store import StoredRun, find_runs
from latent_core.tasks import load_task, resolve_splits

FILES = (CONFIG_NAME, WEIGHTS_NAME, RUN_FILE, RECORDS_FILE, SUMMARY_FILE)


def main() -> None:
    """Read the options and copy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of grids")
    options = parser.parse_args()
    found = [run for run in find_runs(options.runs) if _whole(run)]
    for place in {SHIPPED / run.about["backbone"] / run.about["task"] for run in found}:
        shutil.rmtree(place, ignore_errors=True)
    size = 0
    for run in found:
        names = ("backbone", "task", "method")
        folder = SHIPPED.joinpath(*(run.about[name] for name in names), f"seed-{run.about['seed']}")
        folder.mkdir(parents=True)
        for name in FILES:
            if (Path(run.path) / name).is_file():
                size += shutil.copyfile(Path(run.path) / name, folder / name).stat().st_size
    print(f"{len(found)} runs, {size / 1e6:.1f} MB: {SHIPPED}")
    write_section("shipped", contents())


def _whole(run: StoredRun) -> bool:
    """Whether a run is trained, and was asked every split."""
    asked = read_evaluation(run.path) if run.about["status"] == "finished" else None
    far = resolve_splits(load_task(run.about["task"]), "ood")
    return asked is not None and set(asked["splits"]) >= set(far)


def contents() -> str:
    """Markdown of what ships: a row per backbone and task."""
    runs = lc.load_runs(SHIPPED)
    rows = ["| backbone | task | methods | seeds | examples per split |", "|---" * 5 + "|"]
    for (backbone, task), here in runs.groupby(["backbone", "task"]):
        methods = ", ".join(f"`{method}`" for method in here["method"].unique())
        seeds = here[here["steps"].notna()].groupby("method")["seed"].nunique()
        shown = "-".join(map(str, sorted({seeds.min(), seeds.max()})))
        examples = here.groupby(["run", "split"])["examples"].sum()
        rows.append(f"| {backbone} | {task} | {methods} | {shown} | {examples.min()} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
