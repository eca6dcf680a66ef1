"""A run's records and their summary: how the run was judged, as files of its folder."""

from __future__ import annotations

import json
import numbers
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from latent_core.adapters.digest import saved_digest
from latent_core.archives.folders import records_of, refuse_packed, size_of
from latent_core.archives.tables import RecordsTable, attributes_of, frame_of, parquet_bytes
from latent_core.errors import ArchiveError, SettingError
from latent_core.files import write_file
from latent_core.runs.folder import disk_errors, read_json
from latent_core.runs.lock import run_lock
from latent_core.runs.own_files import (
    RECORDS_FILE,
    SUMMARY_FILE,
    delete_leftovers,
    delete_summary,
    set_aside,
)
from latent_core.runs.records import asked_of, by_split, check_loss, joined, seed_of

__all__ = [
    "AVERAGED",
    "COSTS",
    "adapters_of",
    "current_records",
    "kept_records",
    "of_adapter_there",
    "overall_graded",
    "read_evaluation",
    "read_summary",
    "records_damage",
    "set_aside_damaged_records",
    "stale_splits",
    "summary_of",
    "write_records",
]

#: What an example cost, in columns of the records; not every record has all of them.
COSTS: Final = ("response_tokens", "latent_slots", "extra_slots", "decode_steps")
#: What a summary averages; `seconds` are added up.
AVERAGED: Final = ("exact", "graded", *COSTS)
#: Seconds that `write_records` waits for another process at the same run.
_PATIENCE: Final = 10.0
#: What a damaged file of records makes readers raise.
_DAMAGE: Final = (OSError, ValueError, TypeError, KeyError, pa.ArrowException)


def write_records(folder: str | Path, frame: pd.DataFrame, *, replace: bool = False) -> Path:
    """Write records and their summary into a run folder, beside those of other splits.

    A reader sees the old records or the new ones, never a part, and never a summary of others.

    The records are said to be of the adapter that is saved in the folder now.

    Args:
        folder: made if missing.
        frame: records of `evaluate`; `frame.attrs` is kept in the file's metadata.
        replace: let a split have fewer examples than the folder has of it, or another seed's; let
            damaged records go.

    Raises:
        SettingError: if records of a split would be lost, those in the folder are damaged, or
            another process is working on the run.
        LatentError: if the folder cannot be written.

    Example:
        >>> import tempfile
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> frame = lc.evaluate(model, lc.load_task("repetition"), "id", examples=2, progress=False)
        >>> lc.write_records(tempfile.mkdtemp(), frame).name
        'records.parquet'
    """
    folder = Path(folder)
    refuse_packed(folder)
    with run_lock(folder, _PATIENCE):
        with disk_errors(folder):
            before = None if replace and records_damage(folder) else kept_records(folder)
        if before is not None and not replace:
            for split, rows in frame.groupby("split", sort=False):
                check_loss(before, str(split), len(rows), seed_of(rows), str(folder))
        frame = joined(before, _of_adapter(frame, saved_digest(folder)))
        content = _parquet(frame)
        summary = summary_of(frame) | {"records_bytes": len(content)}
        with disk_errors(folder):
            delete_leftovers(folder)
            delete_summary(folder)
            write_file(folder / RECORDS_FILE, content)
        write_file(folder / SUMMARY_FILE, json.dumps(summary).encode())
    return folder / RECORDS_FILE


def _of_adapter(frame: pd.DataFrame, digest: str | None) -> pd.DataFrame:
    """Records that say of each split which adapter answered it."""
    if digest is None:
        return frame
    asked = asked_of(frame)
    splits = {str(name): asked.get(str(name), {}) for name in frame["split"].unique()}
    frame = frame.copy()
    frame.attrs["evaluation"] = {
        "splits": {name: {"adapter": digest, **one} for name, one in splits.items()}
    }
    return frame


def adapters_of(evaluation: Mapping[str, Any] | None) -> dict[str, str]:
    """The adapter that answered each split, named by `saved_digest`, where the records say it."""
    splits = (by_split(evaluation) or {"splits": {}})["splits"]
    return {
        split: how["adapter"]
        for split, how in splits.items()
        if isinstance(how, Mapping) and isinstance(how.get("adapter"), str)
    }


def stale_splits(folder: str | Path, evaluation: Mapping[str, Any] | None) -> list[str]:
    """The splits that another adapter answered than the one that is saved in the folder now.

    Records of an older version do not say their adapter and are taken to be of the one that is
    there now. So are records beside which no adapter lies.

    Warns:
        UserWarning: of these splits, which are to be left out.
    """
    answered_by = adapters_of(evaluation)
    now = saved_digest(folder) if answered_by else None
    stale = [split for split, adapter in answered_by.items() if now not in (None, adapter)]
    if stale:
        warnings.warn(
            f"the records of {', '.join(stale)} in {folder} are of another adapter than the one "
            "that is there now, and are left out; `latent evaluate` asks it",
            stacklevel=3,
        )
    return stale


def current_records(folder: str | Path) -> pd.DataFrame:
    """The records of a folder, with their `attrs`, as `of_adapter_there` leaves them.

    Raises:
        FileNotFoundError: if there are none.
        OSError, ValueError, pyarrow.ArrowException: if they are damaged.
    """
    return frame_of(of_adapter_there(folder, records_of(folder)))


