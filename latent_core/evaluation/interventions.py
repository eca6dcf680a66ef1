"""Evaluation of an intervention: the same examples with it and without it.

`latent_core.statistics` compares the pairs of records.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import pandas as pd

from latent_core.errors import SettingError
from latent_core.evaluation.evaluate import evaluate
from latent_core.interventions.base import Intervention
from latent_core.interventions.kinds import parse_intervention
from latent_core.interventions.running import InterventionWarning, running
from latent_core.models.latent import LatentModel
from latent_core.tasks.base import Task

__all__ = ["evaluate_intervention"]


def evaluate_intervention(
    model: LatentModel,
    task: Task,
    intervention: Intervention | str,
    splits: str | Iterable[str] = ("id", "ood"),
    examples: int = 100,
    eval_seed: int = 1,
    *,
    control: Intervention | str = "none",
    seed: int = 0,
    **settings: Any,
) -> pd.DataFrame:
    """Answer the same examples with an intervention and without.

    Args:
        model: the model; it is left as it was.
        task: examples and verifier.
        intervention: an intervention or its text form, such as `drop(Comma, after=3)`.
        splits: split names; `ood` stands for every OOD level.
        examples: per split.
        eval_seed: draws the examples.
        control: the intervention to compare with, by default none.
        seed: the seed that the model was trained with; it goes into the column `seed`, by which
            hierarchical intervals group the records.
        settings: further arguments of `evaluate`.

    Returns:
        the records of `evaluate`, two per example in order, with the further columns `method` (text
        form of the intervention or of the control), `seed`, `changed` (whether the pair's responses
        differ) and `note` (a warning, such as that nothing changed).
        `paired_difference(frame, str(intervention), str(control))` compares them.

    Warns:
        InterventionWarning: if an intervention changed nothing, or left no latents.

    Raises:
        SettingError: if both are the same, or an argument is wrong.
        LayoutError: if the model lacks a group that is named.

    Example:
        >>> import latent_core as lc
        >>> model, task = lc.LatentModel("tiny", "Start_2"), lc.load_task("repetition")
        >>> drop = "drop(Start.1)"
        >>> frame = lc.evaluate_intervention(model, task, drop, "id", examples=2, progress=False)
        >>> frame["method"].tolist()
        ['none', 'drop(Start.1)', 'none', 'drop(Start.1)']
    """
    chosen = [parse_intervention(control), parse_intervention(intervention)]
    if str(chosen[0]) == str(chosen[1]):
        raise SettingError(
            f"the intervention and its control are both {chosen[0]}; expected two different ones"
        )
    for one in chosen:  # an intervention that does not fit is refused before any answer
        with running(model, one.apply, str(one), lambda _: None):
            pass
    names = (splits,) if isinstance(splits, str) else tuple(splits)
    frames = []
    for one in chosen:
        notes: list[str] = []
        with running(model, one.apply, str(one), notes.append):
            frame = evaluate(model, task, names, examples, eval_seed, **settings)
        for note in notes:
            warnings.warn(note, InterventionWarning, stacklevel=2)
        columns = {"method": str(one), "seed": seed, "note": "; ".join(notes)}
        frames.append(frame.assign(**columns))
    differ = frames[0]["response"] != frames[1]["response"]
    both = pd.concat([frame.assign(changed=differ) for frame in frames])
    return both.sort_index(kind="stable", ignore_index=True)
