"""The files that belong to a run, and the one place that deletes them.

Whatever else lies in a run's folder is foreign: a user's notes, other runs, links. Foreign files
stay where they are, and so does the folder that holds them. Nothing is deleted through a link.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from latent_core.files import is_staged, parse_json

__all__ = [
    "ADAPTER_FILE",
    "ALONG_FILE",
    "BASELINE_FILE",
    "BEST_FILE",
    "CHECKPOINTS",
    "CHECKPOINT_HASHES",
    "LOCK_FILE",
    "LOG_FILE",
    "RECORDS_FILE",
    "RUN_FILE",
    "SNAPSHOTS_FILE",
    "START_FILE",
    "START_HASH",
    "SUMMARY_FILE",
    "checkpoint_step",
    "delete_checkpoint",
    "delete_checkpoints",
    "delete_leftovers",
    "delete_lock",
    "delete_run",
    "delete_snapshots",
    "delete_summary",
    "holds_adapter",
    "is_own_file",
    "names_in_the_way",
    "set_aside",
    "snapshot_name",
    "snapshot_step",
]

RUN_FILE: Final = "run.json"
LOG_FILE: Final = "log.csv"
RECORDS_FILE: Final = "records.parquet"
SUMMARY_FILE: Final = "summary.json"
LOCK_FILE: Final = ".lock"
CHECKPOINTS: Final = "checkpoints"
START_FILE: Final = "start.safetensors"
START_HASH: Final = "start.sha256"
CHECKPOINT_HASHES: Final = "hashes.json"
#: In a checkpoint, the vectors with the lowest validation loss so far.
BEST_FILE: Final = "best.safetensors"
SNAPSHOTS_FILE: Final = "snapshots.safetensors"
#: Records of the answers that snapshots gave.
ALONG_FILE: Final = "along.parquet"
#: As `adapters` and PEFT call them; importing them from there would load torch.
ADAPTER_FILE: Final = "adapter_config.json"
BASELINE_FILE: Final = "baseline.json"

_RUN_NAMES: Final = frozenset(
    {
        *(RUN_FILE, LOG_FILE, RECORDS_FILE, SUMMARY_FILE, LOCK_FILE),
        *(SNAPSHOTS_FILE, ALONG_FILE),
        *(ADAPTER_FILE, "adapter_model.safetensors", BASELINE_FILE),
    }
)
#: What the Trainer and `checkpoints` write into a checkpoint.
_CHECKPOINT_NAME: Final = re.compile(
    r"model\.safetensors|optimizer\.pt|scheduler\.pt|scaler\.pt|rng_state(_\d+)?\.pth|"
    rf"trainer_state\.json|training_args\.bin|{re.escape(CHECKPOINT_HASHES)}|{re.escape(BEST_FILE)}"
)
_CHECKPOINT: Final = re.compile(r"checkpoint-(\d+)")
#: A snapshot beside the checkpoints of a run that is not at its end.
_SNAPSHOT: Final = re.compile(r"snapshot-(\d+)\.safetensors")
#: Where `set_aside` puts files.
_SET_ASIDE: Final = "damaged-{}"


def is_own_file(folder: str | Path, name: str) -> bool:
    """Whether a name in a run's folder is the run's own."""
    return name in _own_names(Path(folder)) or is_staged(name)


def holds_adapter(names: Collection[str]) -> bool:
    """Whether a folder with files of these names holds a saved model."""
    return not {ADAPTER_FILE, BASELINE_FILE}.isdisjoint(names)


def checkpoint_step(name: str) -> int | None:
    """The step of a checkpoint's folder, by its name; None for another name."""
    found = _CHECKPOINT.fullmatch(name)
    return int(found[1]) if found else None


def snapshot_name(step: int) -> str:
    """The file of a snapshot, beside the checkpoints of a run under way."""
    return f"snapshot-{step}.safetensors"


def snapshot_step(name: str) -> int | None:
    """The step of a snapshot's file, by its name; None for another name."""
    found = _SNAPSHOT.fullmatch(name)
    return int(found[1]) if found else None


def names_in_the_way(folder: str | Path) -> list[str]:
    """What a new run would find in a folder without `run.json`; none of it is known to be a run's.

    A lock and what a killed process was writing are in nobody's way.

    Raises:
        OSError: if the folder cannot be read.
    """
    with contextlib.suppress(FileNotFoundError):
        names = os.listdir(folder)
        return sorted(name for name in names if name != LOCK_FILE and not is_staged(name))
    return []


