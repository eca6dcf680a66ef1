"""What a folder's records hold already, and how new ones join them: nothing is lost unawares.

`attrs["evaluation"]` of records says what each split was asked:

    {"splits": {"id": {"examples": 500, "seed": 1}, "ood-6": {"examples": 100, "seed": 1}}}

Knows data frames; nothing of files, and nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from latent_core.errors import SettingError
from latent_core.tasks.base import Example
from latent_core.wording import counted

__all__ = ["asked_of", "by_split", "check_loss", "hold_answers_to", "joined", "seed_of"]


def by_split(evaluation: Any) -> dict[str, Any] | None:
    """An `attrs["evaluation"]` as above; one of an older version asked every split the same."""
    if not isinstance(evaluation, dict) or "splits" not in evaluation:
        return None
    splits = evaluation["splits"]
    if isinstance(splits, Mapping):
        return {"splits": dict(splits)}
    asked = {name: evaluation.get(name) for name in ("examples", "seed")}
    return {"splits": {split: dict(asked) for split in splits}}


def asked_of(frame: pd.DataFrame) -> dict[str, Any]:
    """What each split of these records was asked, as far as the records say it."""
    asked = (by_split(frame.attrs.get("evaluation")) or {"splits": {}})["splits"]
    return {str(split): asked[split] for split in frame["split"].unique() if split in asked}


def seed_of(rows: pd.DataFrame) -> int | None:
    """What drew the examples of these records; None where they do not say it, or differ."""
    seeds = rows["eval_seed"].dropna().unique() if "eval_seed" in rows.columns else []
    return int(seeds[0]) if len(seeds) == 1 else None


def check_loss(before: pd.DataFrame, split: str, count: int, seed: int | None, of: str) -> None:
    """Refuse answers that would take the place of more answers, or of those to others' draws.

    Args:
        before: the records that are there.
        split: that was asked anew, or would be.
        count: how many examples it would have.
        seed: what drew them; None if that is not known.
        of: what the records are of, for the error.

    Raises:
        SettingError: if something would be lost.
    """
    rows = before[before["split"] == split]
    drawn_by = seed_of(rows)
    other = None not in (seed, drawn_by) and seed != drawn_by
    if len(rows) > count or (other and len(rows)):
        seeds = [f" (seed {number})" if number is not None else "" for number in (drawn_by, seed)]
        raise SettingError(
            f"{of} has records of {counted(len(rows), 'example')}{seeds[0]} of split {split!r}, "
            f"and {count:,} new ones{seeds[1]} would replace them; expected at least as many "
            "examples with the same seed. To delete the old records, use --replace or replace=True"
        )


def hold_answers_to(
    before: pd.DataFrame,
    examples: Sequence[Example],
    seed: int,
    shots: int,
    deterministic: bool = False,
) -> bool:
    """Whether the records answer these very examples of a split, as the task has them now.

    Args:
        before: the records that are there.
        examples: of one split.
        seed: what drew them.
        shots: solved examples in front of each prompt.
        deterministic: whether each has to be answered by itself; older records do not say it.
    """
    rows = before[before["split"].isin({example.split for example in examples})]
    needed = {"example", "prompt", "answer", "shots"}
    if seed_of(rows) != seed or not needed <= set(rows.columns) or set(rows["shots"]) != {shots}:
        return False
    if deterministic and ("batch_size" not in rows.columns or set(rows["batch_size"]) != {1}):
        return False
    rows = rows.sort_values("example")
    there = list(zip(rows["prompt"], rows["answer"], strict=True))
    return there == [(example.prompt, example.answer) for example in examples]


def joined(before: pd.DataFrame | None, frame: pd.DataFrame) -> pd.DataFrame:
    """Records in which the splits of `frame` stand in place of those of before; others stay."""
    if before is None:
        before = frame.iloc[:0]
    kept = before[~before["split"].isin(set(frame["split"]))]
    parts = [part.copy() for part in ((kept, frame) if len(kept) else (frame,))]
    asked = {split: how for part in parts for split, how in asked_of(part).items()}
    for part in parts:
        part.attrs = {}  # they differ, and what is kept is said of the whole
    whole = pd.concat(parts, ignore_index=True)
    order = list(whole["split"].unique())
    if len(parts) > 1:
        order.sort(key=_by_distance)
        whole = whole.sort_values("split", key=lambda split: split.map(order.index), kind="stable")
        whole = whole.reset_index(drop=True)
    whole.attrs = before.attrs | frame.attrs
    whole.attrs.pop("evaluation", None)
    if asked:
        whole.attrs["evaluation"] = {"splits": {s: asked[s] for s in order if s in asked}}
    return whole


def _by_distance(split: str) -> tuple[int, int]:
    """Sorts OOD splits by their levels and then OOD names, after the others as they come."""
    level = split.removeprefix("ood-")
    if level == split:
        return 0, 0
    return (1, int(level)) if level.isdigit() else (2, 0)
