"""Packing runs into an archive, and unpacking them again.

A run folder is five to seven small files, so a few hundred runs are thousands of files. Packed,
they are three, a quarter as large, and their records are read ten times as fast (see
`latent_core.archives`). The source is never changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from latent_core.archives.folders import (
    file_names,
    is_folder,
    nothing_at,
    on_disk,
    place_of,
    records_of,
    write_folder,
)
from latent_core.archives.reading import is_archive
from latent_core.archives.writing import write_archive
from latent_core.errors import ArchiveError
from latent_core.files import new_folder
from latent_core.runs.find import run_folders
from latent_core.runs.folder import read_run
from latent_core.runs.own_files import CHECKPOINTS, RECORDS_FILE, RUN_FILE

__all__ = ["Packed", "pack_runs", "unpack_runs"]

Told = Callable[[int, int], Any]


class Packed(NamedTuple):
    """What `pack_runs` or `unpack_runs` wrote.

    Attributes:
        path: the archive, or the folder of the run folders.
        runs: how many.
        size: bytes of all files of `path`.
        left_out: what was not packed: run folders and other files, with the reason.
    """

    path: Path
    runs: int
    size: int
    left_out: dict[str, str]


def pack_runs(
    folder: str | Path,
    out: str | Path | None = None,
    told: Told = lambda done, total: None,
) -> Packed:
    """Pack all runs below a folder, those in hidden folders and in archives included.

    A run that is not at its end is left out, for it could not go on in an archive. So are files
    that are no run's, links, and folders within a run.

    Args:
        folder: holds runs, at any depth, or is one.
        out: folder of the archive; must not exist, or be empty. By default FOLDER-packed.
        told: called with the number of steps that are done, and of all.

    Raises:
        ArchiveError: if there are no runs, or the archive cannot be written.
    """
    root = Path(os.path.normpath(on_disk(folder)))
    if not is_folder(root):
        raise ArchiveError(f"{nothing_at(folder)} Expected a folder that holds runs")
    target = root.with_name(f"{root.name}-packed") if out is None else Path(out)
    _refuse_filled(target)
    packed: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for path, names in run_folders(str(root), hidden=True):
        name = Path(path).relative_to(root).as_posix() if path != str(root) else root.name
        if reason := _reason_to_leave_out(path, names):
            left_out[path] = reason
        else:
            packed[name] = path
    if not packed:
        why = "; ".join(f"{path} {reason}" for path, reason in left_out.items())
        raise ArchiveError(f"no runs to pack below {folder}{': ' + why if why else ''}")
    _refuse_within(target, root)
    write_archive(target, packed, told=told)
    left_out |= _others(root, set(packed.values()), set(left_out))
    return Packed(target, len(packed), _size(target), left_out)


def unpack_runs(
    archive: str | Path, out: str | Path | None = None, told: Told = lambda done, total: None
) -> Packed:
    """Write the run folders of an archive.

    Args:
        archive: an archive, or a path in it, for the runs at and below it; or a name such as
            `shipped:tiny`.
        out: folder of the run folders; must not exist, or be empty. By default ARCHIVE-unpacked.
        told: called with the number of runs that are written, and of all.

    Raises:
        ArchiveError: if there is no archive, it is damaged, or the folder cannot be written.
    """
    root = Path(os.path.normpath(on_disk(archive)))
    place = place_of(root)
    if place is None:
        raise ArchiveError(
            f"no archive in {archive}; expected a folder that `latent runs pack` made, a path in "
            "one, or a name that `latent shipped` lists"
        )
    target = root.with_name(f"{root.name}-unpacked") if out is None else Path(out)
    _refuse_filled(target)
    names = place.folders
    above = f"{place.name}/" if place.name else ""
    with new_folder(target, f"the runs to {target}", ArchiveError) as staging:

        def write(name: str) -> None:
            below = name.removeprefix(above) if name != place.name else root.name
            write_folder(place.archive, name, staging / below)

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # most of it is compressing records
            for number, _ in enumerate(pool.map(write, names)):
                told(number + 1, len(names))
    return Packed(target, len(names), _size(target), {})


def _reason_to_leave_out(path: str, names: set[str]) -> str:
    """Why a run cannot be packed; empty if it can."""
    if CHECKPOINTS in names:
        return "has checkpoints, so it is unfinished"
    try:
        status = read_run(path)["status"] if RUN_FILE in names else "finished"
        if RECORDS_FILE in file_names(path):
            records_of(path)
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        return f"is damaged: {error}"
    return f"is {status}, so it is unfinished" if status in ("running", "stopped") else ""


def _refuse_filled(target: Path) -> None:
    """Nothing is written over."""
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise ArchiveError(f"{target} is there already; expected --out with a new folder")


def _refuse_within(target: Path, root: Path) -> None:
    """An archive among the runs that it was made of would count them twice."""
    if os.path.isdir(root) and target.resolve().is_relative_to(root.resolve()):
        raise ArchiveError(
            f"cannot pack {root} into {target}, within itself; expected --out beside it"
        )


def _others(root: Path, packed: set[str], left_out: set[str]) -> dict[str, str]:
    """What lies below a folder and was not packed."""
    found = {}
    for path, folders, files in os.walk(root):
        if path in left_out or is_archive(path):
            folders.clear()
            continue
        for name in (*folders, *files):
            one = os.path.join(path, name)
            if os.path.islink(one):
                found[one] = "is a link"
            elif path in packed and name in folders:
                found[one] = "is a folder within a run"
            elif path not in packed and name in files:
                found[one] = "belongs to no run"
        if path in packed:
            folders.clear()
    return found


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
