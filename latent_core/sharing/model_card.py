"""The model card of a saved model: the README that the Hugging Face hub shows.

It is written from the folder's own files alone, so it states nothing that was not done. The
template is `model_card.md`, beside this module.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pandas as pd
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from latent_core.adapters.adapter import AdapterConfig
from latent_core.adapters.saved import TABLES_NAME, Saved, read_saved
from latent_core.archives.folders import has_file
from latent_core.runs.evaluation_file import current_records
from latent_core.runs.folder import read_run
from latent_core.runs.own_files import RECORDS_FILE, RUN_FILE
from latent_core.slots.layout import LatentLayout
from latent_core.statistics.means import summarise

__all__ = ["CARD_NAME", "model_card", "results_table"]

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
