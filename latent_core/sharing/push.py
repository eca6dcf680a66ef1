"""Upload of a saved model, with its card, to the Hugging Face hub.

Only what lies in the folder itself is uploaded, never what a link points to. A README that somebody
wrote, in the folder or on the hub, stays; a card of this module that nobody edited is made anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

from huggingface_hub import HfApi

from latent_core.adapters.locate import HUB_ERRORS
from latent_core.adapters.saved import read_saved
from latent_core.archives.folders import real_folder
from latent_core.errors import AdapterError
from latent_core.runs.own_files import CHECKPOINTS
from latent_core.sharing.model_card import CARD_NAME, model_card

__all__ = ["push_folder"]

#: The last line of a card that nobody has edited: a hash of the text before it.
_MARK: Final = "<!-- made by Latent Workbench: "


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    replace_readme: bool = False,
    **upload: Any,
) -> str:
    """Put a saved model on the hub, with its model card.

    Args:
        folder: what `save_pretrained` or `train` wrote; records in it go into the card. Links,
            hidden files and checkpoints stay here.
        repo_id: `owner/name`; made if missing.
        private: whether only its owner sees it, if it is made now.
        replace_readme: whether the card takes the place of a README that somebody wrote or edited,
            in the folder or on the hub.
        upload: further arguments of `HfApi.upload_folder`, such as `commit_message` or `token`.

    Returns:
        its address.

    Raises:
        AdapterError: if there is no model in the folder, or the hub refuses it.

    Warns:
        UserWarning: of links that are left out, and of a README that stays as it is.
    """
    card = _marked(model_card(folder, repo_id))
    with tempfile.TemporaryDirectory() as name:
        staging = Path(name) / "model"
        with real_folder(folder) as files:
            left_out = _copy(files, staging)
        if left_out:
            warnings.warn(
                f"not uploaded, as links are not followed: {', '.join(left_out)}", stacklevel=2
            )
        read_saved(staging)  # without its links, too
        readme = staging / CARD_NAME
        if readme.is_file() and not replace_readme and not _is_ours(readme.read_bytes()):
            warnings.warn(_kept(f"in {folder}"), stacklevel=2)
        else:
            readme.write_text(card, encoding="utf-8")
        api = HfApi(token=upload.pop("token", None))
        try:
            made = api.create_repo(repo_id, private=private, exist_ok=True)
            if not replace_readme and _is_written(api, made.repo_id, readme.read_bytes()):
                readme.unlink()
                warnings.warn(_kept(f"on the hub, in {made.repo_id}"), stacklevel=2)
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


def _copy(files: Path, staging: Path) -> list[str]:
    """Copy what is uploaded; the links that are not."""
    links: list[str] = []

    def ignored(folder: str, names: list[str]) -> set[str]:
        found = {name for name in names if os.path.islink(os.path.join(folder, name))}
        hidden = {name for name in names if name.startswith(".") or name == CHECKPOINTS}
        links.extend(os.path.relpath(os.path.join(folder, name), files) for name in found - hidden)
        return found | hidden

    shutil.copytree(files, staging, ignore=ignored)
    return sorted(links)


def _is_written(api: HfApi, repo_id: str, ours: bytes) -> bool:
    """Whether the hub has a README that somebody wrote or edited, and that would be replaced."""
    if not api.file_exists(repo_id, CARD_NAME):
        return False
    with tempfile.TemporaryDirectory() as scratch:
        there = Path(api.hf_hub_download(repo_id, CARD_NAME, local_dir=scratch)).read_bytes()
    return there != ours and not _is_ours(there)


def _marked(card: str) -> str:
    return f"{card}{_MARK}{_hash(card.encode())} -->\n"


def _is_ours(content: bytes) -> bool:
    """Whether a README is a card of ours that nobody has edited."""
    text, mark, rest = content.rpartition(_MARK.encode())
    return bool(mark) and rest.strip() == f"{_hash(text)} -->".encode()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _kept(where: str) -> str:
    return (
        f"the {CARD_NAME} {where} was written or edited by somebody and stays as it is; to put the "
        "model card in its place: --replace-readme, replace_readme=True"
    )
