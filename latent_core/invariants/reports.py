"""Reports of checked backbones: a versioned JSON file with a row for each name.

    {"version": 1, "backbones": [{"backbone": "tiny", "family": "llama", "passed": 91, ...}]}

`latent backbones --check NAME --report FILE` writes a row, and a row of the same name gives way. A
backbone that is refused has the reason in its row.
"""

from __future__ import annotations

import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from latent_core.backbones.backbone import Backbone
from latent_core.errors import SettingError
from latent_core.files import parse_json, write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["add_report", "read_reports", "refused_report", "report_of"]

VERSION: Final = 1
_PACKAGES: Final = ("latent-workbench", "torch", "transformers")


def report_of(backbone: Backbone, found: pd.DataFrame) -> dict[str, Any]:
    """A row on a backbone that was checked.

    Args:
        backbone: what was checked.
        found: what `check_backbone` returns.

    Returns:
        names and sizes; `passed`, a count; `failed`, layout, invariant and note of each failure;
        `not_applicable`, the names of the invariants that apply to no layout; `difference`, the
        largest relative difference of logits in float32; date and versions.
    """
    holds = found["holds"]
    failed = found[holds.eq(False).fillna(False)]
    applies = found.groupby("invariant", sort=False)["holds"].apply(lambda some: some.notna().any())
    exact = found[~found["invariant"].str.startswith("bf16") & holds.fillna(False)]
    return {
        "backbone": backbone.name,
        "family": str(backbone.model.config.model_type),
        "parameters": sum(one.numel() for one in backbone.model.parameters()),
        "hidden_size": backbone.hidden_size,
        "vocabulary_size": backbone.vocabulary_size,
        "sliding_window": backbone.has_sliding_window,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "device": backbone.device.type,
        "passed": int(holds.fillna(False).sum()),
        "failed": failed[["layout", "invariant", "note"]].to_dict("records"),
        "not_applicable": [str(name) for name, applied in applies.items() if not applied],
        "difference": float(exact["difference"].max()) if len(exact) else None,
        "seconds": round(float(found["seconds"].sum()), 1),
    } | _when()


def refused_report(name: str, reason: str) -> dict[str, Any]:
    """A row on a backbone that cannot be loaded, or on which latents would not be exact."""
    return {"backbone": name, "refused": reason} | _when()


def add_report(path: str | Path, row: dict[str, Any]) -> Path:
    """Write a row into a file of reports, in place of a row of the same backbone.

    Raises:
        SettingError: if there is such a file, and it holds something else.
        LatentError: if it cannot be written.
    """
    rows = read_reports(path) if Path(path).exists() else []
    others = [one for one in rows if one["backbone"] != row["backbone"]]
    body = {"version": VERSION, "backbones": sorted([*others, row], key=lambda r: r["backbone"])}
    return write_json(path, body)


def read_reports(path: str | Path) -> list[dict[str, Any]]:
    """Read the rows of a file of reports, by name of the backbone.

    Raises:
        SettingError: if it is no such file, or one of another version.
    """
    try:
        body = parse_json(Path(path).read_bytes())
        rows = body["backbones"]
        if body["version"] != VERSION or not all(isinstance(one["backbone"], str) for one in rows):
            raise ValueError(f"version {body['version']!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingError(
            f"{path} holds no reports of backbones ({error!r:.80}); expected a JSON file of "
            f"version {VERSION} that `latent backbones --check NAME --report FILE` has written"
        ) from error
    return list(rows)


def _when() -> dict[str, Any]:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"date": today, "versions": {name: version(name) for name in _PACKAGES}}
