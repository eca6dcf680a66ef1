"""Saved models on the Hugging Face hub: their upload, and the model card that the hub shows.

Only what lies in the folder itself is uploaded, never what a link points to. A README that somebody
wrote, in the folder or on the hub, stays; a card of this module that nobody edited is made anew.

A card is written from the folder's own files alone, so it states nothing that was not done. The
template is `model_card.md`, beside this module.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

import pandas as pd
from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData

from latent_core.adapters.adapter import AdapterConfig
from latent_core.adapters.locate import HUB_ERRORS
from latent_core.adapters.saved import TABLES_NAME, Saved, read_saved
from latent_core.archives.folders import has_file, real_folder
from latent_core.errors import AdapterError
from latent_core.runs.evaluation_file import current_records
from latent_core.runs.folder import read_run
from latent_core.runs.own_files import CHECKPOINTS, RECORDS_FILE, RUN_FILE
from latent_core.slots.layout import LatentLayout
from latent_core.statistics.means import summarise

__all__ = ["CARD_NAME", "model_card", "push_folder", "results_table"]

CARD_NAME: Final = "README.md"
TEMPLATE: Final = Path(__file__).with_name("model_card.md")
#: Columns of records that are results, with the hub's name of the metric and ours.
METRICS: Final = {
    "exact": ("exact_match", "exact match"),
    "graded": ("graded_accuracy", "graded accuracy"),
}


def model_card(folder: str | Path, repo_id: str | None = None) -> str:
    """Return the card of a folder that `save_pretrained` or `train` wrote, in Markdown.

    Args:
        folder: the model; its `run.json` and its records are used if they are there.
        repo_id: the hub id that it will have.

    Raises:
        AdapterError: if there is no model in the folder.
    """
    folder = Path(folder)
    config = read_saved(folder)
    method = _method(config)
    records = _records(folder)
    title = repo_id.split("/")[-1] if repo_id else f"{method} on {config.backbone}"
    facts: dict[str, Any] = {"results": ""}
    if records is not None:
        facts = {
            "results": results_table(records),
            "seeds": records["seed"].nunique(),
            "examples": records.groupby("split").size().min(),
        }
    card = ModelCard.from_template(
        _data(config, method, title, records),
        template_str=TEMPLATE.read_text(encoding="utf-8"),
        title=title,
        what=_what(config, method),
        source=repo_id or str(folder),
        other_tools=_other_tools(config),
        settings={name: _in_cell(json.dumps(v)) for name, v in _settings(folder, config).items()},
        **facts,
    )
    return f"{card}\n"


def results_table(records: pd.DataFrame, metric: str = "graded") -> str:
    """Return means with 95 % intervals in Markdown: a row a task and method, a column a split."""
    table = summarise(records, ("task", "method", "split"), metric)
    splits = list(dict.fromkeys(table["split"]))
    lines = [
        f"| task | method | {' | '.join(splits)} |",
        "|" + "---|" * (2 + len(splits)),
    ]
    for (task, method), rows in table.groupby(["task", "method"], sort=False):
        by_split = rows.set_index("split")
        cells = [
            "{mean:.2f} [{low:.2f}, {high:.2f}]".format(**by_split.loc[split])
            if split in by_split.index
            else "-"
            for split in splits
        ]
        lines.append(f"| {task} | `{_in_cell(method)}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _data(config: Saved, method: str, title: str, records: pd.DataFrame | None) -> ModelCardData:
    """Return the card's front matter, which the hub's search reads."""
    latents = isinstance(config, AdapterConfig) or TABLES_NAME in config.sha256
    known_to_peft = not latents and method != "full"
    on_the_hub = config.backbone.count("/") == 1 and not Path(config.backbone).exists()
    return ModelCardData(
        library_name="peft" if known_to_peft else "latent-workbench",
        pipeline_tag="text-generation",
        tags=["latent-tokens" if latents else method.split("-")[0]],
        base_model=config.backbone if on_the_hub else None,
        model_name=title if records is not None else None,
        eval_results=None if records is None else _eval_results(records),
    )


def _eval_results(records: pd.DataFrame) -> list[EvalResult]:
    """Return mean scores by task and split, as the hub's index of models keeps them."""
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=str(task),
            dataset_name=str(task),
            dataset_split=str(split),
            metric_type=kind,
            metric_name=name,
            metric_value=round(float(rows[column].mean()), 4),
        )
        for (task, split), rows in records.groupby(["task", "split"], sort=False)
        for column, (kind, name) in METRICS.items()
    ]


def _records(folder: Path) -> pd.DataFrame | None:
    """Read the model's records; None if it was not evaluated."""
    if not has_file(folder, RECORDS_FILE):
        return None
    records = current_records(folder)
    if records.empty:
        return None
    return records if "seed" in records.columns else records.assign(seed=0)


def _settings(folder: Path, config: Saved) -> dict[str, Any]:
    """Read the notes of the model, and settings and outcome of its run."""
    found: dict[str, Any] = dict(config.notes)
    if has_file(folder, RUN_FILE):
        run = read_run(folder)
        found |= {k: v for k, v in run["settings"].items() if isinstance(v, int | float | str)}
        found |= {k: run[k] for k in ("status", "loss", "seconds", "trainable") if k in run}
    return found


def _in_cell(text: str) -> str:
    """Return text for a table's cell, which a bar would end, also between backquotes."""
    return text.replace("|", "\\|")


def _method(config: Saved) -> str:
    if isinstance(config, AdapterConfig):
        return str(config.notes.get("method", config.layout))
    return config.method


def _other_tools(config: Saved) -> str:
    """What can load the files besides this library."""
    if isinstance(config, AdapterConfig):
        return ""
    if TABLES_NAME in config.sha256:
        return "PEFT can load its part of the files, without the latent tokens."
    return "PEFT or Transformers can also load the files."


def _what(config: Saved, method: str) -> str:
    if not isinstance(config, AdapterConfig):
        what = f"The baseline `{method}`"
        if TABLES_NAME in config.sha256:
            what = f"Latent tokens, and what trained beside them in the backbone: `{method}`"
    else:
        layout = LatentLayout.parse(config.layout)
        groups = ", ".join(f"{group.count} at `{group.name}`" for group in layout.groups)
        numbers = layout.num_latents * config.hidden_size
        what = (
            f"Latent tokens ([arXiv 2505.12629](https://arxiv.org/abs/2505.12629)) in the layout "
            f"`{layout}`: {groups or 'none'}; {numbers} trainable parameters"
        )
    versions = ", ".join(f"{name} {number}" for name, number in config.versions.items())
    return (
        f"{what}, for the frozen backbone `{config.backbone}` (fingerprint "
        f"`{config.backbone_fingerprint}`, D={config.hidden_size}). It loads on no other backbone. "
        f"Made with {versions or 'unknown versions'}."
    )


# --- the upload -----------------------------------------------------------------------------------

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