def delete_run(folder: str | Path) -> list[str]:
    """Delete a run's own files, and its folder if nothing else is in it. Hold its lock meanwhile.

    `run.json` goes after all others, so that a kill leaves a run that can be deleted again.

    Args:
        folder: the run folder itself; a link is not followed.

    Returns:
        the names that stay, which are foreign; empty if the folder is gone.

    Raises:
        OSError: if something cannot be deleted.
    """
    folder = Path(folder)
    if folder.is_symlink():
        return sorted(os.listdir(folder))
    delete_checkpoints(folder)
    delete_leftovers(folder)
    _delete_files(folder, _own_names(folder) - {RUN_FILE, BASELINE_FILE, LOCK_FILE})
    for name in (BASELINE_FILE, RUN_FILE, LOCK_FILE):  # the first of them lists files
        _delete_files(folder, {name})
    return _left_in(folder)


def delete_lock(folder: str | Path) -> None:
    """Delete the lock of a folder in which no run came to be; for whoever holds it."""
    _delete_files(Path(folder), {LOCK_FILE})


def delete_summary(folder: str | Path) -> None:
    """Delete the summary of records that are about to change."""
    _delete_files(Path(folder), {SUMMARY_FILE})


def delete_checkpoints(folder: str | Path) -> None:
    """Delete a run's checkpoints and what it started from; foreign files stay."""
    path = Path(folder) / CHECKPOINTS
    if not _is_real_folder(path):
        return
    for one in sorted(os.listdir(path)):
        delete_checkpoint(path / one)
    delete_leftovers(path)
    delete_snapshots(folder)
    _delete_files(path, {START_FILE, START_HASH})
    _left_in(path)


def delete_checkpoint(path: Path) -> None:
    """Delete one checkpoint; a folder of another name, and foreign files, stay."""
    if checkpoint_step(path.name) is None or not _is_real_folder(path):
        return
    names = {name for name in os.listdir(path) if _CHECKPOINT_NAME.fullmatch(name)}
    # Without these a checkpoint counts as cut short, not as damaged: see `checkpoints`.
    for name in (CHECKPOINT_HASHES, "trainer_state.json"):
        _delete_files(path, {name})
    _delete_files(path, names)
    delete_leftovers(path)
    _left_in(path)


def delete_snapshots(folder: str | Path, after: int = -1) -> None:
    """Delete the snapshots of a run under way that are of a later step than `after`."""
    path = Path(folder) / CHECKPOINTS
    if _is_real_folder(path):
        steps = {name: snapshot_step(name) for name in os.listdir(path)}
        _delete_files(path, {name for name, at in steps.items() if at is not None and at > after})


def delete_leftovers(folder: str | Path) -> None:
    """Delete what a killed process was writing into a folder; only while nobody writes there."""
    folder = Path(folder)
    for name in _staged(folder):
        path = folder / name
        if _is_real_folder(path):
            _delete_files(path, set(os.listdir(path)))
            _left_in(path)
        else:
            _delete_files(folder, {name})


def set_aside(folder: str | Path, names: Collection[str] | None = None) -> Path | None:
    """Move files of a run that are damaged into a folder `damaged-1`, `damaged-2`, ... within it.

    Args:
        folder: the run folder.
        names: which files; by default all of the run's own but its lock.

    Returns:
        where they are now; None if there were none.

    Raises:
        OSError: if they cannot be moved.
    """
    folder = Path(folder)
    chosen = (_own_names(folder) | {CHECKPOINTS}) - {LOCK_FILE} if names is None else set(names)
    there = sorted(name for name in chosen if os.path.lexists(folder / name))
    if not there:
        return None
    number = 1
    while os.path.lexists(target := folder / _SET_ASIDE.format(number)):
        number += 1
    target.mkdir()
    for name in sorted(there, key=lambda name: name == RUN_FILE):
        os.rename(folder / name, target / name)
    return target


def _own_names(folder: Path) -> frozenset[str]:
    """Names of a run's files, those that its baseline lists included."""
    listed: set[str] = set()
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        body = parse_json((folder / BASELINE_FILE).read_bytes())["sha256"]
        listed = {str(name) for name in dict(body) if os.path.basename(str(name)) == str(name)}
    return _RUN_NAMES | (listed - {"", ".", ".."})


def _staged(folder: Path) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        yield from (name for name in os.listdir(folder) if is_staged(name))


def _delete_files(folder: Path, names: Collection[str]) -> None:
    """Delete regular files of these names; a link or a folder of such a name is foreign."""
    for name in names:
        path = folder / name
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISREG(os.lstat(path).st_mode):
                path.unlink()


def _left_in(folder: Path) -> list[str]:
    """Remove a folder that is empty; the names in one that is not."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return []
    except OSError:
        if left := sorted(os.listdir(folder)):
            return left
        raise
    return []


def _is_real_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
