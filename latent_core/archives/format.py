"""The format of an archive: its three files, what may stand in them, and tensors as bytes.

runs.parquet a row for each folder: its name, the description of its files, and a column for each
other file name, with the files' content records.parquet the rows of all `records.parquet` files,
one folder after the other adapters.safetensors the tensors of all `.safetensors` files, named
FOLDER/FILE/TENSOR

An archive may come from a stranger. Nothing in it is code, every name and size is checked before it
is used, and every file is compared with its hash when it is read.

A file in the format of safetensors is eight bytes with the length of its header, the header (JSON:
each tensor's type, shape and place), and the tensors' bytes. The `safetensors` package checks a
file as a whole; here a tensor is taken as bytes, so that no framework has to know its type.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from safetensors import safe_open

from latent_core.errors import ArchiveError
from latent_core.files import parse_json

__all__ = [
    "ARCHIVE_FILES",
    "COLUMNS",
    "MOST_BYTES",
    "MOST_FOLDERS",
    "MOST_ROWS",
    "RECORDS",
    "RUNS",
    "TENSORS",
    "VERSION",
    "PackedFile",
    "PackedFolder",
    "TensorFile",
    "TensorStore",
    "check_names",
    "digest",
    "put_together",
    "taken_apart",
    "tensors_of",
]

RUNS: Final = "runs.parquet"
RECORDS: Final = "records.parquet"
TENSORS: Final = "adapters.safetensors"
ARCHIVE_FILES: Final = (RUNS, RECORDS, TENSORS)
VERSION: Final = 1
#: The columns of `runs.parquet` that are no file's.
COLUMNS: Final = ("run", "files")
#: Limits of an archive: folders, rows of records, and bytes of one file that is no tensor.
MOST_FOLDERS: Final = 100_000
MOST_ROWS: Final = 20_000_000
MOST_BYTES: Final = 2**30

_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file of a packed folder.

    Attributes:
        size: in bytes, before it was packed.
        modified: time of the last change, in nanoseconds since 1970.
        sha256: of its content; empty for records, whose hash is that of all records together.
        header: of a `.safetensors` file, the JSON text in front of its tensors.
        rows: of records, how many there are.
        columns: of records, the name of each column and its name in the archive, in order.
        metadata: of records, what the Parquet file said beside its rows.
        typed: of records, whether the Parquet file held an Arrow schema as well.
    """

    size: int
    modified: int
    sha256: str = ""
    header: str | None = None
    rows: int | None = None
    columns: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    typed: bool = False

    def __post_init__(self) -> None:
        whole = (self.size, self.modified, 0 if self.rows is None else self.rows)
        if not all(type(number) is int and number >= 0 for number in whole):
            raise TypeError(f"sizes, times and rows are {whole}; expected whole numbers from 0 on")
        texts = (self.sha256, self.header or "")
        pairs = (*self.columns.items(), *self.metadata.items())
        if not all(isinstance(text, str) for text in (*texts, *(t for p in pairs for t in p))):
            raise TypeError("expected text as hashes, headers, columns and metadata")

    def body(self) -> dict[str, Any]:
        """What differs from an empty file, for JSON."""
        empty = asdict(PackedFile(size=0, modified=0))
        always = ("size", "modified")
        return {n: v for n, v in asdict(self).items() if n in always or v != empty[n]}


@dataclass(frozen=True, slots=True)
class PackedFolder:
    """A folder of an archive.

    Attributes:
        row: its row in `runs.parquet`.
        start: its first row in `records.parquet`.
        files: by name.
    """

    row: int
    start: int
    files: dict[str, PackedFile]

    @property
    def rows(self) -> int:
        """How many rows of `records.parquet` are its own."""
        return (self.files[RECORDS].rows or 0) if RECORDS in self.files else 0

    @classmethod
    def parse(cls, row: int, start: int, text: str) -> PackedFolder:
        """Read a cell of the column `files`.

        Raises:
            ValueError, TypeError, AttributeError: if it is damaged.
        """
        files = {name: PackedFile(**body) for name, body in parse_json(text).items()}
        return cls(row, start, files)


