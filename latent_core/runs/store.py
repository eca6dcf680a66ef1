"""Many runs as one table, read from run folders and archives of them.

The files are the truth; there is no database that could disagree.

A summary reads two small files a run (`run.json`, `summary.json`) and no records; records are read
only of the runs that were asked for. A run of an older version, without `run.json` or a summary, is
read from its adapter and its records. A damaged run is named in a warning and left out.

Knows run folders; nothing of models.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from filelock import Timeout

from latent_core.archives.folders import (
    has_file,
    is_folder,
    place_of,
    read_frame,
)
from latent_core.archives.names import on_disk
from latent_core.archives.reading import is_archive
from latent_core.archives.tables import RecordsTable, frame_of
from latent_core.errors import ArchiveError, SettingError
from latent_core.runs.folder import (
    ADAPTER_FILE,
    AVERAGED,
    COSTS,
    RECORDS_FILE,
    RUN_FILE,
    checked_run,
    read_json,
    read_run,
    read_summary,
    run_lock,
)

__all__ = ["StoredRun", "Where", "find_runs", "holds_results", "load_runs", "remove_run"]

Where = Mapping[str, Any] | Callable[[dict[str, Any]], bool] | None

#: What every run says of itself; the first columns of every table.
RUN_COLUMNS: Final = (
    *("run", "path", "status", "task", "backbone", "method", "layout", "seed"),
    *("learning_rate", "steps", "batch_size", "trainable", "train_seconds", "error"),
)
#: What is said of each split and level.
RESULT_COLUMNS: Final = ("split", "level", "examples", *AVERAGED, "seconds")


class StoredRun(NamedTuple):
    """A run folder.

    Attributes:
        path: the folder.
        about: `RUN_COLUMNS`, then the other settings and notes by their names.
    """

    path: str
    about: dict[str, Any]


def load_runs(
    paths: str | Path | Iterable[str | Path],
    where: Where = None,
    records: bool = False,
    apart: bool = False,
) -> pd.DataFrame:
    """The runs below some folders, as one tidy table.

    Args:
        paths: a folder, or several; runs are found at any depth, in archives as well. Hidden
            folders are left out. `shipped:BACKBONE/TASK/METHOD` stands for runs that ship.
        where: which runs. A mapping such as `{"task": "repetition", "method": ["Start_2",
            "Comma_2"]}` of columns, settings or notes, and of `split` and `level` for single rows;
            or a function of a run's `StoredRun.about`.
        records: one row per example instead of one per run, split and level.
        apart: whether `method` also names the settings in which runs of one method on one task and
            backbone differ, such as `Start_2 (steps=200)`, so that they are not averaged; `where`
            goes by these names then.

    Returns:
        columns run (the folder, relative to the one given), path, status, task, backbone, method,
        layout, seed, learning_rate, steps, batch_size, trainable, train_seconds, error, split,
        level, examples, the means exact, graded, response_tokens, latent_slots and so on, and
        seconds of evaluation in all; a run without records has one row, of no split. With
        `records`, the columns of `evaluate` after run, path, method, seed, learning_rate, steps and
        trainable.

    Raises:
        SettingError: if a folder does not exist, or no run has a column that `where` names.
    """
    rows = {}
    if isinstance(where, Mapping):
        rows = {name: _several(where[name]) for name in ("split", "level") if name in where}
        where = {name: value for name, value in where.items() if name not in rows}
    runs = find_runs(paths, where, apart)
    frame = _records(runs) if records else _summaries(runs)
    for name, wanted in rows.items():
        if len(frame):
            frame = frame[frame[name].isin(wanted)].reset_index(drop=True)
    return frame


def find_runs(
    paths: str | Path | Iterable[str | Path], where: Where = None, apart: bool = False
) -> list[StoredRun]:
    """The runs below some folders, in alphabetical order; arguments as those of `load_runs`."""
    several = not isinstance(paths, str | Path)
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    found: list[StoredRun] = []
    known: set[str] = set()
    for one in given:
        root = Path(on_disk(one))
        if not is_folder(root):
            raise SettingError(f"no folder {one}; expected one that holds runs")
        folders = list(run_folders(str(root)))
        # A run is called by its path below the root, or below the root's parent where the root's
        # own name tells it from others.
        itself = any(path == str(root) for path, _ in folders)
        skipped = len(os.path.join(root.parent if several or itself else root, ""))
        for path, names in folders:
            about = _about(path, path[skipped:], names)
            if about is not None:
                known.update(about)
                found.append(StoredRun(path, about))
    if apart:
        _name_apart(found)
    if isinstance(where, Mapping) and known and (unknown := set(where) - known):
        raise SettingError(
            f"no run has {', '.join(map(repr, sorted(unknown)))}; expected some of "
            f"{', '.join(sorted(known))}, split, level"
        )
    return [run for run in found if _selected(run.about, where)]


def _name_apart(runs: Iterable[StoredRun]) -> None:
    """Put the settings in which runs of one method differ into their methods' names."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in runs:
        key = tuple(run.about[name] for name in ("task", "backbone", "method"))
        groups.setdefault(key, []).append(run.about)
    for abouts in groups.values():
        known = [{n: about[n] for n in _SETTINGS if about.get(n) is not None} for about in abouts]
        differ = [n for n in _SETTINGS if len({repr(k[n]) for k in known if n in k}) > 1]
        for about, settings in zip(abouts, known, strict=True):
            if said := ", ".join(f"{n}={settings[n]}" for n in differ if n in settings):
                about["method"] = f"{about['method']} ({said})"


