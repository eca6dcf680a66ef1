"""Saved adapters that a workbench finds: shipped ones, their titles, and the runs of one's own."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from latent_core.adapters.saved import read_saved
from latent_core.archives.folders import SHIPPED
from latent_core.errors import LatentError
from latent_core.runs.evaluation_file import overall_graded, read_summary
from latent_core.runs.shipped import ShippedAdapter, shipped_adapters
from latent_core.slots.layout import LatentLayout
from latent_core.slots.methods import Method

__all__ = ["adapter_title", "best_shipped", "runs_folder", "shipped_like"]


def adapter_title(folder: Path) -> str:
    """Name an adapter by method, task and seed, as far as it says them.

    An archive names them in its paths, which is faster to read.
    """
    if folder.is_relative_to(SHIPPED) and len(folder.parts) > 3:
        *_, task, method, seed = folder.parts
        return f"{method} ({task}, {seed.replace('-', ' ')})"
    try:
        config = read_saved(folder)
    except LatentError:  # it is gone, or damaged
        if re.fullmatch(r"seed-\d+", folder.name):
            return f"{folder.parent.name} ({folder.name.replace('-', ' ')})"
        return folder.name
    method = config.notes.get("method", config.method)
    known = (config.notes.get("task"), config.notes.get("seed"))
    about = [str(known[0])] if known[0] is not None else []
    about += [f"seed {known[1]}"] if known[1] is not None else []
    return f"{method} ({', '.join(about)})" if about else str(method)


def shipped_like(adapters: list[ShippedAdapter], backbone: str, task: str) -> list[ShippedAdapter]:
    """For a task, what ships of the same methods and seeds, or where one is missing, the best."""
    here = {(a.method, a.seed): a for a in shipped_adapters() if a[:2] == (backbone, task)}
    found = [here.get((a.method, a.seed)) or here.get((a.method, 0)) for a in adapters]
    there = [adapter for adapter in found if adapter is not None]
    return there if len(there) == len(adapters) else best_shipped(backbone, task)


def best_shipped(backbone: str, task: str) -> list[ShippedAdapter]:
    """Of the latents that ship, of the first seed, the most accurate of either kind on all splits.

    First of those that repeat, in the response as well; then of those around the prompt alone. A
    layout with options, such as `; positions=sequential`, is taken only where no plain one ships.
    """
    best: dict[bool, ShippedAdapter] = {}
    found = [
        (_is_plain(method), overall_graded(read_summary(adapter.path)), method, adapter)
        for adapter in shipped_adapters()
        if adapter[:2] == (backbone, task) and adapter.seed == 0
        if (method := Method.parse(adapter.method)).kind == "latents" and method.trained
    ]
    for _, _, method, adapter in sorted(found, key=lambda one: one[:2]):
        best[any(group.repeats for group in method.layout.groups)] = adapter
    return [best[repeats] for repeats in (True, False) if repeats in best]


def _is_plain(method: Method) -> bool:
    """Whether it is latents at places and nothing else: no option, filling or companion."""
    places = "+".join(f"{group.name}_{group.count}" for group in method.layout.groups)
    return method.companion is None and method.layout == LatentLayout.parse(places)


#: What a repository's root holds, any of them.
_MARKS: Final = ("pyproject.toml", ".git")


def runs_folder() -> Path:
    """The nearest `runs`, from the working directory up to the root of its repository.

    A notebook runs in its own folder, the command line mostly at the root: both mean the same one.
    Where there is none yet, it is one to be made at the root; outside a repository, `runs` here.

    Returns:
        the path as seen from the working directory, such as `../runs`.
    """
    here = Path.cwd()
    above = [here, *here.parents]
    marked = (n for n, folder in enumerate(above) if any((folder / m).exists() for m in _MARKS))
    within = above[: next(marked, 0) + 1]
    found = (folder / "runs" for folder in within if (folder / "runs").is_dir())
    return Path(os.path.relpath(next(found, within[-1] / "runs")))
