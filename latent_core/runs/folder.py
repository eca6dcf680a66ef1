"""One run's folder: what is in it, and how a run begins, goes on, ends and fails.

    run.json         id, settings, versions, git revision, machine, status (running, stopped,
                     finished, failed), outcome, notes
    adapter_*        what was trained
    log.csv          one row per step
    snapshots.safetensors  what trained, at some steps (`snapshots`), if it was asked for
    records.parquet  one row per evaluated example (`evaluation_file`)
    summary.json     the records' means, so that many runs can be looked over without their records
    checkpoints/     while training is under way (`checkpoints`)

Knows files; nothing of models, and nothing of other runs (that is `find` and `store`).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import numbers
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError

from latent_core.archives.folders import read_file, refuse_packed
from latent_core.errors import LatentError, SettingError
from latent_core.files import parse_json, write_json
from latent_core.runs.checkpoints import last_checkpoint
from latent_core.runs.circumstances import circumstances
from latent_core.runs.own_files import (
    RUN_FILE,
    delete_checkpoints,
    delete_leftovers,
    delete_run,
    holds_adapter,
    names_in_the_way,
)

__all__ = [
    "abandon_run",
    "checked_run",
    "claim_run",
    "close_run",
    "disk_errors",
    "fail_run",
    "holds_finished_run",
    "open_run",
    "read_json",
    "read_run",
    "reopen_run",
]

#: Types of what a `run.json` says, where it says it.
_OUTCOME: Final[Mapping[str, type]] = {
    **{"trainable": int, "seconds": numbers.Real, "loss": numbers.Real},
    **{"error": str, "notes": dict, "versions": dict, "kept": dict},
    **{"git": dict, "machine": dict},
}
_SETTINGS: Final[Mapping[str, type]] = {
    **dict.fromkeys(("task", "backbone", "method", "layout"), str),
    **dict.fromkeys(("seed", "steps", "batch_size"), int),
    "learning_rate": numbers.Real,
    **dict.fromkeys(("patience", "check_every", "check_examples", "snapshots"), int),
    "start_from": dict,
}
#: Settings that a run has or has not; where a `run.json` does not say one, the run has none.
_OPTIONAL: Final = ("patience", "check_every", "check_examples", "snapshots", "start_from")
#: Folders that are looked into for runs, to name them in an error.
_LOOKED_INTO: Final = 2000


def holds_finished_run(folder: Path, settings: Mapping[str, Any], resume: bool) -> bool:
    """Whether the folder holds this very run, finished.

    Raises:
        SettingError: if it holds another run, or, without a run, anything else.
        ArchiveError: if it is packed.
    """
    refuse_packed(folder)
    if not os.path.lexists(folder / RUN_FILE):
        _refuse_filled(folder)
        return False
    if not resume:
        raise SettingError(
            f"{folder} already holds a run; choose another folder, or resume it (resume=True, "
            "--resume)"
        )
    try:
        before = read_run(folder)
    except OSError as error:
        raise SettingError(
            f"cannot read {folder / RUN_FILE}: {error.strerror or error}; expected a file that can "
            "be read, or choose another folder"
        ) from error
    there, here = before["settings"], json.loads(json.dumps(dict(settings)))
    names = [name for name in here if name in there]  # an older version may not have said it
    if "steps" in there:  # else it was claimed, and has not begun
        names += [name for name in _OPTIONAL if name not in names]
    differing = [
        f"{name} {there.get(name)!r} there, {here.get(name)!r} here"
        for name in names
        if there.get(name) != here.get(name)
    ]
    if differing:
        raise SettingError(
            f"{folder} holds a run with other settings: {'; '.join(differing)}. "
            "Resume with the same ones, or choose another folder"
        )
    return bool(before["status"] == "finished")


def _refuse_filled(folder: Path) -> None:
    """Refuse a folder for a new run that holds anything, whatever made it."""
    try:
        names = names_in_the_way(folder)
    except NotADirectoryError:
        return  # making the folder says so
    if not names:
        return
    if holds_adapter(names):
        raise SettingError(f"{folder} already holds an adapter; choose another folder")
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    what = f"what no run has made: {shown}"
    if runs := _runs_below(folder):
        what = f"other runs: {', '.join(runs[:5])}{', ...' if len(runs) > 5 else ''}"
    raise SettingError(
        f"{folder} holds {what}. A run has a folder of its own; choose a new or empty one, such as "
        f"{folder / 'first'}"
    )


def _runs_below(folder: Path) -> list[str]:
    walk = itertools.islice(os.walk(folder), _LOOKED_INTO)
    return sorted(os.path.relpath(path, folder) for path, _, names in walk if RUN_FILE in names)


def open_run(folder: Path, settings: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """Make the run folder, or say of the run in it that it is under way again.

    What a killed process was writing goes: whoever opens a run holds its lock.
    """
    refuse_packed(folder)
    folder.mkdir(parents=True, exist_ok=True)
    delete_leftovers(folder)
    write_json(folder / RUN_FILE, _record(folder, "running", settings, notes))


def claim_run(folder: Path, notes: Mapping[str, Any]) -> None:
    """Make a run of a folder, whatever else lies in it, before its settings are known."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RUN_FILE, _record(folder, "running", {}, notes))


