"""The run that another one starts from: its weights, and how it is recorded."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple, Self

from latent_core.adapters.digest import saved_digest
from latent_core.adapters.locate import locate
from latent_core.adapters.saved import read_saved
from latent_core.archives.folders import real_folder
from latent_core.errors import AdapterError, SettingError
from latent_core.models.latent import LatentModel
from latent_core.models.provenance import backbone_for
from latent_core.models.steered import SteeredModel
from latent_core.runs.folder import read_run

__all__ = ["Parent"]


class Parent(NamedTuple):
    """A run whose trained weights another run starts with.

    Attributes:
        folder: where it lies.
        identity: its id, where it has one, and the hash of its adapter.
    """

    folder: Path
    identity: dict[str, str]

    @classmethod
    def read(cls, source: str | Path, model: SteeredModel) -> Self:
        """Find a run, and check that a model can start from it.

        Args:
            source: a run folder, a name that ships, or the hub id of an adapter.
            model: what is to be trained.

        Raises:
            AdapterError: if there is no adapter, or that of another method or backbone.
        """
        folder = locate(source)
        config = read_saved(folder)
        backbone_for(folder, config, model.backbone)
        plain = isinstance(model, LatentModel) and model.companion is None
        here = str(model.placement.layout) if plain else model.method
        if config.method != here:
            raise AdapterError(
                f"{source} was trained with {config.method}, and this run trains {here}; expected "
                "a run of the same method to start from"
            )
        return cls(folder, _identity(folder))

    def give(self, model: SteeredModel) -> None:
        """Overwrite what trains with the weights of the run."""
        with real_folder(self.folder) as files:  # PEFT and Transformers read files
            model.load_weights(files)


def _identity(folder: Path) -> dict[str, str]:
    identity = {"adapter": saved_digest(folder) or ""}
    with contextlib.suppress(OSError, SettingError, KeyError):
        identity = {"run": str(read_run(folder)["id"])} | identity
    return identity
