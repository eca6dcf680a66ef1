"""Checkpoints of a run under way: what an interrupted training goes on from.

A checkpoint is a folder that the Trainer writes; `trainer_state.json` comes last. Hashes of its
files are put beside them, so that damage is found before training goes on from it.
"""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from latent_core.files import parse_json, write_file, write_json
from latent_core.runs.own_files import (
    CHECKPOINT_HASHES,
    CHECKPOINTS,
    START_FILE,
    START_HASH,
    checkpoint_step,
    delete_checkpoint,
)

__all__ = [
    "LOSS_COLUMN",
    "damage_of",
    "drop_broken_checkpoints",
    "drop_old_checkpoints",
    "keep_hashes",
    "kept_start",
    "last_checkpoint",
]

#: The validation loss, in the log of the Trainer and of the run.
LOSS_COLUMN: Final = "validation_loss"
_STATE_FILE: Final = "trainer_state.json"
_WEIGHTS_FILE: Final = "model.safetensors"
_TORCH_FILES: Final = ("optimizer.pt", "scheduler.pt")
#: Other processes may still be writing theirs when the first one takes the hashes.
_OF_OTHER_PROCESSES: Final = re.compile(r"rng_state_[1-9]\d*\.pth")


def kept_start(folder: Path, start: bytes) -> bytes:
    """The tables a run starts from: those kept when it first began, or else `start`, kept now.

    Warns:
        UserWarning: if those that were kept are damaged; `start` takes their place.
    """
    path = folder / CHECKPOINTS / START_FILE
    if path.is_file():
        kept = path.read_bytes()
        if not (said := _damage_of_start(path, kept)):
            return kept
        warnings.warn(
            f"what the run in {folder} started from is damaged ({said}); it starts from the "
            "initial values of the model that was given",
            stacklevel=2,
        )
    write_file(path, start)
    write_file(path.with_name(START_HASH), hashlib.sha256(start).hexdigest().encode())
    return start


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint."""
    newest = max(
        (path for path in _checkpoints(folder) if not damage_of(path)), key=_step, default=None
    )
    return None if newest is None else str(newest)


def drop_broken_checkpoints(folder: Path) -> None:
    """Delete checkpoints that cannot be gone on from: cut short by a kill, or damaged.

    Warns:
        UserWarning: of each that was whole once and is damaged, and from where the run goes on.
    """
    damaged = {path: said for path in _checkpoints(folder) if (said := damage_of(path))}
    whole = max((_step(path) for path in _checkpoints(folder) if path not in damaged), default=0)
    for path, said in damaged.items():
        if said != _CUT_SHORT:
            warnings.warn(
                f"{path} is damaged ({said}) and deleted; the run goes on from step {whole}",
                stacklevel=2,
            )
        delete_checkpoint(path)


def drop_old_checkpoints(folder: Path, keep: int | None) -> None:
    """Delete all checkpoints but the newest `keep`; None keeps all."""
    if keep is not None:
        for path in sorted(_checkpoints(folder), key=_step)[: -max(keep, 1)]:
            delete_checkpoint(path)


def keep_hashes(checkpoint: Path) -> None:
    """Put the hashes of a checkpoint's files beside them, once the Trainer has written it."""
    names = sorted(path.name for path in checkpoint.iterdir() if path.is_file())
    hashes = {
        name: _sha256(checkpoint / name)
        for name in names
        if not _OF_OTHER_PROCESSES.fullmatch(name) and name != CHECKPOINT_HASHES
    }
    write_json(checkpoint / CHECKPOINT_HASHES, hashes)


_CUT_SHORT: Final = "cut short"


def damage_of(checkpoint: Path) -> str:
    """What is wrong with a checkpoint; empty if it is whole.

    One without hashes, of an older version, is whole if its files can be read to their end.
    """
    state = checkpoint / _STATE_FILE
    hashed = checkpoint / CHECKPOINT_HASHES
    if not hashed.is_file():
        try:
            body = parse_json(state.read_bytes())
        except (OSError, ValueError):
            return _CUT_SHORT
        if _has_checks(body):  # versions that check the loss write hashes
            return _CUT_SHORT
        return _unreadable(checkpoint, body)
    try:
        hashes = parse_json(hashed.read_bytes())
        wrong = [name for name, known in hashes.items() if _sha256(checkpoint / name) != known]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    if _STATE_FILE not in hashes:
        return f"{CHECKPOINT_HASHES} does not name {_STATE_FILE}"
    return f"{', '.join(wrong)} has another hash than when it was written" if wrong else ""


def _unreadable(checkpoint: Path, state: Any) -> str:
    """The first file that the Trainer needs and that cannot be read, and why."""
    if not isinstance(state, dict) or state.get("global_step") != checkpoint_step(checkpoint.name):
        return f"{_STATE_FILE} is of another step"
    try:
        with safe_open(checkpoint / _WEIGHTS_FILE, "np"):
            pass
        for name in [*_TORCH_FILES, *(path.name for path in checkpoint.glob("rng_state*.pth"))]:
            with zipfile.ZipFile(checkpoint / name) as file:
                if (bad := file.testzip()) is not None:
                    return f"{name}: {bad} has another checksum"
    except (OSError, SafetensorError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _has_checks(state: Any) -> bool:
    """Whether the log in a checkpoint holds validation losses."""
    log = state.get("log_history", []) if isinstance(state, dict) else []
    return any(LOSS_COLUMN in row for row in log if isinstance(row, dict))


def _damage_of_start(path: Path, content: bytes) -> str:
    hashed = path.with_name(START_HASH)
    if hashed.is_file():
        same = hashed.read_text(errors="replace") == hashlib.sha256(content).hexdigest()
        return "" if same else f"{START_FILE} has another hash than when it was written"
    try:
        with safe_open(path, "np"):
            return ""
    except (OSError, SafetensorError) as error:
        return str(error)


def _checkpoints(folder: Path) -> Iterator[Path]:
    for path in (folder / CHECKPOINTS).glob("checkpoint-*"):
        if checkpoint_step(path.name) is not None:
            yield path


def _step(path: Path) -> int:
    return checkpoint_step(path.name) or 0


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
