"""Pairs of prompts that differ in one edit: does the model's answer follow it?

A model that answers by the list in its prompt gives the new answer after an edit. A model that
guesses, or that goes by what it has seen in training, does not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from latent_core.errors import SettingError, TaskError
from latent_core.evaluation.evaluate import evaluate
from latent_core.interventions.base import Intervention
from latent_core.interventions.kinds import parse_intervention
from latent_core.interventions.running import running
from latent_core.models.latent import LatentModel
from latent_core.models.steered import SteeredModel
from latent_core.tasks.base import Example, Score, Task

__all__ = ["follow_edits"]

_KEPT: Final = [
    *("task", "task_fingerprint", "backbone", "method", "layout", "split", "level", "example"),
    *("key", "prompt", "answer", "response", "exact", "eval_seed"),
]


def follow_edits(
    model: SteeredModel,
    task: Task,
    splits: str | Iterable[str] = "id",
    examples: int = 100,
    eval_seed: int = 1,
    *,
    intervention: Intervention | str = "none",
    **settings: Any,
) -> pd.DataFrame:
    """Answer prompts, and the same prompts after one edit that changes the answer.

    Args:
        model: the model.
        task: a task with edits, such as `hops` or `reach`; see `Task.edited`.
        splits: split names; `ood` stands for every OOD level.
        examples: per split.
        eval_seed: draws the examples.
        intervention: holds while both prompts are answered.
        settings: further arguments of `evaluate`, such as `batch_size`.

    Returns:
        one row per pair: the columns of `evaluate` that identify it; `prompt`, `answer`,
        `response` and `exact` of the prompt as drawn; the same with `edited_` in front after the
        edit; `follows`, whether both answers are right; and `stays`, whether the answer after the
        edit is still that of the prompt as drawn.

    Raises:
        TaskError: if the task has no edits.
        SettingError: for an intervention on a model without latents.

    Example:
        >>> import latent_core as lc
        >>> frame = lc.follow_edits(
        ...     lc.LatentModel("tiny", "End_2"), lc.load_task("hops"), examples=2, progress=False
        ... )
        >>> frame[["answer", "edited_answer"]].values.tolist()
        [['0.', '1.'], ['6.', '0.']]
    """
    change = parse_intervention(intervention)
    with contextlib.ExitStack() as stack:
        if str(change) != "none":
            if not isinstance(model, LatentModel):
                raise SettingError(
                    f"{model.method} has no latents to intervene on; expected intervention=none"
                )
            stack.enter_context(running(model, change.apply, str(change), lambda _: None))
        before = evaluate(model, task, splits, examples, eval_seed, **settings)
        after = evaluate(model, _Edited(task), splits, examples, eval_seed, **settings)
    frame = before[_KEPT].copy()
    for name in ("prompt", "answer", "response", "exact"):
        frame[f"edited_{name}"] = after[name]
    frame["follows"] = before["exact"] & after["exact"]
    # The old answer as a response to the edited prompt, judged as one to the prompt as drawn.
    drawn = {split: task.examples(split, examples, eval_seed) for split in frame["split"].unique()}
    frame["stays"] = [
        task.score(drawn[split][number], response).exact
        for split, number, response in zip(
            frame["split"], frame["example"], frame["edited_response"], strict=True
        )
    ]
    return frame


class _Edited(Task):
    """A task whose examples are those of another after their edits."""

    def __init__(self, task: Task) -> None:
        self._task = task
        for name in ("name", "description", "demand", "hypothesis", "level_name", "open_ended"):
            setattr(self, name, getattr(task, name))
        self.exact_metric, self.graded_metric = task.exact_metric, task.graded_metric
        self.id_levels, self.ood_levels = task.id_levels, task.ood_levels
        self.step_end, self.split_rule = task.step_end, task.split_rule

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of the task as drawn."""
        return self._task.splits

    @property
    def splits_said(self) -> str:
        """Those of the task as drawn."""
        return self._task.splits_said

    def has_split(self, name: str) -> bool:
        """Whether the task as drawn has it."""
        return self._task.has_split(name)

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        """See `Task.examples`; each after its edit."""
        found = []
        for example in self._task.examples(split, count, seed):
            edited = self._task.edited(example)
            if edited is None:
                raise TaskError(
                    f"task {self.name!r} has no edits that change an answer; expected a task such "
                    "as hops or reach"
                )
            found.append(edited)
        return found

    def score(self, example: Example, response: str) -> Score:
        """See `Task.score`."""
        return self._task.score(example, response)

    def roles(self, example: Example) -> Mapping[str, Sequence[tuple[int, int]]]:
        """See `Task.roles`."""
        return self._task.roles(example)
