"""Upload of a saved model, with its card, to the Hugging Face hub."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from latent_core.adapters.locate import HUB_ERRORS
from latent_core.archives.folders import real_folder
from latent_core.errors import AdapterError
from latent_core.sharing.model_card import CARD_NAME, model_card

__all__ = ["push_folder"]

_NOT_PUSHED = ("checkpoints", ".*")


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
        with real_folder(folder) as files:
            shutil.copytree(files, staging, ignore=shutil.ignore_patterns(*_NOT_PUSHED))
        (staging / CARD_NAME).write_text(card)
        api = HfApi(token=upload.pop("token", None))
        try:
            made = api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=made.repo_id,
                folder_path=staging,
                **{"commit_message": "Upload from Latent Workbench"} | upload,
            )
        except HUB_ERRORS as error:
            raise AdapterError(
                f"cannot upload {folder} to the hub as {repo_id}: {error}; expected your own id "
                "owner/name, and a token (`hf auth login`, or token=...)"
            ) from error
    return str(made)
