"""The runs that ship with the package: adapters, and the records of their evaluation.

They lie in `assets/adapters/BACKBONE/TASK/METHOD/seed-N` and are copied there by
`experiments/ship.py` from the folder of a grid. Knows folders only.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from latent_core.adapters.adapter import CONFIG_NAME
from latent_core.errors import AdapterError
from latent_core.wording import did_you_mean

__all__ = ["SHIPPED", "ShippedAdapter", "shipped_adapter", "shipped_adapters"]

SHIPPED = Path(__file__).parents[1] / "assets" / "adapters"


class ShippedAdapter(NamedTuple):
    """One adapter of the package.

    Attributes:
        backbone, task, method: what it is for.
        seed: it was trained with.
        path: its run folder: adapter, `run.json`, `records.parquet`.
    """

    backbone: str
    task: str
    method: str
    seed: int
    path: Path


def shipped_adapters() -> list[ShippedAdapter]:
    """All of them, in alphabetical order, seed by seed."""
    found = []
    for config in SHIPPED.glob(f"*/*/*/seed-*/{CONFIG_NAME}"):
        *_, backbone, task, method, seed = (folder := config.parent).parts
        found.append(ShippedAdapter(backbone, task, method, int(seed.split("-")[1]), folder))
    return sorted(found)


def shipped_adapter(
    method: str, task: str = "repetition", backbone: str = "smollm2-135m", seed: int = 0
) -> Path:
    """The folder of one adapter, as `LatentModel.from_pretrained` takes it.

    Raises:
        AdapterError: if there is none, with what there is.
    """
    for adapter in shipped_adapters():
        if adapter[:4] == (backbone, task, method, seed):
            return adapter.path
    here = [a.method for a in shipped_adapters() if a[:2] == (backbone, task) and a.seed == seed]
    raise AdapterError(
        f"no adapter {method!r} ships for {backbone} on {task}, seed {seed}"
        f"{did_you_mean(method, here)} There are: {', '.join(here) or 'none'} "
        "(`lc.shipped_adapters()` lists all). Train one with "
        f"`latent train --backbone {backbone} --task {task} --method {method} --out DIR`"
    )
