"""The file `along.parquet` of a run: records of the answers that its snapshots gave.

It names the snapshots by a hash, so that records of a training that was done again are not read.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from latent_core.archives.folders import has_file, read_file, refuse_packed
from latent_core.files import write_file
from latent_core.runs.folder import disk_errors
from latent_core.runs.own_files import ALONG_FILE, SNAPSHOTS_FILE

__all__ = ["read_along", "write_along"]

_KEY: Final = b"snapshots"


def write_along(run: str | Path, records: pd.DataFrame) -> Path:
    """Write the records of all snapshots of a run, in place of those that are there.

    Args:
        run: the run folder. Hold its lock meanwhile.
        records: those of `evaluate`, with a column `step`, as `along` gives them.

    Raises:
        LatentError: if the folder cannot be written.
    """
    run = Path(run)
    refuse_packed(run)
    table = pa.Table.from_pandas(records.drop(columns="run", errors="ignore"), preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: _digest(run)})
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    with disk_errors(run):
        return write_file(run / ALONG_FILE, content.getvalue())


def read_along(run: str | Path) -> pd.DataFrame | None:
    """The records of the snapshots of a run; None if there are none.

    Warns:
        UserWarning: if they are damaged, or of other snapshots than those in the run; they are
            left out.
    """
    if not has_file(run, ALONG_FILE) or not has_file(run, SNAPSHOTS_FILE):
        return None
    try:
        table = pq.read_table(io.BytesIO(read_file(run, ALONG_FILE)))
    except (OSError, ValueError, pa.ArrowException) as error:
        warnings.warn(f"{Path(run) / ALONG_FILE} is damaged and left out: {error}", stacklevel=2)
        return None
    if (table.schema.metadata or {}).get(_KEY) != _digest(run):
        warnings.warn(
            f"{Path(run) / ALONG_FILE} is of other snapshots than those that are there now, and "
            "left out; evaluate them again (`latent evaluate --along`)",
            stacklevel=2,
        )
        return None
    return table.to_pandas()


def _digest(run: str | Path) -> bytes:
    return hashlib.sha256(read_file(run, SNAPSHOTS_FILE)).hexdigest().encode()
