"""The runs that ship with the package: adapters, and the records of their evaluation.

`assets/adapters/BACKBONE` is an archive of the folders `TASK/METHOD/seed-N`, which
`experiments/ship.py` packs from the folders of grids. A run that ships is named by its path, as if
its folder were there, and everything that reads runs and adapters takes this path: nothing is
unpacked, so a package in a read-only place, or without a cache to write to, does as well. To look
into the files, unpack them: `latent runs unpack shipped:BACKBONE --out DIR`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from latent_core.archives.folders import SHIPPED
from latent_core.errors import AdapterError
from latent_core.runs.find import run_folders
from latent_core.runs.own_files import ADAPTER_FILE
from latent_core.slots.methods import method_name
from latent_core.wording import did_you_mean

__all__ = ["SHIPPED", "ShippedAdapter", "shipped_adapter", "shipped_adapters"]


class ShippedAdapter(NamedTuple):
    """One adapter of the package.

    Attributes:
        backbone, task, method: what it is for.
        seed: it was trained with.
        path: its run folder, which is packed: adapter, `run.json`, `records.parquet`.
    """

    backbone: str
    task: str
    method: str
    seed: int
    path: Path


def shipped_adapters() -> list[ShippedAdapter]:
    """All of them, in alphabetical order, seed by seed.

    Example:
        >>> import latent_core as lc
        >>> found = lc.shipped_adapters()
        >>> sorted({adapter.task for adapter in found if adapter.backbone == "tiny"})
        ['generation', 'hops', 'repetition', 'summation']
    """
    found = []
    for path, names in run_folders(str(SHIPPED)):
        if ADAPTER_FILE in names:
            *_, backbone, task, method, seed = (folder := Path(path)).parts
            found.append(ShippedAdapter(backbone, task, method, int(seed.split("-")[1]), folder))
    return sorted(found)


def shipped_adapter(
    method: str, task: str = "repetition", backbone: str = "smollm2-135m", seed: int = 0
) -> Path:
    """The packed folder of one adapter, as `load_model` and `load_runs` take it.

    Args:
        method: its method, such as `Start_2`.
        task: the task it was trained on.
        backbone: the backbone it was trained for.
        seed: its training seed.

    Raises:
        AdapterError: if there is none, with what there is.

    Example:
        >>> import latent_core as lc
        >>> lc.load_model(lc.shipped_adapter("Comma_2", backbone="tiny")).method
        'Comma_2'
    """
    for adapter in shipped_adapters():
        if adapter[:4] == (backbone, task, method_name(method), seed):
            return adapter.path
    here = [a.method for a in shipped_adapters() if a[:2] == (backbone, task) and a.seed == seed]
    raise AdapterError(
        f"no adapter {method!r} ships for {backbone} on {task}, seed {seed}"
        f"{did_you_mean(method, here)} There are: {', '.join(here) or 'none'} "
        "(`lc.shipped_adapters()` lists all). Train one with "
        f"`latent train --backbone {backbone} --task {task} --method {method} --out DIR`"
    )
