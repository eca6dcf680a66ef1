"""The README of a saved model: what it is, what it was made for, how it did, how to use it.

Written from the folder's own files alone, so that it says nothing that was not done. Knows files
and records; nothing of models.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from latent_core.adapters.adapter import AdapterConfig
from latent_core.adapters.saved import Saved, read_saved
from latent_core.archives.folders import has_file, read_frame
from latent_core.runs.folder import RECORDS_FILE, RUN_FILE, read_run
from latent_core.slots.layout import LatentLayout
from latent_core.statistics.means import summarise

__all__ = ["CARD_NAME", "model_card", "results_table"]

CARD_NAME = "README.md"


def model_card(folder: str | Path, repo_id: str | None = None) -> str:
    """The card of a folder that `save_pretrained` or `train` wrote, in Markdown.

    Args:
        folder: its `run.json` and `records.parquet` are told of, if they are there.
        repo_id: the hub id it is going to have.

    Raises:
        AdapterError: if there is no model in the folder.
    """
    folder = Path(folder)
    config = read_saved(folder)
    method = _method(config)
    latents = isinstance(config, AdapterConfig)
    title = repo_id.split("/")[-1] if repo_id else f"{method} on {config.backbone}"
    parts = [
        _front_matter(config, method),
        f"# {title}",
        _what(config, method),
        "## Use",
        _use(repo_id or str(folder), latents),
        "## Training",
        _training(folder, config),
        "## Results",
        _results(folder),
    ]
    return "\n\n".join(parts) + "\n"


def results_table(records: pd.DataFrame, metric: str = "graded") -> str:
    """Means with 95 % intervals, one row a task and method, one column a split, in Markdown."""
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


def _in_cell(text: str) -> str:
    """Text for a table's cell, which a bar would end, also within backquotes."""
    return text.replace("|", "\\|")


def _method(config: Saved) -> str:
    if isinstance(config, AdapterConfig):
        return str(config.notes.get("method", config.layout))
    return config.method


def _front_matter(config: Saved, method: str) -> str:
    known_to_peft = not isinstance(config, AdapterConfig) and method != "full"
    lines = [
        "---",
        f"library_name: {'peft' if known_to_peft else 'latent-workbench'}",
        "pipeline_tag: text-generation",
        "tags:",
        "- latent-tokens" if isinstance(config, AdapterConfig) else f"- {method.split('-')[0]}",
    ]
    if config.backbone.count("/") == 1 and not Path(config.backbone).exists():
        lines.append(f"base_model: {config.backbone}")
    return "\n".join([*lines, "---"])


def _what(config: Saved, method: str) -> str:
    if not isinstance(config, AdapterConfig):
        what = f"The baseline `{method}`"
    else:
        layout = LatentLayout.parse(config.layout)
        groups = ", ".join(f"{group.count} at `{group.name}`" for group in layout.groups)
        numbers = layout.num_latents * config.hidden_size
        what = (
            f"Latent tokens ([arXiv 2505.12629](https://arxiv.org/abs/2505.12629)) in the layout "
            f"`{layout}`: {groups or 'none'}; {numbers} trainable numbers"
        )
    versions = ", ".join(f"{name} {number}" for name, number in config.versions.items())
    return (
        f"{what}, for the frozen backbone `{config.backbone}` (fingerprint "
        f"`{config.backbone_fingerprint}`, D={config.hidden_size}). It is loaded on no other. "
        f"Made with {versions or 'unknown versions'}."
    )


def _use(source: str, latents: bool) -> str:
    also = "" if latents else "\n\nThe files are in the usual format as well: PEFT or Transformers."
    return (
        "```python\nimport latent_core as lc\n\n"
        f'model = lc.load_model("{source}")\nmodel.generate("...")\n```{also}'
    )


def _training(folder: Path, config: Saved) -> str:
    notes: dict[str, Any] = dict(config.notes)
    if has_file(folder, RUN_FILE):
        run = read_run(folder)
        notes |= {k: v for k, v in run["settings"].items() if isinstance(v, int | float | str)}
        notes |= {k: run[k] for k in ("status", "loss", "seconds", "trainable") if k in run}
    if not notes:
        return "Nothing was recorded."
    rows = [f"| {name} | {_in_cell(json.dumps(value))} |" for name, value in notes.items()]
    return "\n".join(["| setting | value |", "|---|---|", *rows])


def _results(folder: Path) -> str:
    if not has_file(folder, RECORDS_FILE):
        return "Not evaluated."
    records = read_frame(folder)
    if "seed" not in records.columns:
        records = records.assign(seed=0)
    seeds, examples = records["seed"].nunique(), records.groupby("split").size()
    return (
        f"{results_table(records)}\n\nGraded accuracy, mean and 95 % interval; training seeds: "
        f"{seeds}; {examples.min()} examples per split. With one seed the interval is about this "
        "one model."
    )
