"""The runs of a comparison: folders of runs, files of records, and evaluations made in the panel.

An overview reads summaries only. Records are read for one task and backbone at a time, unless there
are too many.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

import pandas as pd

from latent_core.archives.folders import is_folder, on_disk
from latent_core.errors import SettingError
from latent_core.runs.store import load_runs
from latent_core.statistics.task_names import FINGERPRINT, tell_tasks_apart
from latent_core.tasks.base import Task
from workbench.panels.code import path_code

__all__ = ["MOST_RECORDS", "NOT_RECORDED", "RunCollection"]

#: Records that are read for one picture; above, means of runs stand in for their records.
MOST_RECORDS: Final = 200_000
#: The backbone of records that do not name theirs.
NOT_RECORDED: Final = "not recorded"

_KEY: Final = ["task", "backbone", "method"]
_COSTS: Final = ("latent_slots", "extra_slots")
#: Runs whose examples are shown where not all records were read.
_FEW_RUNS: Final = 20


class RunCollection:
    """Runs of any number of sources, read one task and backbone at a time.

    Attributes:
        sources: folders of runs, and .parquet files of records.
        left_out: those of them that are not used.
    """

    def __init__(self) -> None:
        self.sources: list[Path] = []
        self.left_out: set[Path] = set()
        self._evaluated: dict[str, tuple[pd.DataFrame, str]] = {}
        self._summary: pd.DataFrame | None = None
        self._records: dict[tuple[str, str], tuple[pd.DataFrame, bool]] = {}

    def add(self, source: str | Path) -> None:
        """Add a folder of runs, or a file of records.

        Raises:
            SettingError: if it does not exist, or is a file of another kind.
        """
        path = Path(on_disk(source)).expanduser()
        if not path.is_file() and not is_folder(path):
            raise SettingError(
                f"no {path} in {Path.cwd()}; expected a folder of runs or a .parquet file"
            )
        if path.is_file() and path.suffix != ".parquet":
            raise SettingError(f"{path} is not a folder of runs and not a .parquet file of records")
        if path.resolve() not in [known.resolve() for known in self.sources]:
            self.sources.append(path)
            self.forget()

    def use(self, source: Path, used: bool) -> None:
        """Use one of the sources, or leave it out."""
        (self.left_out.discard if used else self.left_out.add)(source)
        self.forget()

    @property
    def _used(self) -> list[Path]:
        return [source for source in self.sources if source not in self.left_out]

    def keep(self, name: str, records: pd.DataFrame, code: str) -> None:
        """Add records that the panel made, in place of earlier ones of this name.

        Args:
            name: their method.
            records: of `evaluate`.
            code: an expression that makes them, with `task` and `answers` defined.
        """
        frame = records.assign(method=name, seed=0, run=name, path=None)
        self._evaluated[name] = (frame, code)
        self.forget()

    def forget(self) -> None:
        """Read the sources again when they are next needed."""
        self._summary = None
        self._records.clear()

    def summary(self) -> pd.DataFrame:
        """One row per run, split and level: the columns of `load_runs`, without empty runs."""
        if self._summary is None:
            folders = [path for path in self._used if is_folder(path)]
            frames = [load_runs(folders, apart=True)] if folders else []
            frames += [_summarised(frame) for frame in self._frames()]
            columns = [*_KEY, "seed", "run", "path", "split", "level", "examples"]
            found = (
                pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
                if any(len(frame) for frame in frames)
                else pd.DataFrame(columns=[*columns, "exact", "graded"])
            )
            found = found.dropna(subset=["split", "exact", "graded", "task", "method"])
            found = tell_tasks_apart(found)
            found["backbone"] = found["backbone"].fillna(NOT_RECORDED)
            real = {path: os.path.realpath(path) for path in found["path"].dropna().unique()}
            place = found["path"].map(real).astype(object).fillna(found["run"])
            once = ~pd.DataFrame(
                {"place": place, "method": found["method"], "seed": found["seed"]}
                | {"split": found["split"], "level": found["level"]}
            ).duplicated()
            self._summary = found[once].reset_index(drop=True)
        return self._summary

    def names_of(self, task: Task) -> set[str]:
        """The names under which the runs of a task are shown, as far as they have been read."""
        summary = self._summary
        if summary is None or FINGERPRINT not in summary:
            return {task.name}
        prints = summary.drop_duplicates(["task", FINGERPRINT]).set_index("task")[FINGERPRINT]
        own = {name for name, one in prints.items() if one == task.fingerprint}
        # Records of an older version do not say their task's fingerprint.
        unknown = {name for name, one in prints.items() if name == task.name and pd.isna(one)}
        return own or unknown or {task.name}

    def records(self, task: str, backbone: str) -> tuple[pd.DataFrame, bool]:
        """The records of a task on a backbone, and whether they are complete.

        If there are more than `MOST_RECORDS`, the result has one row per run, split and level, with
        means in place of the values.
        """
        if (task, backbone) not in self._records:
            self._records[task, backbone] = self._read(task, backbone)
        return self._records[task, backbone]

    def _read(self, task: str, backbone: str) -> tuple[pd.DataFrame, bool]:
        summary = self.summary()
        chosen = summary[(summary["task"] == task) & (summary["backbone"] == backbone)]
        if chosen["examples"].sum() > MOST_RECORDS:
            seconds = chosen["seconds"] / chosen["examples"] if "seconds" in chosen else None
            return chosen.assign(seconds=seconds).reset_index(drop=True), False
        paths = list(dict.fromkeys(chosen["path"].dropna()))
        frames = [load_runs(paths, records=True, apart=True)] if paths else []
        frames += [frame[frame["backbone"] == backbone] for frame in self._frames()]
        frames = [self._of_task(task, frame) for frame in frames]
        frames = [frame for frame in frames if len(frame)]
        return (pd.concat(frames, ignore_index=True) if frames else chosen), True

    def _of_task(self, task: str, frame: pd.DataFrame) -> pd.DataFrame:
        """The records of a task, which they may call by its plain name."""
        summary = self.summary()
        if FINGERPRINT not in frame or FINGERPRINT not in summary:
            return frame[frame["task"] == task]
        shown = summary.dropna(subset=[FINGERPRINT]).set_index(FINGERPRINT)["task"].to_dict()
        names = frame[FINGERPRINT].map(shown)
        return frame[names.where(names.notna(), frame["task"]) == task]

    def examples(
        self, task: str, backbone: str, method: str, level: int, splits: Collection[str]
    ) -> pd.DataFrame:
        """Records of one point of a curve; of a few runs only, where there are many records."""
        found, whole = self.records(task, backbone)
        here = (found["method"] == method) & (found["level"] == level)
        chosen = found[here & found["split"].isin(splits)]
        if whole or not len(chosen):
            return chosen.reset_index(drop=True)
        paths = list(dict.fromkeys(chosen["path"].dropna()))[:_FEW_RUNS]
        where = {"level": level, "split": list(splits)}
        return self._of_task(task, load_runs(paths, where, records=True))

    def code(self, task: str, backbone: str, methods: list[str]) -> str:
        """Python that ends with `frame`, the records of some methods; `task` has to be defined."""
        where = {"task": task, "method": methods}
        if backbone != NOT_RECORDED:
            where["backbone"] = backbone
        lines, parts = [], []
        if folders := [path for path in self._used if is_folder(path)]:
            shown = ", ".join(path_code(path) for path in folders)
            given = f"[{shown}], where={where!r}, records=True, apart=True"
            lines.append(f"stored = lc.load_runs({given})")
            parts.append("stored")
        for number, path in enumerate(path for path in self._used if path.is_file()):
            name = f"records_{number + 1}"
            lines.append(f"{name} = pd.read_parquet({path_code(path)})")
            parts.append(
                f"{name}[{name}['task'].eq({task!r}) & {name}['method'].isin({methods!r})]"
            )
        for name, (_, code) in self._evaluated.items():
            if name in methods:
                parts.append(f"{code}.assign(method={name!r}, seed=0)")
        lines.append("frame = pd.concat([" + "".join(f"\n    {part}," for part in parts) + "\n])")
        return "\n".join(lines)

    def _frames(self) -> list[pd.DataFrame]:
        """Records outside of run folders."""
        frames = [_complete(pd.read_parquet(path), path) for path in self._used if path.is_file()]
        return frames + [frame for frame, _ in self._evaluated.values()]


def _complete(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Add the columns that tell runs apart to the records of a file."""
    missing = {"task", "method", "seed", "split", "level", "exact", "graded"} - set(frame.columns)
    if missing:
        raise SettingError(
            f"{path} holds no records: it has no column {', '.join(sorted(missing))}"
        )
    if "backbone" not in frame.columns:
        frame = frame.assign(backbone=NOT_RECORDED)
    return frame.assign(run=str(path), path=None)


def _summarised(frame: pd.DataFrame) -> pd.DataFrame:
    keys = [*_KEY, *[FINGERPRINT] * (FINGERPRINT in frame), "seed", "run", "split", "level"]
    groups = frame.groupby(keys, sort=False, dropna=False)
    means = groups[["exact", "graded", *(n for n in _COSTS if n in frame.columns)]].mean()
    return means.assign(examples=groups.size(), path=None).reset_index()
