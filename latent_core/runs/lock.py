"""The lock of a run folder: held by whoever writes into it, whatever opened the run.

It excludes other processes and other threads. The thread that holds it may take it again: a grid
holds it while `train` takes it. A process that dies lets go of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from latent_core.archives.folders import refuse_packed
from latent_core.errors import SettingError
from latent_core.runs.folder import disk_errors
from latent_core.runs.own_files import LOCK_FILE, delete_lock, delete_run, names_in_the_way

__all__ = ["RunBusyError", "is_busy", "run_lock"]


class RunBusyError(SettingError):
    """Another process, or another thread, is working on the run."""


@contextlib.contextmanager
def run_lock(folder: str | Path, wait: float = 0, *, nested: bool = True) -> Iterator[None]:
    """Hold the lock of a run in `with`; where nothing came to be, it leaves nothing behind.

    Args:
        folder: made if missing.
        wait: seconds to wait for another holder; below 0 for as long as it takes.
        nested: whether this thread may hold it already.

    Raises:
        RunBusyError: if another process or thread holds it, or this one does and must not.
        LatentError: if the folder cannot be written or is packed, or its lock is another user's.
    """
    folder = Path(folder)
    refuse_packed(folder)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    left_before = (folder / LOCK_FILE).exists()
    lock = _lock_of(folder)
    if lock.is_locked and not nested:
        raise _busy(folder)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=wait)
        except Timeout as error:
            raise _busy(folder) from error
    try:
        yield
    finally:
        if made or not left_before:
            _tidy(folder, made)
        lock.release()


def _busy(folder: Path) -> RunBusyError:
    return RunBusyError(
        f"another process is working on the run in {folder}; wait until it ends, or choose another "
        "folder"
    )


def is_busy(folder: str | Path) -> bool:
    """Whether somebody, this thread included, is working on the run in a folder."""
    folder = Path(folder)
    if not (folder / LOCK_FILE).is_file():
        return False
    lock = _lock_of(folder)
    if lock.is_locked:
        return True
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def _tidy(folder: Path, made: list[Path]) -> None:
    """Delete the lock if nothing else is in the folder, and the folders that were made for it."""
    with contextlib.suppress(OSError):
        if names_in_the_way(folder):
            return
        if not made:
            delete_lock(folder)
        elif not delete_run(folder):
            for path in made[1:]:
                path.rmdir()


def _lock_of(folder: Path) -> FileLock:
    """The one lock object of a folder in this process, so that a thread can take it again."""
    return FileLock(folder / LOCK_FILE, is_singleton=True)
