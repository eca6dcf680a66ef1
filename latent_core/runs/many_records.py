"""The records of many runs as Arrow tables: those of one archive in one pass."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence

import pyarrow as pa

from latent_core.archives.folders import place_of, records_of
from latent_core.errors import ArchiveError
from latent_core.runs.evaluation_file import of_adapter_there
from latent_core.runs.find import StoredRun, warn_of
from latent_core.runs.own_files import RECORDS_FILE

__all__ = ["constant", "records_of_runs"]


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