def close_run(
    folder: Path,
    status: str,
    settings: Mapping[str, Any],
    notes: Mapping[str, Any],
    **outcome: Any,
) -> None:
    """Say how a run ended: `finished`, which deletes its checkpoints, or `stopped`."""
    write_json(folder / RUN_FILE, _record(folder, status, settings, notes) | outcome)
    if status == "finished":
        delete_checkpoints(folder)


def fail_run(
    folder: Path, settings: Mapping[str, Any], notes: Mapping[str, Any], error: str
) -> None:
    """Record that a run failed, and why. What it had written stays, and so do its settings."""
    record = _record(folder, "failed", settings, notes)
    with contextlib.suppress(LatentError, OSError):
        before = read_run(folder)
        record = before | {"status": "failed", "settings": {**settings, **before["settings"]}}
    write_json(folder / RUN_FILE, record | {"error": error})


def abandon_run(folder: Path) -> None:
    """Forget a run that came to nothing, so that its folder is free for another try.

    A run that an earlier call had stopped keeps the adapter and the checkpoint of that stop.
    """
    if holds_adapter(os.listdir(folder)):
        record = read_run(folder)
        write_json(folder / RUN_FILE, record | {"status": "stopped"})
    else:
        delete_run(os.path.realpath(folder))  # the user named this folder, be it by a link


def reopen_run(folder: Path) -> None:
    """Let a failed run be tried again.

    One that failed after its training, while it was judged, keeps what was trained; any other goes
    on from its last checkpoint, or else from the beginning.
    """
    record = read_run(folder)
    record.pop("error", None)
    if last_checkpoint(folder) is not None:
        record["status"] = "running"
    elif "trainable" in record and holds_adapter(os.listdir(folder)):
        record["status"] = "finished"
    else:
        record |= {"status": "running", "settings": {}}
    write_json(folder / RUN_FILE, record)


def read_json(folder: str | Path, name: str) -> Any:
    """The content of a JSON file."""
    return parse_json(read_file(folder, name))


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
    settings, notes = record["settings"], record.get("notes", {})
    for where, kinds in ((record, _OUTCOME), (settings, _SETTINGS), (notes, {"method": str})):
        if not isinstance(where, dict):
            raise TypeError(f"expected settings and notes by name, got {where!r}"[:200])
        for name, kind in kinds.items():
            value = where.get(name)
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise TypeError(f"{name} is {value!r}"[:200])
            if isinstance(value, int) and abs(value) >= 2**63:
                raise TypeError(f"{name} has more digits than a number of a run")
    return record


def _record(
    folder: Path, status: str, settings: Mapping[str, Any], notes: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of `run.json`. The id is a run's for good, and its copies have it too.

    Where it is made is looked at when it begins, and again when it is resumed.
    """
    known: dict[str, Any] = {}
    with contextlib.suppress(LatentError, OSError):  # there is none yet, or it is damaged
        known = read_run(folder)
    made = {name: known.get(name) for name in ("versions", "git", "machine")}
    if status == "running" or None in made.values():
        made = circumstances()
    return {
        "id": known.get("id") or uuid.uuid4().hex,
        "status": status,
        "settings": dict(settings),
        **made,
        "notes": dict(notes),
    }


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what a full or forbidden disk raises into one clear error."""
    try:
        yield
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
