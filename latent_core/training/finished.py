"""What is taken over from a run that is finished: its weights, its log, the step that it kept."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import pandas as pd

from latent_core.adapters.saved import read_saved
from latent_core.models.provenance import backbone_for
from latent_core.models.steered import SteeredModel
from latent_core.runs.checkpoints import LOSS_COLUMN
from latent_core.runs.folder import read_run
from latent_core.runs.own_files import LOG_FILE
from latent_core.training.result import Kept

__all__ = ["LOG_COLUMNS", "STAGE_COLUMN", "kept_step", "load_trained", "read_log"]

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
