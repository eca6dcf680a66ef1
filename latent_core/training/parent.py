"""The earlier runs that a training goes on from: a parent, or the run itself if it is finished.

A run takes its first weights from a parent. Of a finished run, the weights, the log and the step
that it kept are taken over.
"""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Final, NamedTuple, Self

import pandas as pd

from latent_core.adapters.digest import saved_digest
from latent_core.adapters.locate import locate
from latent_core.adapters.saved import read_saved
from latent_core.archives.folders import real_folder
from latent_core.errors import AdapterError, SettingError
from latent_core.models.latent import LatentModel
from latent_core.models.provenance import backbone_for
from latent_core.models.steered import SteeredModel
from latent_core.runs.checkpoints import LOSS_COLUMN
from latent_core.runs.folder import read_run
from latent_core.runs.own_files import LOG_FILE
from latent_core.training.result import Kept

__all__ = ["LOG_COLUMNS", "STAGE_COLUMN", "Parent", "kept_step", "load_trained", "read_log"]


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


# --- a finished run -------------------------------------------------------------------------------

LOG_COLUMNS: Final = ["step", "loss", "learning_rate", "grad_norm"]
"""Columns of every run's log."""

STAGE_COLUMN: Final = "stage"
"""A further column, of a run with a curriculum."""

_FURTHER: Final = (LOSS_COLUMN, STAGE_COLUMN)


def load_trained(model: SteeredModel, folder: Path) -> None:
    """Take over what a finished run has trained.

    Raises:
        AdapterError: if it is missing, damaged, or of another backbone or method.
    """
    backbone_for(folder, read_saved(folder), model.backbone)
    model.load_weights(folder)


def read_log(folder: Path) -> pd.DataFrame:
    """The log of a finished run.

    Warns:
        UserWarning: if it is missing or damaged; the log is empty then.
    """
    try:
        log = pd.read_csv(folder / LOG_FILE)
        return log[[*LOG_COLUMNS, *(one for one in log.columns if one in _FURTHER)]]
    except (OSError, ValueError, KeyError) as error:
        warnings.warn(
            f"{folder / LOG_FILE} is missing or damaged ({error}), so the run is loaded without "
            "its log",
            stacklevel=3,
        )
        return pd.DataFrame(columns=LOG_COLUMNS, dtype=float)


def kept_step(folder: Path) -> Kept | None:
    """The step whose vectors a finished run kept, if it had patience."""
    said = read_run(folder).get("kept")
    return None if said is None else Kept(**said)