def check_names(folders: Iterable[str], files: Iterable[str]) -> None:
    """Refuse a name that could lead out of a folder, or that not every system can write.

    Raises:
        ArchiveError: for such a name, a folder named twice, or a folder within another.
    """
    names = list(folders)
    known = set(names)
    if len(known) < len(names):
        raise ArchiveError("a folder stands in the archive twice; expected different names")
    for name in known:
        path = PurePosixPath(name)
        parts = path.parts
        if path.is_absolute() or str(path) != name or not parts or not all(map(_is_safe, parts)):
            raise ArchiveError(f"a folder is named {name!r}; {_EXPECTED}")
        if above := known.intersection(map(str, path.parents)):
            raise ArchiveError(
                f"folder {name!r} lies in folder {above.pop()!r}; expected each beside the others"
            )
    for name in set(files):
        if not _is_safe(name) or name.startswith(".") or name in COLUMNS:
            raise ArchiveError(f"a file is named {name!r}; {_EXPECTED}")


#: Characters that part a path, or name a drive, on this system.
_PARTING: Final = "/\\:" if os.name == "nt" else "/"
_EXPECTED: Final = (
    "expected a relative path of plain names: no '..', no control characters, none of "
    f"{_PARTING!r} within, at most {_LONGEST_NAME} characters each; for a file, no '.' in front "
    f"and not {' or '.join(map(repr, COLUMNS))}"
)


def _is_safe(part: str) -> bool:
    """Whether one part of a path is a plain name."""
    return (
        0 < len(part) <= _LONGEST_NAME
        and part.strip(". ") != ""
        and part.isprintable()
        and not any(character in _PARTING for character in part)
    )


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


# --- tensors as bytes -----------------------------------------------------------------------------

_LENGTH = 8


class TensorFile(NamedTuple):
    """A `.safetensors` file, taken apart.

    Attributes:
        header: its JSON text.
        tensors: by name, in the order of their bytes: type and shape as the header has them, and
            `data`.
    """

    header: str
    tensors: dict[str, dict[str, Any]]


def tensors_of(header: str) -> dict[str, dict[str, Any]]:
    """The tensors that a header describes, in the order of their bytes.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: if it is damaged.
    """
    described = {name: one for name, one in parse_json(header).items() if name != "__metadata__"}
    return dict(sorted(described.items(), key=lambda item: tuple(item[1]["data_offsets"])))


def taken_apart(content: bytes) -> TensorFile | None:
    """Header and tensors of a file, from which it can be made again byte by byte.

    None for a file that is damaged, or that holds bytes of no tensor.
    """
    start = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    try:
        header = content[_LENGTH:start].decode()
        tensors, end = {}, 0
        for name, one in tensors_of(header).items():
            begin, after = one["data_offsets"]
            data = content[start + begin : start + after]
            if begin != end or len(data) != after - begin:
                return None
            tensors[name] = {"dtype": one["dtype"], "shape": one["shape"], "data": data}
            end = after
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return TensorFile(header, tensors) if start + end == len(content) else None


def put_together(tensors: dict[str, dict[str, Any]]) -> bytes:
    """A `.safetensors` file of tensors as `TensorFile` has them, each aligned to its type."""

    def alignment(item: tuple[str, dict[str, Any]]) -> tuple[int, str]:
        size = len(item[1]["data"])
        return -min(8, size & -size), item[0]

    described, end = {}, 0
    whole = sorted(tensors.items(), key=alignment)
    for name, one in whole:
        place = [end, end + len(one["data"])]
        described[name] = {"dtype": one["dtype"], "shape": one["shape"], "data_offsets": place}
        end = place[1]
    header = json.dumps(described, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return b"".join(
        [len(header).to_bytes(_LENGTH, "little"), header, *(one["data"] for _, one in whole)]
    )


class TensorStore:
    """The tensors of a `.safetensors` file, read one by one.

    Args:
        path: the file, which is checked as a whole.

    Raises:
        SafetensorError: if it is damaged.
        OSError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        with safe_open(path, framework="numpy"):
            pass  # checks names, types, shapes and places
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(_LENGTH), "little")
            self._tensors = tensors_of(file.read(length).decode())
        self._path, self._start = path, _LENGTH + length

    def file(self, header: str, prefix: str) -> bytes:
        """The file with this header, whose tensors stand here under `prefix` and their names.

        Raises:
            KeyError: if a tensor is missing.
        """
        text = header.encode()
        parts = [len(text).to_bytes(_LENGTH, "little"), text]
        with open(self._path, "rb") as file:
            for name in tensors_of(header):
                begin, end = self._tensors[prefix + name]["data_offsets"]
                file.seek(self._start + begin, os.SEEK_SET)
                parts.append(file.read(end - begin))
        return b"".join(parts)
