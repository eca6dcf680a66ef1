"""`Archive`: reading packed folders where they lie, without trust in who packed them."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors import SafetensorError

from latent_core.archives.format import (
    ARCHIVE_FILES,
    COLUMNS,
    MOST_BYTES,
    MOST_FOLDERS,
    MOST_ROWS,
    RECORDS,
    RUNS,
    TENSORS,
    VERSION,
    PackedFolder,
    TensorStore,
    check_names,
    digest,
)
from latent_core.archives.tables import RecordsTable, parquet_bytes
from latent_core.errors import ArchiveError
from latent_core.files import parse_json

__all__ = ["KEY", "Archive", "is_archive", "open_archive"]

#: Under which `runs.parquet` says that it is part of an archive.
KEY = b"latent_archive"
_DAMAGE = (OSError, ValueError, TypeError, KeyError, AttributeError, pa.ArrowException)
#: Groups of rows of records that stay in memory, decoded.
_GROUPS_KEPT = 4


def is_archive(folder: str | Path) -> bool:
    """Whether a folder is an archive, be it damaged."""
    path = os.path.join(folder, RUNS)
    try:
        state = _state(os.stat(path))
    except OSError:
        return False
    return _is_marked(path, state)


def open_archive(folder: str | Path) -> Archive:
    """The archive in a folder; one that is opened again, and has not changed, is not read again.

    Raises:
        ArchiveError: if it is damaged.
        OSError: if it cannot be read.
    """
    state = _state(os.stat(os.path.join(folder, RUNS)))
    return _opened(os.path.abspath(folder), state)


State = tuple[int, ...]


def _state(found: os.stat_result) -> State:
    """Tells a file from another one, or from itself once it has changed."""
    return (found.st_ino, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _is_marked(path: str, state: State) -> bool:
    try:
        return KEY in (pq.read_metadata(path).metadata or {})
    except _DAMAGE:  # whether it is one, the other two files tell
        others = (os.path.join(os.path.dirname(path), name) for name in ARCHIVE_FILES)
        return all(map(os.path.isfile, others))


@functools.lru_cache(maxsize=8)
def _opened(folder: str, state: State) -> Archive:
    return Archive(Path(folder))


class Archive:
    """Many folders in three files; see `format`. Threads may share one.

    Args:
        folder: holds the three files.

    Attributes:
        folders: by name, in the order of their records.
        parents: the paths that lead to them.

    Raises:
        ArchiveError: if it is damaged, of a newer version, or larger than the limits.
        OSError: if it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._lock = threading.RLock()
        self._texts: dict[str, Sequence[Any]] = {}
        self._groups: dict[int, pa.Table] = {}
        self._checked: State | None = None
        os.stat(folder / RUNS)
        with _damage(folder):
            with pq.ParquetFile(folder / RUNS, page_checksum_verification=True) as file:
                said = parse_json((file.metadata.metadata or {})[KEY])
                self._columns = tuple(file.schema_arrow.names)
                self._refuse_above("folders", file.metadata.num_rows, MOST_FOLDERS)
            if said["version"] != VERSION:
                raise ArchiveError(
                    f"{folder} is an archive of version {said['version']}; expected {VERSION}. "
                    "Read it with the version of latent-workbench that made it, or a newer one"
                )
            self._records_sha256: str = said["sha256"][RECORDS]
            names, described = (self._column(name) for name in COLUMNS)
            self.folders: dict[str, PackedFolder] = {}
            start = 0
            for row, (name, text) in enumerate(zip(names, described, strict=True)):
                found = PackedFolder.parse(row, start, text)
                self.folders.setdefault(name, found)
                start += found.rows
            self._refuse_above("records", start, MOST_ROWS)
            files = {file for found in self.folders.values() for file in found.files}
            try:
                check_names(names, files)
            except ArchiveError as error:
                raise ValueError(error) from error
            self.parents = frozenset(
                str(parent) for name in names for parent in PurePosixPath(name).parents
            )

    def read(self, folder: str, name: str) -> bytes:
        """The content of a file, compared with its hash.

        Records come as a Parquet file of the same content.

        Raises:
            FileNotFoundError: if there is none.
            ArchiveError: if it is damaged.
        """
        file = self.file(folder, name)
        if name == RECORDS:
            return parquet_bytes(self.records(folder))
        with _damage(self.path):
            if file.header is not None:
                content = self._tensors().file(file.header, f"{folder}/{name}/")
            else:
                found = self._column(name)[self.folders[folder].row]
                content = found.encode() if isinstance(found, str) else bytes(found)
            if digest(content) != file.sha256:
                raise ValueError(f"{folder}/{name} has another hash than when it was packed")
        return content

    def file(self, folder: str, name: str) -> Any:
        """What is said of a file.

        Raises:
            FileNotFoundError: if there is none.
        """
        if folder not in self.folders or name not in self.folders[folder].files:
            path = str(self.path / folder / name)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self.folders[folder].files[name]

    def records(self, folder: str) -> RecordsTable:
        """The records of one folder.

        Raises:
            FileNotFoundError: if there are none.
            ArchiveError: if they are damaged.
        """
        self.file(folder, RECORDS)
        return self.all_records([folder])[0]

    def all_records(self, folders: Iterable[str]) -> list[RecordsTable]:
        """The records of several folders, in their order; each group of rows is read once.

        Raises:
            ArchiveError: if they are damaged.
        """
        with _damage(self.path), self._lock, self._records_file() as file:
            ends, end = [], 0
            for number in range(file.num_row_groups):
                end += file.metadata.row_group(number).num_rows
                ends.append(end)
            return [self._slice(file, ends, self.folders[name]) for name in folders]

    def _slice(self, file: pq.ParquetFile, ends: list[int], folder: PackedFolder) -> RecordsTable:
        said = folder.files[RECORDS]
        first, last = folder.start, folder.start + folder.rows
        parts = []
        for number, end in enumerate(ends):
            begin = ends[number - 1] if number else 0
            low, high = max(first, begin), min(last, end)
            if low < high:
                parts.append(self._group(file, number).slice(low - begin, high - low))
        whole = pa.concat_tables(parts) if parts else _without_metadata(file).empty_table()
        table = whole.select(list(said.columns.values()))
        if table.num_rows != folder.rows:
            raise ValueError(f"{folder.rows} records were packed, {table.num_rows} are there")
        return RecordsTable(table.rename_columns(list(said.columns)), said.metadata, said.typed)

    def _group(self, file: pq.ParquetFile, number: int) -> pa.Table:
        if number not in self._groups:
            while len(self._groups) >= _GROUPS_KEPT:
                del self._groups[next(iter(self._groups))]
            columns = file.read_row_group(number).columns
            self._groups[number] = pa.table(columns, schema=_without_metadata(file))
        return self._groups[number]

    def _records_file(self) -> pq.ParquetFile:
        """The file of all records, whose hash is checked when it is first read or has changed."""
        path = self.path / RECORDS
        state = _state(os.stat(path))
        if self._checked != state:
            with open(path, "rb") as content:
                if hashlib.file_digest(content, "sha256").hexdigest() != self._records_sha256:
                    raise ValueError(f"{RECORDS} has another hash than when it was packed")
            self._groups.clear()
            self._checked = state
        return pq.ParquetFile(path)

    def _refuse_above(self, what: str, count: int, most: int) -> None:
        if count > most:
            raise ArchiveError(
                f"the archive {self.path} holds {count:,} {what}; expected at most {most:,}"
            )

    def _tensors(self) -> TensorStore:
        path = self.path / TENSORS
        return _tensor_store(path, _state(os.stat(path)))

    def _column(self, name: str) -> Sequence[Any]:
        """A column of `runs.parquet`, read when it is first asked for."""
        with self._lock:
            if name not in self._texts:
                if name not in self._columns:
                    raise KeyError(name)
                with pq.ParquetFile(
                    self.path / RUNS, read_dictionary=[name], page_checksum_verification=True
                ) as file:
                    column = file.read([name]).column(0)
                for chunk in column.chunks:  # a few repeated bytes may stand for many
                    lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
                    self._refuse_above(f"bytes of {name}", pc.sum(lengths).as_py() or 0, MOST_BYTES)
                self._texts[name] = column.to_pylist()
            return self._texts[name]


@functools.lru_cache(maxsize=8)
def _tensor_store(path: Path, state: State) -> TensorStore:
    return TensorStore(path)


def _without_metadata(file: pq.ParquetFile) -> pa.Schema:
    return pa.schema([pa.field(one.name, one.type) for one in file.schema_arrow])


@contextlib.contextmanager
def _damage(folder: Path) -> Iterator[None]:
    """Turn what a damaged file makes libraries raise into one clear error."""
    try:
        yield
    except ArchiveError:
        raise
    except (*_DAMAGE, SafetensorError) as error:
        raise ArchiveError(
            f"the archive {folder} is damaged: {error}; expected the three files that were packed "
            "together. Copy all three again from where they were packed"
        ) from error
