"""Paired records: two conditions side by side, example by example, or an error with the reason.

The records are data frames of `evaluate` with a further column `seed`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from latent_core.errors import SettingError
from latent_core.hypotheses.claim import Hypothesis
from latent_core.statistics.inference import Effect, paired_effect
from latent_core.statistics.task_names import FINGERPRINT
from latent_core.tasks.base import Task

__all__ = ["check_records", "effect_of", "p_short_of", "pair"]

_ID = ["seed", "split", "example", "key"]


def check_records(hypothesis: Hypothesis, frame: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return the records of one condition that a hypothesis needs.

    Args:
        hypothesis: says task, splits and metric.
        frame: records of one condition.
        what: the condition, for errors.

    Raises:
        SettingError: if a column, a split or a metric is missing, an example is there twice, or the
            records are of another task or of several backbones.
    """
    metric = hypothesis.metric
    if missing := {*_ID, metric} - set(frame.columns):
        raise SettingError(
            f"the records of {what} have no column {', '.join(sorted(missing))}; expected those of "
            "`evaluate`, with the training seed in `seed`"
        )
    task = hypothesis.loaded_task
    if others := _other_tasks(task, frame):
        raise SettingError(
            f"the records of {what} are of task {', '.join(map(repr, others))}; expected "
            f"{task.name!r} ({task.fingerprint[:8]}) alone"
        )
    backbones = sorted(map(str, frame["backbone"].unique())) if "backbone" in frame else []
    if len(backbones) > 1:
        raise SettingError(
            f"the records of {what} are of backbone {', '.join(map(repr, backbones))}; expected "
            "one alone"
        )
    kept = frame[frame["split"].isin(list(hypothesis.terms))]
    if absent := set(hypothesis.terms) - set(kept["split"]):
        have = ", ".join(map(str, frame["split"].unique())) or "none"
        raise SettingError(
            f"the records of {what} lack split {', '.join(sorted(absent))}; they have {have}"
        )
    if kept.duplicated(_ID[:3]).any():
        raise SettingError(
            f"the records of {what} hold an example of one seed twice; expected each once. Were "
            "runs of several settings put together? Choose one with where=..."
        )
    if kept[metric].isna().any():
        raise SettingError(f"the records of {what} have no {metric} for some examples")
    return kept


def _other_tasks(task: Task, frame: pd.DataFrame) -> list[str]:
    """Tasks of records other than a task, by its fingerprint, or by its name where that is all."""
    if "task" not in frame:
        return []
    prints = frame[FINGERPRINT] if FINGERPRINT in frame else pd.Series(None, frame.index, object)
    seen = pd.DataFrame({"name": frame["task"], "print": prints}).drop_duplicates()
    return sorted(
        f"{name} ({one[:8]})" if isinstance(one, str) and f"({one[:8]})" not in name else str(name)
        for name, one in seen.itertuples(index=False)
        if (one != task.fingerprint if isinstance(one, str) else name != task.name)
    )


def pair(hypothesis: Hypothesis, treatment: pd.DataFrame, control: pd.DataFrame) -> pd.DataFrame:
    """Pair the records of two conditions.

    Returns:
        one row per example: seed, split, level, example, key, treatment, control, difference.

    Raises:
        SettingError: if the two conditions did not answer the same examples.
    """
    metric = hypothesis.metric
    sides = [
        check_records(hypothesis, treatment, "the treatment"),
        check_records(hypothesis, control, "the control"),
    ]
    if all("backbone" in side for side in sides):
        names = [side["backbone"].iloc[0] for side in sides]
        if names[0] != names[1]:
            raise SettingError(
                f"the treatment ran on backbone {names[0]!r} and the control on {names[1]!r}; "
                "expected one backbone"
            )
    seeds = [sorted(map(int, side["seed"].unique())) for side in sides]
    if seeds[0] != seeds[1]:
        raise SettingError(
            f"the treatment has seeds {seeds[0]} and the control {seeds[1]}; expected the same, "
            "so that every difference is within one seed"
        )
    rest = ["level"] if "level" in sides[0] else []
    left = sides[0][[*_ID, *rest, metric]]
    both = left.merge(sides[1][[*_ID, metric]], on=_ID, suffixes=("_t", "_c"))
    lost = max(len(side) for side in sides) - len(both)
    if lost:
        raise SettingError(
            f"{lost} of {max(len(side) for side in sides)} examples were not answered by both "
            "conditions: other examples, or another number of them. Evaluate both with the same "
            "splits, number of examples and evaluation seed"
        )
    found = both[[*_ID, *rest]].copy()
    found["treatment"] = both[f"{metric}_t"].astype(float)
    found["control"] = both[f"{metric}_c"].astype(float)
    found["difference"] = found["treatment"] - found["control"]
    return found


def effect_of(
    hypothesis: Hypothesis,
    frame: pd.DataFrame,
    column: str = "difference",
    confidence: float = 0.95,
    exact: bool = False,
) -> Effect:
    """Estimate the effect of a hypothesis from the rows of `pair`."""
    names = list(hypothesis.terms)
    strata = frame["split"].map({name: number for number, name in enumerate(names)})
    # An interaction's two splits, or OOD levels, never share an example: the key says which split.
    keys = frame["split"].astype(str) + "|" + frame["example"].astype(str) + "|" + frame["key"]
    return paired_effect(
        frame[column].to_numpy(float),
        frame["seed"].to_numpy(),
        keys.to_numpy(),
        strata.to_numpy(np.intp),
        list(hypothesis.terms.values()),
        confidence,
        exact=exact,
    )


def p_short_of(hypothesis: Hypothesis, frame: pd.DataFrame, column: str = "difference") -> float:
    """Return the one-sided p-value of the null that the effect reaches the smallest effect.

    It is small if the effect falls short. The smallest effect is subtracted from every record that
    counts for the estimate, and the rest is tested against zero.
    """
    for_it = frame["split"].map(hypothesis.terms) > 0
    least = hypothesis.sign * hypothesis.smallest_effect
    left = effect_of(hypothesis, frame.assign(left=frame[column] - least * for_it), "left")
    return left.p / 2 if hypothesis.sign * left.mean < 0 else 1 - left.p / 2
