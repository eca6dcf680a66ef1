"""What a training run gives: its log, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

__all__ = ["Kept", "TrainingResult"]


class Kept(NamedTuple):
    """The step whose vectors a run with patience keeps, and why.

    Attributes:
        step: the step.
        validation_loss: at this step; the lowest of the run.
        early: whether the run ended before its last step, as the loss fell no more.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> settings = {"steps": 2, "batch_size": 2, "patience": 1, "progress": False}
        >>> lc.train(model, "repetition", **settings).kept.step
        2
    """

    step: int
    validation_loss: float
    early: bool


@dataclass(frozen=True)
class TrainingResult:
    """What a training run gave.

    Attributes:
        log: one row per step: step, loss (mean cross-entropy per response token, nats),
            learning_rate, grad_norm; and validation_loss, if it was checked, NaN between checks;
            and stage, with a curriculum. Of two parts, the learning rate is that of the tables.
        seconds: wall time of this call.
        output_dir: the run folder, or None if there is none.
        stopped: whether `on_step` ended it early. The run folder keeps its last step, and the run
            can be resumed.
        loaded: whether it was finished before, and nothing was trained.
        occurrences: mean number of occurrences of each latent group in a training example, by
            name; empty for a loaded run and for methods without latents.
        rate_from: where the learning rate comes from; empty for a loaded run.
        threads: the numbers of threads that steps were computed with, each once.
        kept: with `patience`, the step whose vectors are kept; None for the last one.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> result = lc.train(model, "repetition", steps=2, batch_size=2, progress=False)
        >>> result.log.columns.tolist()
        ['step', 'loss', 'learning_rate', 'grad_norm']
    """

    log: pd.DataFrame
    seconds: float
    output_dir: Path | None
    stopped: bool = False
    loaded: bool = False
    occurrences: Mapping[str, float] = field(default_factory=dict)
    rate_from: str = ""
    threads: tuple[int, ...] = ()
    kept: Kept | None = None

    @property
    def loss(self) -> float:
        """Mean loss of the last tenth of the steps, at least one; NaN if there is no log."""
        return float(self.log["loss"].tail(max(1, len(self.log) // 10)).mean())