def remove_run(path: str | Path) -> bool:
    """Delete a run folder that `holds_results` does not keep; whether it was deleted.

    Left alone is one that a process is at work on, or has finished by now.
    """
    try:
        with run_lock(Path(path)):
            if holds_results(path):
                return False
            shutil.rmtree(path)
    except Timeout:
        return False
    return True


def holds_results(path: str | Path) -> bool:
    """Whether a run is kept: it is finished, has records, or is packed.

    A run that failed in a later evaluation has records all the same.

    Raises:
        SettingError: if its `run.json` is damaged.
    """
    if place_of(path) is not None or has_file(path, RECORDS_FILE):
        return True
    try:
        return bool(read_run(path)["status"] == "finished")
    except FileNotFoundError:
        return has_file(path, ADAPTER_FILE)  # written by `save_pretrained` alone


def _is_run(names: Iterable[str]) -> bool:
    return not {RUN_FILE, ADAPTER_FILE, RECORDS_FILE}.isdisjoint(names)


def run_folders(root: str, hidden: bool = False) -> Iterator[tuple[str, set[str]]]:
    """Run folders at any depth, with the names in them; nothing below a run is looked at.

    Args:
        root: a folder, in either form.
        hidden: whether to look into folders whose names begin with a dot.

    Warns:
        UserWarning: of each archive that is damaged; it is left out.
    """
    if not os.path.isdir(root) or is_archive(root):
        yield from _packed_folders(root, hidden)
        return
    names = set(os.listdir(root))
    if _is_run(names):
        yield root, names
        return
    for name in sorted(names):
        if hidden or not name.startswith("."):
            with contextlib.suppress(NotADirectoryError):  # cheaper than asking of each
                yield from run_folders(f"{root}/{name}", hidden)


def _packed_folders(root: str, hidden: bool) -> Iterator[tuple[str, set[str]]]:
    """The run folders of an archive, at or below a path in it."""
    try:
        place = place_of(root)
    except ArchiveError as error:
        warnings.warn(f"left out: {error}", stacklevel=2)
        return
    if place is None:  # a file, or a link to nothing
        return
    above = f"{place.name}/" if place.name else ""
    for name in sorted(place.folders, key=lambda name: name.split("/")):
        below = name.removeprefix(above) if name != place.name else ""
        names = set(place.archive.folders[name].files)
        if _is_run(names) and (hidden or not any(p.startswith(".") for p in below.split("/"))):
            yield (f"{root}/{below}" if below else root), names


def _about(path: str, name: str, names: set[str]) -> dict[str, Any] | None:
    """What a run says of itself, or None, with a warning, if it cannot be read."""
    try:
        if RUN_FILE in names:
            return _flat(path, name, checked_run(read_json(path, RUN_FILE)))
        if ADAPTER_FILE in names:  # written by `save_pretrained` alone
            config = read_json(path, ADAPTER_FILE)
            notes = config.get("notes", {})
            settings = {key: config.get(key) for key in ("layout", "backbone")}
            settings |= {key: notes[key] for key in ("task", "seed") if key in notes}
            return _flat(path, name, {"status": "finished", "settings": settings, "notes": notes})
        return _flat(path, name, {"status": "finished", "settings": {}, "notes": {}})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        _warn_of(path, error)
        return None


def _flat(path: str, name: str, record: dict[str, Any]) -> dict[str, Any]:
    settings, notes = record["settings"], record.get("notes", {})
    layout = settings.get("layout")
    first = {
        "run": name.replace(os.sep, "/"),
        "path": path,
        "status": record["status"],
        "task": settings.get("task"),
        "backbone": settings.get("backbone"),
        "method": notes.get("method", layout),
        "layout": layout,
        "seed": settings.get("seed", 0),
        "learning_rate": settings.get("learning_rate"),
        "steps": settings.get("steps"),
        "batch_size": settings.get("batch_size"),
        "trainable": record.get("trainable"),
        "train_seconds": record.get("seconds"),
        "error": record.get("error"),
    }
    return {**notes, **settings, **first}


