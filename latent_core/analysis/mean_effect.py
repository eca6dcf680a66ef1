"""The causal effect of cutting edges, over the examples of a split, with intervals.

`latent_core.analysis.tracing` cuts edges in one example. Here each example counts once, and the
intervals are about other examples of the split, for one adapter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from latent_core.analysis.tracing import trace
from latent_core.errors import whole_number
from latent_core.interventions.running import InterventionWarning
from latent_core.models.latent import LatentModel
from latent_core.statistics.means import column_means
from latent_core.tasks.base import Task

__all__ = ["mean_effect", "single_latents"]

_CELL = ["layer", "head", "group"]


def single_latents(model: LatentModel) -> list[str]:
    """Name every latent of a model, such as `Start.0` and `Comma.1`, as `mean_effect` takes them.

    Args:
        model: the model; inside an intervention's block, the model under that intervention.

    Example:
        >>> import latent_core as lc
        >>> lc.single_latents(lc.LatentModel("tiny", "Start_1+Comma_2"))
        ['Start.0', 'Comma.0', 'Comma.1']
    """
    groups = model.placement.layout.groups
    return [f"{group.name}.{member}" for group in groups for member in range(group.count)]


def mean_effect(
    model: LatentModel,
    task: Task,
    split: str,
    examples: int = 20,
    eval_seed: int = 1,
    *,
    groups: Sequence[str] | str | None = None,
    layers: Sequence[int] | int | None = None,
    heads: Sequence[int] | int | Literal["each"] | None = None,
    queries: str = "all",
    confidence: float = 0.95,
    batch_size: int = 32,
    progress: bool = True,
) -> pd.DataFrame:
    """Cut edges onto latents in each layer, and average the change of log p(answer) over examples.

    Args:
        model: the model; inside an intervention's block, the model under that intervention.
        task: gives the examples.
        split: the name of a split.
        examples: how many.
        eval_seed: draws the examples, as in `evaluate`.
        groups: what is cut, by default every group; `single_latents(model)` for each latent alone.
        layers: in which to cut, one at a time; by default every layer.
        heads: in which to cut, one at a time; `each` for every head; None cuts all heads together.
        queries: a selection; only its edges are cut.
        confidence: share of the intervals.
        batch_size: conditions that run side by side.
        progress: show a bar with the time left.

    Returns:
        one row per layer, head (missing where all are cut together) and group: mean, low and high
        of the effect in nats (Student's t over examples; below 0 where the answer needs the edges),
        and examples, the number in which some edge was cut.

    Raises:
        TaskError: if the task has no such split.
        LayoutError, SettingError: for a group, layer, head or number that does not exist.

    Example:
        >>> import latent_core as lc
        >>> model, task = lc.LatentModel("tiny", "Start_1+Comma_1"), lc.load_task("summation")
        >>> effect = lc.mean_effect(model, task, "id", examples=2, layers=1, progress=False)
        >>> effect[["layer", "group", "examples"]].values.tolist()
        [[1, 'Start', 2], [1, 'Comma', 2]]
    """
    drawn = task.examples(split, whole_number("examples", examples, 1), eval_seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InterventionWarning)  # `examples` is 0 there
        frame = trace(
            model,
            drawn,
            groups=groups,
            layers=layers,
            heads=heads,
            queries=queries,
            batch_size=batch_size,
            progress=progress,
        )
    cells = frame.loc[frame["example"] == 0, _CELL].reset_index(drop=True)
    effects = frame["effect"].where(frame["edges"] > 0, np.nan).to_numpy(np.float64)
    values = effects.reshape(len(drawn), len(cells))  # every example has the same conditions
    return cells.join(column_means(values, confidence))