def of_adapter_there(folder: str | Path, records: RecordsTable) -> RecordsTable:
    """The records of a folder without those of an adapter that is gone.

    Raises:
        ValueError: if they are damaged.

    Warns:
        UserWarning: of the splits that are left out.
    """
    _check_columns(records)
    stale = stale_splits(folder, attributes_of(records).get("evaluation"))
    if not stale:
        return records
    kept = pc.invert(pc.is_in(records.table["split"], value_set=pa.array(stale)))
    return records._replace(table=records.table.filter(kept))


def _check_columns(records: RecordsTable) -> None:
    """A file of records that holds something else is damaged."""
    schema = records.table.schema
    if "split" not in schema.names:
        raise ValueError("no column 'split'")
    for name in ("level", *AVERAGED, "seconds"):
        if name in schema.names and not _holds_numbers(schema.field(name).type):
            raise ValueError(f"column {name!r} holds {schema.field(name).type}, expected numbers")


def _holds_numbers(kind: pa.DataType) -> bool:
    types = pa.types
    return any(is_one(kind) for is_one in (types.is_integer, types.is_floating, types.is_boolean))


def kept_records(folder: str | Path) -> pd.DataFrame | None:
    """The records that a run folder has, with their `attrs`; None if there are none.

    Raises:
        SettingError: if they are damaged.
        ArchiveError: if they are packed, and damaged.
        OSError: if they cannot be read.
    """
    try:
        records = records_of(folder)
        _check_columns(records)
        return frame_of(records)
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        if isinstance(error, ArchiveError) or getattr(error, "errno", None) is not None:
            raise
        raise SettingError(
            f"{Path(folder) / RECORDS_FILE} is damaged ({type(error).__name__}: {error}); restore "
            "it, move it away, or let it go: --replace, replace=True"
        ) from error


def records_damage(folder: str | Path) -> str:
    """What is wrong with the records of a run folder; empty if they are whole or not there."""
    try:
        kept_records(folder)
    except SettingError as error:
        return str(error)
    return ""


def set_aside_damaged_records(folder: Path) -> None:
    """Move records that cannot be read, and their summary, out of the way of new ones.

    Warns:
        UserWarning: of where they are now.
    """
    if said := records_damage(folder):
        with disk_errors(folder):
            target = set_aside(folder, (RECORDS_FILE, SUMMARY_FILE))
        warnings.warn(f"{said}. They are in {target} now", stacklevel=2)


def _parquet(frame: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    return parquet_bytes(RecordsTable(table, {"PANDAS_ATTRS": json.dumps(frame.attrs)}, False))


def read_summary(folder: str | Path) -> dict[str, Any]:
    """The summary of a run's records, if there is one of these very records; else made of them.

    Splits that another adapter answered are left out, with a warning.

    Raises:
        FileNotFoundError: if there are no records.
        OSError, ValueError: if they are damaged.
    """
    size = size_of(folder, RECORDS_FILE)
    try:
        summary = read_json(folder, SUMMARY_FILE)
        if _is_summary(summary) and summary["records_bytes"] == size:
            return _without(summary, stale_splits(folder, summary.get("evaluation")))
    except (OSError, ValueError, TypeError, KeyError):
        pass  # missing, or damaged: it holds nothing that the records do not
    return summary_of(current_records(folder))


def _without(summary: dict[str, Any], stale: list[str]) -> dict[str, Any]:
    """A summary without some splits."""
    if not stale:
        return summary
    kept = [number for number, split in enumerate(summary["split"]) if split not in stale]
    asked = (by_split(summary.get("evaluation")) or {"splits": {}})["splits"]
    return {
        name: [column[number] for number in kept] if isinstance(column, list) else column
        for name, column in summary.items()
    } | {"evaluation": {"splits": {s: how for s, how in asked.items() if s not in stale}}}


def _is_summary(body: Any) -> bool:
    """Whether columns of a summary are there, of equal length and of the right types."""
    if not isinstance(body, dict) or not isinstance(body["split"], list):
        return False
    wanted = {"split": str, "level": int, "examples": int}
    columns = {name: wanted.get(name, numbers.Real) for name in (*wanted, *AVERAGED, "seconds")}
    present = {name: kind for name, kind in columns.items() if name in wanted or name in body}
    return all(
        isinstance(body[name], list)
        and len(body[name]) == len(body["split"])
        and all(issubclass(one, kind) and one is not bool for one in set(map(type, body[name])))
        for name, kind in present.items()
    )


def overall_graded(summary: Mapping[str, Any]) -> float:
    """Mean graded accuracy of a summary, over all examples of all its splits."""
    shares = zip(summary["graded"], summary["examples"], strict=True)
    return float(sum(graded * examples for graded, examples in shares) / sum(summary["examples"]))


def read_evaluation(folder: str | Path) -> dict[str, Any] | None:
    """What a run was asked, as `records` has it; None without records that say it."""
    try:
        return by_split(read_summary(folder)["evaluation"])
    except _DAMAGE:
        return None


def summary_of(frame: pd.DataFrame) -> dict[str, Any]:
    """Columns of equal length, one entry per split and level, in the records' order of splits.

    split, level, examples, task and its fingerprint, the means of `AVERAGED` that are there, and
    `seconds` in all; besides, `evaluation`, what was asked.
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
    for name in ("task", "task_fingerprint"):  # a folder may hold answers to two tasks
        if name in frame.columns:
            summary[name] = groups[name].first().loc[order].tolist()
    summary |= {name: means[name].astype(float).round(6).tolist() for name in columns}
    if "seconds" in frame.columns:
        summary["seconds"] = groups["seconds"].sum().loc[order].round(4).tolist()
    return summary
