"""A folder's files, read in either form: as files on disk, or as they lie in an archive.

A path names a packed folder if the folder is not there and a folder above it is an archive that
holds it. A name that begins with `shipped:` stands for a path in the package.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from latent_core.archives.format import RECORDS
from latent_core.archives.reading import Archive, is_archive, open_archive
from latent_core.archives.tables import RecordsTable, frame_of, read_records_table
from latent_core.errors import ArchiveError
from latent_core.wording import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SHIPPED",
    "SHIPPED_PREFIX",
    "Place",
    "file_names",
    "has_file",
    "is_folder",
    "modified_ns",
    "nothing_at",
    "on_disk",
    "place_of",
    "read_file",
    "read_frame",
    "real_folder",
    "records_of",
    "refuse_packed",
    "size_of",
    "write_folder",
]

#: Holds the runs that ship, an archive for each backbone.
SHIPPED: Final = Path(__file__).parents[1] / "assets" / "adapters"
SHIPPED_PREFIX: Final = "shipped:"


def on_disk(path: str | Path) -> str:
    """The path that a name stands for; any other path as it is."""
    text = os.fspath(path)
    if not text.startswith(SHIPPED_PREFIX):
        return text
    below = text.removeprefix(SHIPPED_PREFIX).strip("/")
    return os.path.join(SHIPPED, below) if below else str(SHIPPED)


_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)


class Place(NamedTuple):
    """Where a path leads in an archive: `name` is a folder's, or begins the names of several.

    It is empty for the archive itself.
    """

    archive: Archive
    name: str

    @property
    def folders(self) -> list[str]:
        """The names of the folders at this place, and below it."""
        below = f"{self.name}/" if self.name else ""
        known = self.archive.folders
        return [one for one in known if one == self.name or one.startswith(below)]


def place_of(path: str | Path) -> Place | None:
    """Where a path leads in an archive; None for one that leads into none.

    Raises:
        ArchiveError: if the archive is damaged.
    """
    folder = os.path.normpath(on_disk(path))
    parts: list[str] = []
    while not os.path.isdir(folder):
        above, part = os.path.split(folder)
        if not part:
            return None
        folder = above or os.curdir
        parts.append(part)
    if not is_archive(folder):
        return None
    place = Place(open_archive(folder), "/".join(reversed(parts)))
    known = not place.name or place.name in place.archive.folders
    return place if known or place.name in place.archive.parents else None


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there, in either form."""
    return os.path.isdir(on_disk(path)) or place_of(path) is not None


def nothing_at(path: str | Path) -> str:
    """A sentence about a path or a name that leads nowhere, with the nearest name that ships."""
    text = os.fspath(path)
    if not text.startswith(SHIPPED_PREFIX):
        return f"no folder {text}."
    names = {
        f"{SHIPPED_PREFIX}{archive.name}/{name}"
        for archive in SHIPPED.iterdir()
        if (place := place_of(archive)) is not None
        for name in {*place.archive.parents, *place.archive.folders} - {"."}
    }
    return f"nothing ships as {text}{did_you_mean(text, sorted(names))}"


def file_names(folder: str | Path) -> set[str]:
    """The names of the files in a folder.

    Raises:
        OSError: if it is not there.
    """
    try:
        with os.scandir(on_disk(folder)) as entries:
            return {one.name for one in entries if one.is_file(follow_symlinks=False)}
    except (FileNotFoundError, NotADirectoryError):
        archive, name = _packed(folder)
        return set(archive.folders[name].files)


def has_file(folder: str | Path, name: str) -> bool:
    """Whether a folder holds a file."""
    if os.path.isfile(os.path.join(on_disk(folder), name)):
        return True
    place = place_of(folder)
    packed = None if place is None else place.archive.folders.get(place.name)
    return packed is not None and name in packed.files


def read_file(folder: str | Path, name: str) -> bytes:
    """The content of a file; fast, for there may be thousands of runs.

    Raises:
        FileNotFoundError: if there is none.
        OSError: if it cannot be read.
        ArchiveError: if it is packed, and damaged.
    """
    try:
        file = os.open(os.path.join(on_disk(folder), name), _READ)  # `open` takes three times that
    except (FileNotFoundError, NotADirectoryError):
        archive, packed = _packed(folder)
        return archive.read(packed, name)
    try:
        return b"".join(iter(lambda: os.read(file, 2**16), b""))
    finally:
        os.close(file)


def size_of(folder: str | Path, name: str) -> int:
    """Bytes of a file, of a packed one before it was packed; raises as `read_file` does."""
    try:
        return os.stat(os.path.join(on_disk(folder), name)).st_size
    except (FileNotFoundError, NotADirectoryError):
        archive, packed = _packed(folder)
        return int(archive.file(packed, name).size)


def modified_ns(folder: str | Path, name: str) -> int:
    """When a file was changed last, in nanoseconds since 1970; raises as `read_file` does."""
    try:
        return os.stat(os.path.join(on_disk(folder), name)).st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        archive, packed = _packed(folder)
        return int(archive.file(packed, name).modified)


def records_of(folder: str | Path, columns: Collection[str] | None = None) -> RecordsTable:
    """The records of a folder.

    Args:
        folder: on disk or in an archive.
        columns: which of the columns that are there, if the folder is on disk; by default all.

    Raises:
        FileNotFoundError: if there are none.
        OSError, ValueError, pyarrow.ArrowException: if they are damaged.
    """
    path = os.path.join(on_disk(folder), RECORDS)
    if os.path.isfile(path):
        return read_records_table(path, columns)
    archive, name = _packed(folder)
    return archive.records(name)


def read_frame(folder: str | Path) -> pd.DataFrame:
    """The records of a folder, with their `attrs`; raises as `records_of` does."""
    return frame_of(records_of(folder))


@contextlib.contextmanager
def real_folder(folder: str | Path) -> Iterator[Path]:
    """A folder with these files on disk: the folder itself, or a copy for the time of the block.

    Raises:
        FileNotFoundError: if it is not there in either form.
    """
    if os.path.isdir(on_disk(folder)):
        yield Path(on_disk(folder))
        return
    archive, name = _packed(folder)
    with tempfile.TemporaryDirectory(prefix="latent-run-") as scratch:
        copy = Path(scratch) / "run"
        write_folder(archive, name, copy)
        yield copy


def write_folder(archive: Archive, name: str, out: Path) -> None:
    """Write a packed folder's files into a new folder, with the times of their last changes."""
    out.mkdir(parents=True)
    for file, said in archive.folders[name].files.items():
        content = archive.read(name, file)
        with open(out / file, "xb") as target:  # never into a file or through a link that is there
            target.write(content)
        os.utime(out / file, ns=(said.modified, said.modified))


def refuse_packed(folder: str | Path) -> None:
    """Refuse to write into an archive.

    Raises:
        ArchiveError: if the folder is an archive, or lies below one.
    """
    path = Path(on_disk(folder))
    for above in (path, *path.parents):
        if is_archive(above):
            raise ArchiveError(
                f"cannot write to {folder}: {above} is an archive, which is only read. Unpack it "
                f"(`latent runs unpack '{above}' --out DIR`) and write there, or choose another "
                "folder"
            )


def _packed(folder: str | Path) -> tuple[Archive, str]:
    """The archive that holds exactly this folder, and its name there."""
    place = place_of(folder)
    if place is None or place.name not in place.archive.folders:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    return place.archive, place.name
