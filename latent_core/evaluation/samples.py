"""Several responses to each prompt: how often one is right, whether any is, and what most say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from latent_core.errors import SettingError, whole_number
from latent_core.evaluation.evaluate import BATCH_SIZE, Asking
from latent_core.models.steered import SteeredModel
from latent_core.tasks.base import Task

__all__ = ["evaluate_samples", "pass_at"]


def evaluate_samples(
    model: SteeredModel,
    task: Task,
    splits: str | Iterable[str] = ("id", "ood"),
    examples: int = 100,
    samples: int = 8,
    eval_seed: int = 1,
    *,
    seed: int = 0,
    shots: int | None = None,
    batch_size: int = BATCH_SIZE,
    progress: bool = True,
    **settings: Any,
) -> pd.DataFrame:
    """Answer each example several times, with sampling, and score every response.

    Args:
        model: the model, with whatever latents it has.
        task: examples and verifier.
        splits: split names; `ood` stands for every OOD level.
        examples: per split.
        samples: responses to each example.
        eval_seed: draws the examples, as in `evaluate`.
        seed: of the sampling. A response does not depend on what else is asked.
        shots: solved training examples in front of each prompt; by default as many as the model's
            method has.
        batch_size: responses decoded side by side; more where an example has more samples.
        progress: show a bar with the time left.
        settings: of `LatentModel.generate`, such as `temperature`, `top_p` or `top_k`. By default
            tokens are drawn from the whole distribution, at temperature 1.

    Returns:
        one row per example and sample: the columns of `evaluate`, and sample (0 to samples - 1).
        `pass_at` makes one row per example of it.

    Raises:
        TaskError: for a split that the task does not have.
        SettingError: for a number out of its range, or a setting of `generate` that is unknown.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> task = lc.load_task("repetition")
        >>> frame = lc.evaluate_samples(model, task, "id", 2, samples=3, progress=False)
        >>> frame[["example", "sample"]].values.tolist()
        [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    """
    samples = whole_number("samples", samples, 1)
    if settings.get("do_sample") is False or "num_return_sequences" in settings:
        raise SettingError(
            "evaluate_samples draws each response, `samples` of them; expected no do_sample=False "
            "and no num_return_sequences. For greedy responses use evaluate"
        )
    asked = {"do_sample": True, "top_k": 0, "seed": seed, "num_return_sequences": samples}
    shots = model.shots if shots is None else shots
    asking = Asking(model, task, examples, eval_seed, shots, samples, asked | settings)
    size = whole_number("batch_size", batch_size, 1)
    frame = asking.ask(splits, max(1, size // samples), progress)
    return frame.assign(sample=frame.groupby(["split", "example"], sort=False).cumcount())


def pass_at(frame: pd.DataFrame, k: Sequence[int] = ()) -> pd.DataFrame:
    """Whether any of k responses is right, and what the majority says, for each example.

    pass@k is the chance that k of an example's n samples, drawn without replacement, have a right
    one: 1 - C(n - c, k) / C(n, k) with c right ones (Chen et al. 2021, arXiv 2107.03374), which is
    unbiased. The majority is the most frequent response as text, without white space around it;
    where several are as frequent, one of them is drawn, and its chance to be right is given.

    Args:
        frame: records of `evaluate_samples`, of one model or of several.
        k: numbers of responses; by default 1 and all samples.

    Returns:
        one row per example: its columns of `evaluate` that all samples share, samples, graded (mean
        over samples), exact (share of right samples, which is pass@1), majority, and pass_at_K for
        each k. `summarise(..., metric="pass_at_4")` gives means with intervals.

    Raises:
        SettingError: if records are not of `evaluate_samples`, examples differ in their number of
            samples, or a k is not between 1 and that number.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> task = lc.load_task("repetition")
        >>> frame = lc.evaluate_samples(model, task, "id", 2, samples=4, progress=False)
        >>> lc.pass_at(frame, k=(1, 2))[["samples", "pass_at_1", "pass_at_2"]].shape
        (2, 3)
    """
    if "sample" not in frame.columns:
        raise SettingError(
            "the records have no column 'sample'; expected those of evaluate_samples"
        )
    by = [name for name in _BY if name in frame.columns]
    groups = frame.groupby(by, sort=False, dropna=False)
    sizes = groups.size()
    if sizes.nunique() != 1:
        raise SettingError(
            f"examples have {sizes.min()} to {sizes.max()} samples; expected as many of each"
        )
    count = int(sizes.iloc[0])
    wanted = dict.fromkeys([whole_number("k", one, 1) for one in k or (1, count)])
    if max(wanted) > count:
        raise SettingError(
            f"k is {max(wanted)}; expected at most {count}, the samples of an example"
        )
    shared = [name for name in frame.columns if name in _SHARED and name not in by]
    made = groups[shared].first()
    made["samples"] = count
    made["graded"] = groups["graded"].mean()
    made["exact"] = groups["exact"].mean()
    made["majority"] = groups[["response", "exact"]].apply(_majority)
    right = groups["exact"].sum().astype(int)
    for one in wanted:
        missed = [math.comb(count - number, one) / math.comb(count, one) for number in right]
        made[f"pass_at_{one}"] = 1 - np.array(missed)
    return made.reset_index()


def _majority(rows: pd.DataFrame) -> float:
    """The chance that the most frequent response is right; of several, any is as likely."""
    found = rows.groupby(rows["response"].str.strip())["exact"].agg(["size", "mean"])
    return float(found.loc[found["size"] == found["size"].max(), "mean"].mean())


_BY = ("run", "task", "task_fingerprint", "backbone", "method", "seed", "split", "example")
_SHARED = (
    *("path", "layout", "shots", "level", "key", "prompt", "answer", "trainable", "eval_seed"),
    "dtype",
)
