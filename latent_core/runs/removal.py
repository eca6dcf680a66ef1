"""The removal of runs that came to nothing: which ones, and what is left alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from latent_core.archives.folders import on_disk, place_of
from latent_core.errors import LatentError
from latent_core.runs.folder import disk_errors, read_run
from latent_core.runs.lock import RunBusyError, run_lock
from latent_core.runs.own_files import RECORDS_FILE, delete_run, holds_adapter

__all__ = ["BUSY", "KEPT", "holds_results", "lies_behind_link", "remove_run"]

BUSY: Final = "another process is working on it"
KEPT: Final = "it is finished, or holds an adapter or records, by now"


def holds_results(path: str | Path) -> bool:
    """Whether a run is kept: it is finished or packed, has an adapter or records, or is damaged.

    An adapter may be one that was stopped early or interrupted; records may be of a run that failed
    in a later evaluation.
    """
    try:
        if place_of(path) is not None:
            return True
        names = os.listdir(path)
        if RECORDS_FILE in names or holds_adapter(names):
            return True
        return bool(read_run(path)["status"] == "finished")
    except (OSError, LatentError):
        return True


def lies_behind_link(path: str | Path, roots: Iterable[str | Path]) -> bool:
    """Whether a path is reached from the root that it lies below through a link."""
    for root in map(on_disk, roots):
        below = os.path.relpath(path, root)
        if below.split(os.sep)[0] != os.pardir:
            return os.path.realpath(path) != os.path.normpath(
                os.path.join(os.path.realpath(root), below)
            )
    return os.path.islink(path)


def remove_run(path: str | Path) -> str:
    """Delete the files of a run that `holds_results` does not keep; see `delete_run`.

    Returns:
        why the run or its folder is still there; empty if nothing is left.
    """
    path = Path(path)
    try:
        with run_lock(path, nested=False):
            if holds_results(path):
                return KEPT
            with disk_errors(path):
                left = delete_run(path)
    except RunBusyError:
        return BUSY
    except LatentError as error:
        return str(error)
    if not left:
        return ""
    shown = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
    return f"its folder holds files that are no run's: {shown}"
