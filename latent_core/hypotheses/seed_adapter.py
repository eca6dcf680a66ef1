"""One adapter of a test: a method, a training seed, and the model, which is loaded when needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from latent_core.archives.folders import has_file
from latent_core.backbones.backbone import Backbone
from latent_core.backbones.loading import load_backbone
from latent_core.errors import SettingError
from latent_core.models.build import load_model
from latent_core.models.steered import SteeredModel
from latent_core.runs.evaluation_file import current_records
from latent_core.runs.find import StoredRun, find_runs
from latent_core.runs.folder import read_run
from latent_core.runs.own_files import RECORDS_FILE, RUN_FILE
from latent_core.slots.methods import Method

__all__ = ["SeedAdapter", "saved_adapter", "stored_adapter"]


@dataclass(frozen=True)
class SeedAdapter:
    """The adapter of one method and one training seed.

    Attributes:
        method: the method's name.
        seed: the training seed.
        load: returns the model; called when the model is first needed.
        folder: its run folder; None if it has none.
        versions: the libraries that it was trained with; empty if not known.
    """

    method: str
    seed: int
    load: Callable[[], SteeredModel]
    folder: Path | None = None
    versions: tuple[tuple[str, str], ...] = ()

    @cached_property
    def model(self) -> SteeredModel:
        """The model."""
        return self.load()

    @cached_property
    def records(self) -> pd.DataFrame | None:
        """The records of its evaluation; None if there are none."""
        if self.folder is None or not has_file(self.folder, RECORDS_FILE):
            return None
        return current_records(self.folder)

    @property
    def num_latents(self) -> int:
        """The number of latent vectors it places; 0 for baselines that place none."""
        return Method.parse(self.method).layout.num_latents


def stored_adapter(run: StoredRun, loaded: dict[tuple[str, str], Backbone]) -> SeedAdapter:
    """Return the adapter of a finished run.

    Args:
        run: the run.
        loaded: backbones by name and precision; a backbone that is loaded for the adapter is added.
    """
    folder, about = Path(run.path), run.about

    def load() -> SteeredModel:
        name, dtype = key = _backbone_of(run)
        if key not in loaded:
            loaded[key] = load_backbone(name, dtype=dtype)
        return load_model(folder, loaded[key])

    versions = read_run(folder).get("versions", {}) if has_file(folder, RUN_FILE) else {}
    return SeedAdapter(
        str(about["method"]), int(about["seed"]), load, folder, tuple(sorted(versions.items()))
    )


def saved_adapter(folder: Path, backbone: Backbone | None = None) -> SeedAdapter:
    """Return the only adapter in a folder.

    Raises:
        SettingError: if there are none or several.
    """
    runs = find_runs(folder)
    if len(runs) != 1:
        raise SettingError(f"{len(runs)} adapters in {folder}; expected one")
    return stored_adapter(runs[0], {} if backbone is None else {_backbone_of(runs[0]): backbone})


def _backbone_of(run: StoredRun) -> tuple[str, str]:
    """The name of a run's backbone, and the precision that it was trained in."""
    return str(run.about["backbone"]), str(run.about.get("dtype", "auto"))