def _selected(about: dict[str, Any], where: Where) -> bool:
    if where is None:
        return True
    if callable(where):
        return bool(where(about))
    return all(about.get(name) in _several(wanted) for name, wanted in where.items())


def _several(wanted: Any) -> list[Any]:
    one = isinstance(wanted, str) or not isinstance(wanted, Iterable)
    return [wanted] if one else list(wanted)


def _summaries(runs: list[StoredRun]) -> pd.DataFrame:
    readable, counts = [], []
    results: dict[str, list[Any]] = {name: [] for name in RESULT_COLUMNS}
    for run in runs:
        try:
            summary = _summary(run.path)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            _warn_of(run.path, error)
            continue
        count = len(summary["split"])
        for name in RESULT_COLUMNS:
            results[name].extend(summary.get(name) or [None] * count)
        counts.append(count)
        readable.append(run.about)
    about = pd.DataFrame({name: [run[name] for run in readable] for name in RUN_COLUMNS})
    about = about.iloc[np.repeat(np.arange(len(about)), counts)].reset_index(drop=True)
    frame = about.join(pd.DataFrame(results))
    frame = frame.drop(columns=[name for name in COSTS if frame[name].isna().all()])
    whole = {name: "Int64" for name in ("level", "examples", "seed", "steps", "trainable")}
    return frame.astype(whole)


def _summary(path: str) -> dict[str, Any]:
    try:
        return read_summary(path)
    except FileNotFoundError:
        return {"split": [None]}


def _records(runs: list[StoredRun]) -> pd.DataFrame:
    frames: list[pd.DataFrame] = []
    for folder, group in itertools.groupby(runs, key=lambda run: _archive_of(run.path)):
        alike = list(group)
        frames += _folder_records(alike) if folder is None else _packed_records(alike)
    columns = [*_WITH_RECORDS, "split", "level", "exact", "graded"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def _archive_of(path: str) -> str | None:
    place = place_of(path)
    return None if place is None else str(place.archive.path)


def _folder_records(runs: Iterable[StoredRun]) -> Iterator[pd.DataFrame]:
    """The records of run folders, a frame each."""
    for run in runs:
        try:
            frame = read_frame(run.path)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, pa.ArrowException) as error:
            _warn_of(run.path, error)
            continue
        yield _labelled([run], [len(frame)], frame)


def _packed_records(runs: list[StoredRun]) -> Iterator[pd.DataFrame]:
    """The records of runs of one archive: a frame for as many runs as have the same columns."""
    places = [place for run in runs if (place := place_of(run.path)) is not None]
    archive = places[0].archive
    kept = [
        (run, place.name)
        for run, place in zip(runs, places, strict=True)
        if RECORDS_FILE in archive.folders[place.name].files
    ]
    try:
        tables = archive.all_records(name for _, name in kept)
    except ArchiveError as error:
        warnings.warn(f"left out: {error}", stacklevel=2)
        return
    found = zip((run for run, _ in kept), tables, strict=True)
    for _, group in itertools.groupby(found, key=lambda pair: pair[1].table.schema):
        of_runs, alike = zip(*group, strict=True)
        whole = pa.concat_tables([records.table for records in alike])
        counts = [records.table.num_rows for records in alike]
        yield _labelled(of_runs, counts, frame_of(RecordsTable(whole, {}, False)))


def _labelled(
    runs: Sequence[StoredRun], counts: Sequence[int], frame: pd.DataFrame
) -> pd.DataFrame:
    """Records with columns of their runs in front, of each of which `counts` rows follow."""
    frame.attrs.clear()  # what is kept of the run is in its `run.json`
    names = [*_WITH_RECORDS, *(name for name in _IF_MISSING if name not in frame.columns)]
    first = [
        pd.DataFrame({name: run.about[name] for name in names}, index=range(min(count, 1)))
        for run, count in zip(runs, counts, strict=True)
    ]
    about = pd.concat(first, ignore_index=True)
    about = about.iloc[np.repeat(np.arange(len(about)), [c for c in counts if c])]
    about.index = frame.index
    return about.join(frame.drop(columns=[name for name in names if name in frame.columns]))


_WITH_RECORDS = ("run", "path", "method", "seed", "learning_rate", "steps", "trainable")
_IF_MISSING = ("task", "backbone", "layout")
#: By which runs of one method may differ, besides the seed.
_SETTINGS: Final = (
    *("steps", "learning_rate", "batch_size", "gradient_accumulation", "init"),
    *("training_arguments",),
)


def _warn_of(path: str, error: Exception) -> None:
    reason = f"{type(error).__name__}: {error}"
    warnings.warn(f"the run in {path} is damaged and left out ({reason})", stacklevel=2)
