"""Pack the finished runs of grids into the package, so that it opens on real results at once.

    python experiments/ship.py runs/paper-tiny runs/paper-smollm2

They replace what shipped for the same backbone and task; the table in docs/runs.md says
what ships then. The runs of each backbone are one archive of three files.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from readme import write_section

import latent_core as lc
from latent_core.adapters.adapter import CONFIG_NAME, WEIGHTS_NAME
from latent_core.adapters.saved import BASELINE_FILE, TABLES_NAME
from latent_core.archives.writing import write_archive
from latent_core.backbones.known import BACKBONES
from latent_core.errors import SettingError
from latent_core.runs.evaluation_file import read_evaluation
from latent_core.runs.find import StoredRun, find_runs, run_folders
from latent_core.runs.own_files import LOG_FILE, RECORDS_FILE, RUN_FILE, SUMMARY_FILE
from latent_core.runs.shipped import SHIPPED
from latent_core.tasks.base import resolve_splits
from latent_core.tasks.table import TASKS, load_task
from latent_core.wording import counted

FILES = {
    *(CONFIG_NAME, WEIGHTS_NAME, TABLES_NAME, BASELINE_FILE),
    *(RUN_FILE, LOG_FILE, RECORDS_FILE, SUMMARY_FILE),
}


def main() -> None:
    """Read the options and pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of grids")
    print(ship(parser.parse_args().runs))
    write_section("shipped", contents())


def ship(folders: Sequence[Path]) -> str:
    """Pack the finished runs below some folders; what shipped stays until all is packed.

    Returns:
        how many runs there are, and their size; and which were left out, for they are not whole.

    Raises:
        SettingError: if two runs have the same place, or one is of a task or a backbone that does
            not ship.
    """
    whole, left = [], []
    for run in find_runs(folders):
        (whole if _whole(run) else left).append(run)
    found = _places(whole)
    replaced = {place.parts[:2] for place in found}
    size = 0
    with tempfile.TemporaryDirectory(dir=SHIPPED.parent, prefix=".shipping-") as staging:
        backbones = sorted({backbone for backbone, _ in replaced})
        for backbone in backbones:
            packed = {
                place.relative_to(backbone).as_posix(): run.path
                for place, run in found.items()
                if place.parts[0] == backbone
            }
            kept = {
                Path(path).relative_to(SHIPPED / backbone).as_posix(): path
                for path, _ in run_folders(str(SHIPPED / backbone))
                if (backbone, Path(path).relative_to(SHIPPED).parts[1]) not in replaced
            }
            archive = write_archive(Path(staging) / backbone, kept | packed, FILES.__contains__)
            size += sum(path.stat().st_size for path in archive.iterdir())
        for backbone in backbones:
            if (SHIPPED / backbone).exists():
                (SHIPPED / backbone).replace(Path(staging) / f"{backbone}-before")
            (Path(staging) / backbone).replace(SHIPPED / backbone)
    left_out = [f"left out, not finished or not asked every split: {run.path}" for run in left]
    archives = f"{counted(len(backbones), 'archive')} of {size / 1e6:.1f} MB"
    return "\n".join([*left_out, f"{counted(len(found), 'run')} in {archives}: {SHIPPED}"])


def _places(runs: Iterable[StoredRun]) -> dict[Path, StoredRun]:
    """Where each run goes, below `SHIPPED`."""
    found: dict[Path, StoredRun] = {}
    for run in runs:
        names = (run.about[name] for name in ("backbone", "task", "method"))
        place = Path(*names, f"seed-{run.about['seed']}")
        if (other := found.setdefault(place, run)) is not run:
            raise SettingError(
                f"{other.path} and {run.path} would both ship as {place} "
                f"({_difference(other, run)}); move one of them out of the folders given"
            )
    return found


def _difference(one: StoredRun, other: StoredRun) -> str:
    """In what two runs differ, in words."""
    names = sorted({*one.about, *other.about} - {"run", "path", "id", "search", "train_seconds"})
    pairs = ((name, one.about.get(name), other.about.get(name)) for name in names)
    differing = [f"{name} {mine!r} and {its!r}" for name, mine, its in pairs if mine != its]
    return "; ".join(differing) or "their settings are the same"


def _whole(run: StoredRun) -> bool:
    """Whether a run is trained, and was asked every split."""
    if run.about["status"] != "finished":
        return False
    # A task that is a file may have the name of one of the package's.
    task, backbone = run.about.get("task_source", run.about["task"]), run.about["backbone"]
    for what, name, known in (("task", task, TASKS), ("backbone", backbone, BACKBONES)):
        if name not in known:
            raise SettingError(
                f"{run.path} is of the {what} {name!r}, which nobody else has; expected one of "
                f"{', '.join(known)}. Move it out of the folders given"
            )
    asked = read_evaluation(run.path)
    splits = resolve_splits(load_task(task), ["id", "ood"])
    return asked is not None and set(asked["splits"]) >= set(splits)


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
