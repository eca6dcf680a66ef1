"""The records of many runs as Arrow tables, and such tables as one data frame.

The records of one archive are read in one pass. Arrow can stack tables as well, but holds all of
them until the last one is there, texts as four bytes and a list of names for each table. Here each
table is taken apart as it comes: numbers are appended, and texts become two bytes, or four where
they are more than 32,767 different ones.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from latent_core.archives.folders import place_of, records_of
from latent_core.errors import ArchiveError
from latent_core.runs.evaluation_file import of_adapter_there
from latent_core.runs.find import StoredRun, warn_of
from latent_core.runs.own_files import RECORDS_FILE

__all__ = ["TableStack", "constant", "records_of_runs"]


def records_of_runs(
    runs: Iterable[StoredRun], schema: pa.Schema | None = None
) -> Iterator[tuple[StoredRun, pa.Table]]:
    """Each run's records of the adapter that it has now; runs without any are left out.

    Args:
        runs: as `find_runs` gives them; those of one archive stand together.
        schema: which columns are read, of those that a run has, and as what; by default all, as
            they are.

    Warns:
        UserWarning: of runs whose records are damaged, or are of another adapter; they are left
            out.
    """
    for archive, group in itertools.groupby(runs, key=lambda run: _archive_of(run.path)):
        columns = None if schema is None else schema.names
        read = _of_archive if archive is not None else functools.partial(_of_folders, columns)
        for run, table in read(list(group)):
            try:
                yield run, table if schema is None else _as(table, schema)
            except (ValueError, pa.ArrowException) as error:
                warn_of(run.path, error)


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Those columns of a schema that a table has."""
    places = {name: place for place, name in enumerate(table.column_names)}
    columns = {}
    for name, kind in zip(schema.names, schema.types, strict=True):
        if name in places:
            column = table.column(places[name])
            columns[name] = column if column.type == kind else column.cast(kind)
    return pa.table(columns)


def constant(value: object, length: int, kind: pa.DataType) -> pa.Array:
    """A column that repeats one value; None stands for a value that is not known."""
    if value is None:
        return pa.nulls(length, kind)
    if not pa.types.is_dictionary(kind):
        return pa.repeat(pa.scalar(value, kind), length)
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, kind.index_type), length), [value])


def _archive_of(path: str) -> str | None:
    place = place_of(path)
    return None if place is None else str(place.archive.path)


def _of_folders(
    columns: Collection[str] | None, runs: Iterable[StoredRun]
) -> Iterator[tuple[StoredRun, pa.Table]]:
    for run in runs:
        try:
            yield run, of_adapter_there(run.path, records_of(run.path, columns)).table
        except FileNotFoundError:
            continue
        except (OSError, ValueError, pa.ArrowException) as error:
            warn_of(run.path, error)


def _of_archive(runs: Sequence[StoredRun]) -> Iterator[tuple[StoredRun, pa.Table]]:
    places = [place for run in runs if (place := place_of(run.path)) is not None]
    archive = places[0].archive
    kept = [
        (run, place.name)
        for run, place in zip(runs, places, strict=True)
        if RECORDS_FILE in archive.folders[place.name].files
    ]
    try:
        tables = archive.all_records(name for _, name in kept)
        current = [
            of_adapter_there(run.path, records).table
            for (run, _), records in zip(kept, tables, strict=True)
        ]
    except (ArchiveError, ValueError) as error:
        warnings.warn(f"left out: {error}", stacklevel=2)
        return
    yield from zip((run for run, _ in kept), current, strict=True)


# --- tables stacked into one frame ----------------------------------------------------------------

#: Up to so many different texts are numbered in two bytes.
_SHORT: Final = int(np.iinfo(np.int16).max)


class TableStack:
    """Tables of the same columns, in the order in which they were added.

    Numbers become columns of numbers, and texts, which are dictionaries in Arrow, categories. The
    categories are in the order in which the tables name them.
    """

    def __init__(self) -> None:
        self._columns: dict[str, _Numbers | _Texts] = {}
        self._rows = 0

    def __len__(self) -> int:
        """The number of rows."""
        return self._rows

    def add(self, table: pa.Table) -> None:
        """Add a table below the others; it has the columns of the first one, of the same types."""
        for field, column in zip(table.schema, table.columns, strict=True):
            if field.name not in self._columns:
                texts = pa.types.is_dictionary(field.type)
                self._columns[field.name] = _Texts() if texts else _Numbers()
            stack = self._columns[field.name]
            for chunk in column.chunks:
                stack.add(chunk)
        self._rows += len(table)

    def to_frame(self) -> pd.DataFrame:
        """The data frame of all rows; the stack is empty after it."""
        columns = {}
        for name in list(
            self._columns
        ):  # one goes as the next is made, so as not to be there twice
            columns[name] = self._columns.pop(name).column()
        self._rows = 0
        return pd.DataFrame(columns, copy=False)


class _Rows:
    """One column, whose memory grows in one piece, so that it is nowhere twice.

    It begins with the type of its first rows, and takes one in which later rows fit as well.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._type: np.dtype[Any] | None = None

    def add(self, rows: NDArray[Any]) -> None:
        both = rows.dtype if self._type is None else np.promote_types(self._type, rows.dtype)
        if self._type not in (None, both):
            self._bytes = bytearray(self.whole().astype(both).tobytes())
        self._type = both
        self._bytes += rows.astype(both, copy=False).tobytes()

    def whole(self) -> NDArray[Any]:
        """All rows; none can be added while they are in use."""
        return np.frombuffer(self._bytes, self._type or np.float64)


class _Numbers:
    """A column of numbers; NaN where one is not known."""

    def __init__(self) -> None:
        self._rows = _Rows()

    def add(self, chunk: pa.Array) -> None:
        self._rows.add(chunk.to_numpy(zero_copy_only=False))

    def column(self) -> NDArray[Any]:
        return self._rows.whole()


class _Texts:
    """A column of texts as numbers, -1 where one is not known."""

    def __init__(self) -> None:
        self._rows = _Rows()
        self._known: dict[str, int] = {}
        self._last = pa.array([], pa.string())
        self._numbers: NDArray[Any] = np.array([-1], np.int16)

    def add(self, chunk: pa.DictionaryArray) -> None:
        if not chunk.dictionary.equals(self._last):  # runs of one task name the same examples
            self._last = chunk.dictionary
            self._numbers = self._numbered(chunk.dictionary.to_pylist())
        places = chunk.indices.fill_null(-1) if chunk.null_count else chunk.indices
        self._rows.add(self._numbers[places.to_numpy()])

    def _numbered(self, texts: Sequence[str | None]) -> NDArray[Any]:
        """The number of each text, and -1 in the last place, for texts that are not known."""
        known = self._known
        found = [-1 if text is None else known.setdefault(text, len(known)) for text in texts]
        return np.array([*found, -1], np.int16 if len(known) <= _SHORT else np.int32)

    def column(self) -> pd.Categorical:
        names = pd.Index(list(self._known), dtype="str" if self._known else object)
        return pd.Categorical.from_codes(self._rows.whole(), names)
