"""Records as they lie in a Parquet file: the rows, and what the file says beside them."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from latent_core.files import parse_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RecordsTable", "attributes_of", "frame_of", "parquet_bytes", "read_records_table"]

_ARROW_SCHEMA = b"ARROW:schema"
_ATTRS = "PANDAS_ATTRS"


class RecordsTable(NamedTuple):
    """The content of one `records.parquet`.

    Attributes:
        table: its rows; the schema carries no metadata.
        metadata: what the file says beside the rows (pandas keeps `DataFrame.attrs` there).
        typed: whether the file holds an Arrow schema as well.
    """

    table: pa.Table
    metadata: dict[str, str]
    typed: bool


def read_records_table(path: str | Path, columns: Collection[str] | None = None) -> RecordsTable:
    """Read one Parquet file.

    Args:
        path: of the file.
        columns: which columns are read, of those that are there, with texts as dictionaries; by
            default all, as they are.

    Raises:
        OSError, ValueError, pyarrow.ArrowException: if it is missing or damaged.
    """
    metadata, there = None, list[str]()
    if columns is not None:
        with pq.ParquetFile(path) as file:  # whose `metadata.schema` would be a circle of objects
            metadata, names = file.metadata, set(file.schema_arrow.names)
        there = [name for name in columns if name in names]
    with pq.ParquetFile(path, metadata=metadata, read_dictionary=there) as file:
        said = dict(file.metadata.metadata or {})
        table = file.read(None if columns is None else there, use_threads=False)
    table = pa.table(table.columns, names=table.column_names)
    typed = said.pop(_ARROW_SCHEMA, None) is not None
    return RecordsTable(table, {key.decode(): value.decode() for key, value in said.items()}, typed)


def frame_of(records: RecordsTable) -> pd.DataFrame:
    """The data frame that `pandas.read_parquet` gives, with its `attrs`.

    Raises:
        ValueError: if the attributes are damaged.
    """
    frame: pd.DataFrame = records.table.replace_schema_metadata(records.metadata).to_pandas()
    frame.attrs = attributes_of(records)
    return frame


def attributes_of(records: RecordsTable) -> dict[str, Any]:
    """What pandas keeps as `DataFrame.attrs`.

    Raises:
        ValueError: if it is damaged.
    """
    found = parse_json(records.metadata.get(_ATTRS, "{}"))
    if not isinstance(found, dict):
        raise ValueError(f"{_ATTRS} holds {type(found).__name__}; expected attributes by name")
    return found


def parquet_bytes(records: RecordsTable) -> bytes:
    """A Parquet file half as large as pandas' own: dense, and its columns described once.

    pandas describes them three times, which for a few hundred records weighs as much as they do.
    """
    buffer = io.BytesIO()
    with pq.ParquetWriter(
        buffer,
        records.table.schema,
        compression="zstd",
        compression_level=19,
        store_schema=records.typed,
    ) as writer:
        writer.write_table(records.table)
        writer.add_key_value_metadata(records.metadata)
    return buffer.getvalue()
