"""The folder of a saved model, given that folder, a name that ships, or an id on the hub."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]

from latent_core.adapters.adapter import CONFIG_NAME
from latent_core.archives.folders import SHIPPED_PREFIX, has_file, is_folder, nothing_at, on_disk
from latent_core.errors import AdapterError

__all__ = ["HUB_ERRORS", "locate"]

HUB_ERRORS: Final = (HTTPError, HFValidationError, OSError)
"""Errors of the hub's client: a refusal, no answer, a bad id, no file in the cache."""

_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")


def locate(source: str | Path) -> Path:
    """Find the folder of a saved model: `source` itself, what ships, or a download of a hub id.

    `shipped:BACKBONE/TASK/METHOD` is what ships, of several seeds the first.

    Text is a hub id if it looks like one (`owner/name`) and no folder `owner` is here. Files come
    from the hub's cache, if they are in it.

    Raises:
        AdapterError: if nothing ships under the name, or the hub has none or is out of reach.
    """
    path = Path(on_disk(source))
    if os.fspath(source).startswith(SHIPPED_PREFIX):
        return _shipped(path, str(source))
    if is_folder(path):
        return path
    here = path.exists() or (path.parent.is_dir() and str(path.parent) != ".")
    if isinstance(source, Path) or here or not _HUB_ID.fullmatch(source):
        return path
    try:
        return Path(snapshot_download(source))
    except HUB_ERRORS as error:
        raise AdapterError(
            f"no adapter in {source}: there is no such folder, and the hub gave none either "
            f"({error}); expected a folder, or the hub id of a saved model"
        ) from error


def _shipped(path: Path, name: str) -> Path:
    """The packed folder of what ships under a name; of several seeds, the first."""
    for folder in (path, path / "seed-0"):
        if has_file(folder, CONFIG_NAME):
            return folder
    raise AdapterError(
        f"{nothing_at(name)} Expected {SHIPPED_PREFIX}BACKBONE/TASK/METHOD or .../seed-N; `latent "
        "shipped` lists them"
    )
