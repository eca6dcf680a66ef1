"""The adapters that ship with the package, each with the records of its evaluation.

They lie in `assets/adapters/BACKBONE/TASK/METHOD` and are made by
`experiments/shipped_adapters.py`. Knows folders only.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from latent_core.adapter import CONFIG_NAME
from latent_core.errors import AdapterError

__all__ = ["SHIPPED", "ShippedAdapter", "shipped_adapter", "shipped_adapters"]

SHIPPED = Path(__file__).parent / "assets" / "adapters"


class ShippedAdapter(NamedTuple):
    """One adapter of the package.

    Attributes:
        backbone, task, method: what it is for.
        path: its folder: adapter, `run.json`, `log.csv`, `records.parquet`.
    """

    backbone: str
    task: str
    method: str
    path: Path


def shipped_adapters() -> list[ShippedAdapter]:
    """All of them, in alphabetical order."""
    folders = sorted(config.parent for config in SHIPPED.glob(f"*/*/*/{CONFIG_NAME}"))
    return [ShippedAdapter(f.parts[-3], f.parts[-2], f.parts[-1], f) for f in folders]


def shipped_adapter(method: str, task: str = "repetition", backbone: str = "smollm2-135m") -> Path:
    """The folder of one adapter, as `LatentModel.from_pretrained` takes it.

    Raises:
        AdapterError: if there is none, with what there is.
    """
    for adapter in shipped_adapters():
        if adapter[:3] == (backbone, task, method):
            return adapter.path
    have = "; ".join(" ".join(adapter[:3]) for adapter in shipped_adapters()) or "none"
    raise AdapterError(
        f"no adapter ships for {backbone} {task} {method}; there are: {have}. Train one with "
        f"`latent train --backbone {backbone} --task {task} --method {method} --out DIR`"
    )
