"""Writing an archive: whole or not at all, and read again before it takes its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from latent_core.archives.folders import file_names, modified_ns, read_file, records_of, size_of
from latent_core.archives.format import (
    MOST_BYTES,
    MOST_FOLDERS,
    MOST_ROWS,
    RECORDS,
    RUNS,
    TENSORS,
    VERSION,
    PackedFile,
    check_names,
    digest,
    put_together,
    taken_apart,
)
from latent_core.archives.reading import KEY, Archive
from latent_core.archives.tables import RecordsTable
from latent_core.errors import ArchiveError
from latent_core.files import new_folder

__all__ = ["write_archive"]

#: Rows of records that are read together: enough to share repeated prompts, few enough that one
#: folder's records are read at once.
_GROUP_ROWS: Final = 32_768
_PARQUET: Final[dict[str, Any]] = {
    "compression": "zstd",
    "compression_level": 19,
    "write_page_checksum": True,
}


def write_archive(
    out: str | Path,
    folders: Mapping[str, str | Path],
    wanted: Callable[[str], bool] = lambda file: True,
    told: Callable[[int, int], Any] = lambda done, total: None,
) -> Path:
    """Pack folders, each in either form, into a new archive, and read all of it again.

    Args:
        out: the archive's folder; must not exist, or be empty.
        folders: where they are, by the names that they get.
        wanted: whether a file of this name is packed; hidden files never are.
        told: called with the number of steps that are done, and of all.

    Raises:
        ArchiveError: if a name or a size is beyond the format, or the archive cannot be written.
        OSError: if a folder cannot be read.
    """
    if len(folders) > MOST_FOLDERS:
        raise ArchiveError(f"{len(folders):,} folders; an archive holds {MOST_FOLDERS:,} at most")
    names = sorted(folders)
    contents = _Contents()
    for number, name in enumerate(names):
        files = sorted(file for file in file_names(folders[name]) if not file.startswith("."))
        contents.add(name, folders[name], filter(wanted, files))
        told(number + 1, 2 * len(names))
    check_names(names, {file for files in contents.described.values() for file in files})
    with new_folder(out, f"the archive to {out}", ArchiveError) as staging:
        contents.write(staging)
        archive = Archive(staging)
        for number, name in enumerate(names):
            contents.compare(archive, name)
            told(len(names) + number + 1, 2 * len(names))
    return Path(out)


class _Contents:
    """What goes into the three files.

    Attributes:
        described: each file, by the names of its folder and its own.
    """

    def __init__(self) -> None:
        self.described: dict[str, dict[str, PackedFile]] = {}
        self._records: dict[str, RecordsTable] = {}
        self._stored: dict[tuple[str, pa.DataType], str] = {}
        self._tensors: dict[str, dict[str, Any]] = {}
        self._others: dict[str, dict[str, bytes]] = {}

    def add(self, name: str, folder: str | Path, files: Iterable[str]) -> None:
        """Take up the files of a folder."""
        described = self.described[name] = {}
        for file in files:
            size, modified = size_of(folder, file), modified_ns(folder, file)
            if file == RECORDS:
                records = self._records[name] = records_of(folder)
                described[file] = PackedFile(
                    size,
                    modified,
                    rows=records.table.num_rows,
                    columns={field.name: self._column(field) for field in records.table.schema},
                    metadata=records.metadata,
                    typed=records.typed,
                )
                continue
            content = read_file(folder, file)
            apart = taken_apart(content) if file.endswith(".safetensors") else None
            if apart is None:
                self._others.setdefault(file, {})[name] = content
            else:
                found = {f"{name}/{file}/{key}": one for key, one in apart.tensors.items()}
                self._tensors |= found
            header = None if apart is None else apart.header
            described[file] = PackedFile(size, modified, sha256=digest(content), header=header)

    def _column(self, field: pa.Field) -> str:
        """The name of a column in the archive, where one name has one type."""
        key = (field.name, field.type)
        if key not in self._stored:
            taken, number, stored = set(self._stored.values()), 2, field.name
            while stored in taken:
                stored, number = f"{field.name} {number}", number + 1
            self._stored[key] = stored
        return self._stored[key]

    def write(self, folder: Path) -> None:
        """Write the three files; that of the runs comes last, for it holds the records' hash."""
        (folder / TENSORS).write_bytes(put_together(self._tensors))
        self._write_records(folder / RECORDS)
        said = {"version": VERSION, "sha256": {RECORDS: digest((folder / RECORDS).read_bytes())}}
        columns = {"run": pa.array(list(self.described), pa.string())}
        texts = (
            json.dumps({file: one.body() for file, one in files.items()})
            for files in self.described.values()
        )
        columns["files"] = pa.array(list(texts), pa.string())
        for file, contents in sorted(self._others.items()):
            columns[file] = _texts(file, [contents.get(name) for name in self.described])
        table = pa.table(columns).replace_schema_metadata({KEY: json.dumps(said)})
        pq.write_table(table, folder / RUNS, **_PARQUET)

    def _write_records(self, path: Path) -> None:
        tables = [
            records.table.rename_columns(
                [self._stored[field.name, field.type] for field in records.table.schema]
            )
            for records in self._records.values()
        ]
        rows = sum(table.num_rows for table in tables)
        if rows > MOST_ROWS:
            raise ArchiveError(f"{rows:,} records; an archive holds {MOST_ROWS:,} at most")
        empty = pa.table({"split": pa.array([], pa.string())})
        whole = pa.concat_tables(tables, promote_options="default") if tables else empty
        pq.write_table(whole, path, row_group_size=_GROUP_ROWS, **_PARQUET)

    def compare(self, archive: Archive, name: str) -> None:
        """Read a folder of the archive, and make sure that it is what was taken up."""
        for file in self.described[name]:
            if file == RECORDS:
                assert archive.records(name) == self._records[name], f"{name}: other records"
            else:
                archive.read(name, file)  # compares hashes


def _texts(file: str, contents: list[bytes | None]) -> pa.Array:
    """A column of the files of one name: text, or bytes where one of them is no text."""
    if (size := sum(map(len, filter(None, contents)))) > MOST_BYTES:
        raise ArchiveError(
            f"the files {file} have {size:,} bytes together; an archive holds {MOST_BYTES:,} of "
            "files that hold no tensors, for each name"
        )
    try:
        return pa.array([one if one is None else one.decode() for one in contents], pa.string())
    except UnicodeDecodeError:
        return pa.array(contents, pa.binary())
