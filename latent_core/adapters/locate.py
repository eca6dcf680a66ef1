"""The folder of a saved model, given that folder or an id on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]

from latent_core.errors import AdapterError

__all__ = ["HUB_ERRORS", "locate"]

HUB_ERRORS: Final = (HTTPError, HFValidationError, OSError)
"""Errors of the hub's client: a refusal, no answer, a bad id, no file in the cache."""

_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")


def locate(source: str | Path) -> Path:
    """Find the folder of a saved model: `source` itself, or a download of that hub id.

    Text is a hub id if it looks like one (`owner/name`) and no folder `owner` is here. Files come
    from the hub's cache, if they are in it.

    Raises:
        AdapterError: if the hub has none, or cannot be reached.
    """
    path = Path(source)
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
