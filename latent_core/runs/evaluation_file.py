"""A run's records and their summary: how the run was judged, as files of its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from latent_core.archives.folders import read_frame, refuse_packed, size_of
from latent_core.archives.tables import RecordsTable, parquet_bytes
from latent_core.errors import ArchiveError
from latent_core.files import write_file
from latent_core.runs.folder import RECORDS_FILE, SUMMARY_FILE, disk_errors, read_json
from latent_core.runs.records import by_split, check_loss, joined, seed_of

__all__ = [
    "AVERAGED",
    "COSTS",
    "kept_records",
    "overall_graded",
    "read_evaluation",
    "read_summary",
    "summary_of",
    "write_records",
]

#: What an example cost, in columns of the records; not every record has all of them.
COSTS: Final = ("response_tokens", "latent_slots", "extra_slots", "decode_steps")
#: What a summary averages; `seconds` are added up.
AVERAGED: Final = ("exact", "graded", *COSTS)


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
