"""Saved models on the Hugging Face hub: from an id to a folder, and from a folder to an id.

Knows folders and the hub's client; nothing of models.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]

from latent_core.errors import AdapterError
from latent_core.sharing.model_card import CARD_NAME, model_card

__all__ = ["locate", "push_folder"]

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_NOT_PUSHED = ("checkpoints", ".*")
_REFUSALS = (HTTPError, HFValidationError, OSError)
"""What the hub's client raises: the hub's answer, no answer, a bad id, no file in the cache."""


def locate(source: str | Path) -> Path:
    """The folder of a saved model: `source` itself, or what the hub has under this id.

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
    except _REFUSALS as error:
        raise AdapterError(
            f"no adapter in {source}: there is no such folder, and the hub gave none either "
            f"({error}); expected a folder, or the hub id of a saved model"
        ) from error


def push_folder(folder: str | Path, repo_id: str, *, private: bool = False, **upload: Any) -> str:
    """Put a saved model on the hub, with its model card.

    Args:
        folder: what `save_pretrained` or `train` wrote; records in it go into the card.
        repo_id: `owner/name`; made if missing.
        private: whether only its owner sees it, if it is made now.
        upload: further arguments of `HfApi.upload_folder`, such as `commit_message` or `token`.

    Returns:
        its address.

    Raises:
        AdapterError: if there is no model in the folder, or the hub refuses it.
    """
    card = model_card(folder, repo_id)
    with tempfile.TemporaryDirectory() as name:
        staging = Path(name) / "model"
        shutil.copytree(folder, staging, ignore=shutil.ignore_patterns(*_NOT_PUSHED))
        (staging / CARD_NAME).write_text(card)
        api = HfApi(token=upload.pop("token", None))
        try:
            made = api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=made.repo_id,
                folder_path=staging,
                **{"commit_message": "Upload from Latent Workbench"} | upload,
            )
        except _REFUSALS as error:
            raise AdapterError(
                f"cannot put {folder} on the hub as {repo_id}: {error}; expected an id owner/name "
                "of yours, and a token (`hf auth login`, or token=...)"
            ) from error
    return str(made)
