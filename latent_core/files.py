"""Files that are written whole or not at all: a reader sees the old one or the new one.

Each is written beside its place, flushed to the disk, and moved over it. Knows bytes and folders;
nothing of what they hold.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from latent_core.errors import LatentError

__all__ = [
    "is_staged",
    "new_folder",
    "parse_json",
    "refuse_filled",
    "staged_folder",
    "write_file",
    "write_files",
    "write_json",
]

_STAGED: Final = re.compile(r"\..+\.[0-9a-f]{8}\.part")


def write_file(
    path: str | Path, content: bytes, what: str = "", error: type[LatentError] = LatentError
) -> Path:
    """Write one file; its folder is made if missing. See `write_files`."""
    path = Path(path)
    write_files(path.parent, {path.name: content}, what or str(path), error)
    return path


def parse_json(content: str | bytes) -> Any:
    """Read JSON that may be damaged or a stranger's.

    Raises:
        ValueError: whatever is wrong with it: its syntax, its encoding, a number of thousands of
            digits, or values nested too deep to be read.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("JSON nested too deep to be read") from None


def write_json(path: str | Path, body: Any) -> Path:
    """Write one JSON file, indented, as `write_file` does."""
    return write_file(path, (json.dumps(body, indent=2) + "\n").encode())


def write_files(
    folder: str | Path,
    contents: Mapping[str, bytes],
    what: str = "",
    error: type[LatentError] = LatentError,
) -> Path:
    """Write several files of one folder, the first of them moved into place when all are written.

    A failure before that leaves what was there. A kill between two moves leaves some files new and
    some old, so a set that must agree says so in itself (a hash, say).

    Args:
        folder: made if missing; files of other names stay.
        contents: by name, in the order in which they take their places.
        what: what the error calls it, such as "the adapter to runs/a"; by default the folder.
        error: class of the error.

    Raises:
        LatentError: or `error`, if the folder cannot be written.
    """
    folder = Path(folder)
    staged = {name: _staging(folder / name) for name in contents}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            _write_through(staged[name], content)
        for name, path in staged.items():
            os.replace(path, folder / name)
    except OSError as cause:
        raise _cannot_write(what or str(folder), cause, error) from cause
    finally:
        for path in staged.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    return folder


@contextlib.contextmanager
def new_folder(
    folder: str | Path, what: str = "", error: type[LatentError] = LatentError
) -> Iterator[Path]:
    """A staging folder to fill, which becomes `folder` when the block ends without an error.

    Raises:
        LatentError: or `error`, if it cannot be written, or `folder` exists and is not empty.
    """
    folder = Path(folder)
    refuse_filled(folder, what, error)
    try:
        with staged_folder(folder) as staging:
            yield staging
            os.replace(staging, folder)
    except OSError as cause:
        raise _cannot_write(what or str(folder), cause, error) from cause


@contextlib.contextmanager
def staged_folder(path: str | Path) -> Iterator[Path]:
    """A new folder beside a path, to fill and to move; what is left of it goes when the block ends.

    Raises:
        OSError: if it cannot be made.
    """
    staging = _staging(Path(path))
    try:
        staging.mkdir(parents=True)
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def is_staged(name: str) -> bool:
    """Whether a file or folder of this name was being written, and has not taken its place."""
    return bool(_STAGED.fullmatch(name))


def refuse_filled(
    folder: str | Path, what: str = "", error: type[LatentError] = LatentError
) -> None:
    """Refuse a folder that holds something already, before the work that would fill it.

    Raises:
        LatentError: or `error`, unless the folder is missing or empty.
    """
    folder = Path(folder)
    try:
        filled = os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir()))
    except (OSError, ValueError) as cause:
        reason = getattr(cause, "strerror", None) or cause
        raise error(f"cannot write {what or folder}: {reason}; expected a new folder") from cause
    if filled:
        raise error(
            f"cannot write {what or folder}: {folder} is there already and is not an empty folder; "
            "choose a new one"
        )


def _staging(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")


def _write_through(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _cannot_write(what: str, cause: OSError, error: type[LatentError]) -> LatentError:
    return error(
        f"cannot write {what}: {cause.strerror or cause}; "
        "expected a folder that can be written to, with free space"
    )
