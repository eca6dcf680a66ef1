"""One run's folder: what is in it, and how a run begins, goes on, ends and fails.

    run.json         settings, versions, status (running, stopped, finished, failed), outcome, notes
    adapter_*        what was trained
    log.csv          one row per step
    records.parquet  one row per evaluated example (`evaluation_file`)
    summary.json     the records' means, so that many runs can be looked over without their records
    checkpoints/     while training is under way (`checkpoints`)

Knows files; nothing of models, and nothing of other runs (that is `find` and `store`).
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from latent_core.archives.folders import has_file, place_of, read_file, refuse_packed
from latent_core.errors import LatentError, SettingError
from latent_core.files import write_json
from latent_core.runs.checkpoints import CHECKPOINTS, last_checkpoint

__all__ = [
    "ADAPTER_FILE",
    "LOCK_FILE",
    "LOG_FILE",
    "RECORDS_FILE",
    "RUN_FILE",
    "SUMMARY_FILE",
    "abandon_run",
    "checked_run",
    "close_run",
    "disk_errors",
    "fail_run",
    "holds_finished_run",
    "holds_results",
    "open_run",
    "read_json",
    "read_run",
    "remove_run",
    "reopen_run",
    "run_lock",
]

RUN_FILE: Final = "run.json"
LOG_FILE: Final = "log.csv"
RECORDS_FILE: Final = "records.parquet"
SUMMARY_FILE: Final = "summary.json"
LOCK_FILE: Final = ".lock"
#: As `adapter` and PEFT call it; importing it from there would load torch.
ADAPTER_FILE: Final = "adapter_config.json"


def holds_finished_run(folder: Path, settings: Mapping[str, Any], resume: bool) -> bool:
    """Whether the folder holds this very run, finished. Refuses a folder that holds another."""
    refuse_packed(folder)
    if not (folder / RUN_FILE).is_file():
        if (folder / ADAPTER_FILE).exists():
            raise SettingError(f"{folder} already holds an adapter; choose another folder")
        return False
    if not resume:
        raise SettingError(
            f"{folder} already holds a run; choose another folder, or resume it (resume=True, "
            "--resume)"
        )
    before = read_run(folder)
    differing = [
        f"{name} {before['settings'].get(name)!r} there, {value!r} here"
        for name, value in json.loads(json.dumps(dict(settings))).items()
        if before["settings"].get(name, value) != value  # an older version may not have said it
    ]
    if differing:
        raise SettingError(
            f"{folder} holds a run with other settings: {'; '.join(differing)}. "
            "Resume with the same ones, or choose another folder"
        )
    return bool(before["status"] == "finished")


def open_run(folder: Path, settings: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """Make the run folder, unless the run is in it already."""
    refuse_packed(folder)
    if not (folder / RUN_FILE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)  # of a run whose record is gone
        write_json(folder / RUN_FILE, _record("running", settings, notes))


def close_run(
    folder: Path,
    status: str,
    settings: Mapping[str, Any],
    notes: Mapping[str, Any],
    **outcome: Any,
) -> None:
    """Say how a run ended: `finished`, which deletes its checkpoints, or `stopped`."""
    write_json(folder / RUN_FILE, _record(status, settings, notes) | outcome)
    if status == "finished":
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def fail_run(
    folder: Path, settings: Mapping[str, Any], notes: Mapping[str, Any], error: str
) -> None:
    """Record that a run failed, and why. What it had written stays, and so do its settings."""
    record = _record("failed", settings, notes)
    with contextlib.suppress(LatentError, OSError):
        record = read_run(folder) | {"status": "failed"}
    write_json(folder / RUN_FILE, record | {"error": error})


def abandon_run(folder: Path) -> None:
    """Forget a run that came to nothing, so that its folder is free for another try."""
    (folder / RUN_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    with contextlib.suppress(OSError):  # something else lies in it
        folder.rmdir()


def reopen_run(folder: Path) -> None:
    """Let a failed run be tried again.

    One that failed after its training, while it was judged, keeps what was trained; any other goes
    on from its last checkpoint, or else from the beginning.
    """
    record = read_run(folder)
    if last_checkpoint(folder) is not None:
        status = "running"
    elif "trainable" in record and (folder / ADAPTER_FILE).is_file():
        status = "finished"
    else:
        (folder / RUN_FILE).unlink(missing_ok=True)
        return
    record.pop("error", None)
    write_json(folder / RUN_FILE, record | {"status": status})


@contextlib.contextmanager
def run_lock(folder: Path, wait: float = 0) -> Iterator[None]:
    """Held by whoever is at work on a run, in `with`; a process that dies lets go of it.

    Args:
        folder: made if missing.
        wait: seconds to wait for another process before `filelock.Timeout` is raised; below 0 for
            as long as it takes.

    Raises:
        LatentError: if the folder cannot be written or is packed, or its lock is another user's.
    """
    refuse_packed(folder)
    lock = FileLock(folder / LOCK_FILE, timeout=wait)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def read_json(folder: str | Path, name: str) -> Any:
    """The content of a JSON file."""
    return json.loads(read_file(folder, name).decode())


def read_run(folder: str | Path) -> dict[str, Any]:
    """What `run.json` says.

    Raises:
        OSError: if it is not there.
        SettingError: if it is damaged.
    """
    path = Path(folder) / RUN_FILE
    try:
        return checked_run(read_json(folder, RUN_FILE))
    except (ValueError, TypeError, KeyError) as error:
        raise SettingError(f"{path} is damaged ({error}); choose another folder") from error


def checked_run(record: dict[str, Any]) -> dict[str, Any]:
    """The content of a `run.json`; raises TypeError or KeyError if it is none."""
    if not isinstance(record["status"], str) or not isinstance(record["settings"], dict):
        raise TypeError("expected a status and settings")
    return record


def _record(status: str, settings: Mapping[str, Any], notes: Mapping[str, Any]) -> dict[str, Any]:
    versions = {name: version(name) for name in ("torch", "transformers", "latent-workbench")}
    return {
        "status": status,
        "settings": dict(settings),
        "versions": versions,
        "notes": dict(notes),
    }


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


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what a full or forbidden disk raises into one clear error."""
    try:
        yield
    except Timeout:  # an OSError too, but another process has the run: the disk is well
        raise
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_failed_write(error):
            raise
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, RuntimeError):  # whose words say nothing of the disk
            reason = "a checkpoint did not fit or could not be written"
        kept = "; what it had saved is still there, so resume it when there is room"
        raise LatentError(
            f"cannot write the run to {folder}: {reason}; expected a folder that can be written "
            f"to, with free space{kept if (folder / RUN_FILE).is_file() else ''}"
        ) from error


def _is_failed_write(error: RuntimeError) -> bool:
    """Whether `torch.save`, which has no error of its own for it, could not write."""
    parts = ("PytorchStreamWriter", "inline_container", "iostream error")
    return any(part in str(error) for part in parts)
