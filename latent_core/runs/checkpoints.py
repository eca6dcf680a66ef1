"""Checkpoints of a run under way: what a killed training goes on from."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Final

from latent_core.files import write_file

__all__ = ["CHECKPOINTS", "drop_broken_checkpoints", "kept_start", "last_checkpoint"]

CHECKPOINTS: Final = "checkpoints"
START_FILE: Final = "start.safetensors"


def kept_start(folder: Path, start: bytes) -> bytes:
    """The tables a run starts from: those kept when it first began, or else `start`, kept now."""
    path = folder / CHECKPOINTS / START_FILE
    if path.is_file():
        return path.read_bytes()
    write_file(path, start)
    return start


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint."""
    whole = [path for path in _checkpoints(folder) if _is_whole(path)]
    newest = max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)
    return None if newest is None else str(newest)


def drop_broken_checkpoints(folder: Path) -> None:
    """Delete what a kill or a full disk left of a checkpoint that was being written."""
    for path in _checkpoints(folder):
        if not _is_whole(path):
            shutil.rmtree(path, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    return list((folder / CHECKPOINTS).glob("checkpoint-*"))


def _is_whole(checkpoint: Path) -> bool:
    """Whether nothing of it is missing: the Trainer writes `trainer_state.json` last."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        json.loads((checkpoint / "trainer_state.json").read_text())
        return True
    return False
