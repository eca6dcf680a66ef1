"""One run's folder: what is in it, and how a run begins, goes on, ends and fails.

    run.json         settings, versions, status (running, stopped, finished, failed), outcome, notes
    adapter_*        what was trained
    log.csv          one row per step
    records.parquet  one row per evaluated example
    summary.json     the records' means, so that many runs can be looked over without their records
    checkpoints/     while training is under way

Knows files; nothing of models, and nothing of other runs (that is `store`).
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from latent_core.archives.folders import read_file, read_frame, refuse_packed, size_of
from latent_core.archives.tables import RecordsTable, parquet_bytes
from latent_core.errors import ArchiveError, LatentError, SettingError
from latent_core.files import write_file, write_json
from latent_core.runs.records import by_split, check_loss, joined, seed_of

__all__ = [
    "ADAPTER_FILE",
    "CHECKPOINTS",
    "LOCK_FILE",
    "LOG_FILE",
    "RECORDS_FILE",
    "RUN_FILE",
    "SUMMARY_FILE",
    "abandon_run",
    "close_run",
    "disk_errors",
    "drop_broken_checkpoints",
    "fail_run",
    "holds_finished_run",
    "kept_records",
    "kept_start",
    "last_checkpoint",
    "open_run",
    "overall_graded",
    "read_evaluation",
    "read_json",
    "read_run",
    "read_summary",
    "reopen_run",
    "run_lock",
    "summary_of",
    "write_records",
]

RUN_FILE: Final = "run.json"
LOG_FILE: Final = "log.csv"
RECORDS_FILE: Final = "records.parquet"
SUMMARY_FILE: Final = "summary.json"
CHECKPOINTS: Final = "checkpoints"
LOCK_FILE: Final = ".lock"
START_FILE: Final = "start.safetensors"
ADAPTER_FILE: Final = (
    "adapter_config.json"  # as `adapter` and PEFT call it; importing it loads torch
)

#: What an example cost, in columns of the records; not every record has all of them.
COSTS: Final = ("response_tokens", "latent_slots", "extra_slots", "decode_steps")
#: What a summary averages; `seconds` are added up.
AVERAGED: Final = ("exact", "graded", *COSTS)


# ---- a run begins, goes on, ends ----


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


# ---- what a killed run goes on from ----


def kept_start(folder: Path, start: bytes) -> bytes:
    """The tables a run starts from: those kept when it first began, or else `start`, kept now."""
    path = folder / CHECKPOINTS / START_FILE
    if path.is_file():
        return path.read_bytes()
    write_file(path, start)
    return start


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint."""
    whole = [path for path in _checkpoints(folder) if _is_whole(path)]
    newest = max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)
    return None if newest is None else str(newest)


def drop_broken_checkpoints(folder: Path) -> None:
    """Delete what a kill or a full disk left of a checkpoint that was being written."""
    for path in _checkpoints(folder):
        if not _is_whole(path):
            shutil.rmtree(path, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    return list((folder / CHECKPOINTS).glob("checkpoint-*"))


def _is_whole(checkpoint: Path) -> bool:
    """Whether nothing of it is missing: the Trainer writes `trainer_state.json` last."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        json.loads((checkpoint / "trainer_state.json").read_text())
        return True
    return False


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


# ---- how it was judged ----


def write_records(folder: str | Path, frame: pd.DataFrame, *, replace: bool = False) -> Path:
    """Write records and their summary into a run folder, beside those of other splits.

    A reader sees the old records or the new ones, never a part, and never a summary of others.

    Args:
        folder: made if missing.
        frame: records of `evaluate`; `frame.attrs` is kept in the file's metadata.
        replace: let a split have fewer examples than the folder has of it, or another seed's.

    Raises:
        SettingError: if records of a split would be lost.
        LatentError: if the folder cannot be written.
    """
    folder = Path(folder)
    refuse_packed(folder)
    with disk_errors(folder):
        before = kept_records(folder)
    if before is not None and not replace:
        for split, rows in frame.groupby("split", sort=False):
            check_loss(before, str(split), len(rows), seed_of(rows), str(folder))
    frame = joined(before, frame)
    content = _parquet(frame)
    summary = summary_of(frame) | {"records_bytes": len(content)}
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SUMMARY_FILE).unlink(missing_ok=True)
        write_file(folder / RECORDS_FILE, content)
    write_file(folder / SUMMARY_FILE, json.dumps(summary).encode())
    return folder / RECORDS_FILE


def kept_records(folder: str | Path) -> pd.DataFrame | None:
    """The records that a run folder has, with their `attrs`; None if none can be read."""
    try:
        return read_frame(folder)
    except ArchiveError:
        raise
    except (FileNotFoundError, ValueError, pa.ArrowException):
        return None
    except OSError as error:
        if error.errno is None:  # PyArrow's, of a damaged file
            return None
        raise


def _parquet(frame: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    return parquet_bytes(RecordsTable(table, {"PANDAS_ATTRS": json.dumps(frame.attrs)}, False))


def read_summary(folder: str | Path) -> dict[str, Any]:
    """The summary of a run's records, if there is one of these very records; else made of them.

    Raises:
        FileNotFoundError: if there are no records.
        OSError, ValueError: if they are damaged.
    """
    size = size_of(folder, RECORDS_FILE)
    try:
        summary: dict[str, Any] = read_json(folder, SUMMARY_FILE)
        if summary["records_bytes"] == size:
            return summary
    except (OSError, ValueError, TypeError, KeyError):
        pass  # missing, or damaged: it holds nothing that the records do not
    return summary_of(read_frame(folder))


def overall_graded(summary: Mapping[str, Any]) -> float:
    """Mean graded accuracy of a summary, over all examples of all its splits."""
    shares = zip(summary["graded"], summary["examples"], strict=True)
    return float(sum(graded * examples for graded, examples in shares) / sum(summary["examples"]))


def read_evaluation(folder: str | Path) -> dict[str, Any] | None:
    """What a run was asked, as `records` has it; None without records that say it."""
    try:
        return by_split(read_summary(folder)["evaluation"])
    except (OSError, ValueError, KeyError):
        return None


def read_json(folder: str | Path, name: str) -> Any:
    """The content of a JSON file."""
    return json.loads(read_file(folder, name).decode())


def summary_of(frame: pd.DataFrame) -> dict[str, Any]:
    """Columns of equal length, one entry per split and level, in the records' order of splits.

    split, level, examples, the means of `AVERAGED` that are there, and `seconds` in all; besides,
    `evaluation`, what was asked.
    """
    groups = frame.groupby(["split", "level"], sort=False)
    columns = [name for name in AVERAGED if name in frame.columns]
    means = groups[columns].mean()
    rank = {split: number for number, split in enumerate(frame["split"].unique())}
    order = sorted(means.index, key=lambda key: (rank[key[0]], key[1]))
    means = means.loc[order]
    summary: dict[str, Any] = {
        "evaluation": frame.attrs.get("evaluation"),
        "split": [split for split, _ in order],
        "level": [int(level) for _, level in order],
        "examples": groups.size().loc[order].tolist(),
    }
    summary |= {name: means[name].astype(float).round(6).tolist() for name in columns}
    if "seconds" in frame.columns:
        summary["seconds"] = groups["seconds"].sum().loc[order].round(4).tolist()
    return summary
