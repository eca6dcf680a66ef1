"""A task from a file of prompt/answer pairs: one JSON object a line.

    {"prompt": "Capital of France?\\n", "answer": "Paris", "split": "train", "level": 1}

`prompt` and `answer` are needed. `split` is one of train, validation, id, ood-<level>; when
no line has one, lines are split by a stable hash of their prompt into train, validation and
id, none of which is likely to stay empty from about 50 lines on. `level` is any whole number
of 0 or more; without it, an `ood-<level>` line takes it from its split and any other line
counts the comma-separated items of its answer. The whole file is read and checked at once:
the first broken line is reported by its number.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any, Final, final

from latent_core.errors import TaskError
from latent_core.tasks.base import (
    TRAIN_PERCENT,
    VALIDATION_PERCENT,
    Example,
    Score,
    Task,
    bucket_of,
    score_items,
)
from latent_core.wording import counted

_FIELDS: Final = ("prompt", "answer", "split", "level")
_SPLIT: Final = re.compile(r"train|validation|id|ood-(\d+)")
_BUCKET_SPLIT: Final = {"train": "train", "validation": "validation", "test": "id"}

#: Where the splits of a file come from.
_GIVEN: Final = "each of the split that it names; add lines of others"
_DRAWN: Final = (
    "none of which names a 'split', so that of each was drawn by a hash of its prompt: "
    f"{TRAIN_PERCENT} % for train, {VALIDATION_PERCENT} % for validation, the rest for id. About "
    "50 lines fill all three; to choose, or to have OOD splits, give every line a 'split' (train, "
    "validation, id, ood-20)"
)


@final
class JsonlTask(Task):
    """Examples from a JSONL file, scored by exact match and by leading items right."""

    hypothesis = "the user's own"
    exact_metric = "the answer, but for spaces at either end"
    graded_metric = "leading comma-separated items right / the larger of those wanted and written"
    level_name = "level"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        self.description = f"Prompt and answer pairs of {self.path.name}."
        self._by_split, drawn = _read(self.path)
        lines = counted(sum(map(len, self._by_split.values())), "line")
        self.split_rule = f"{self.path.name} has {lines}, {_DRAWN if drawn else _GIVEN}"
        ordered = sorted((s for s in self._by_split if s.startswith("ood-")), key=_level_of)
        self.ood_levels = tuple(_level_of(split) for split in ordered)
        familiar = [e for s, es in self._by_split.items() if not s.startswith("ood-") for e in es]
        self.id_levels = tuple(sorted({example.level for example in familiar}))

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits the file has."""
        return tuple(split for split in super().splits if split in self._by_split)

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        """A shuffle of the split's lines by `seed`.

        Training goes round again, reshuffled, when `count` is more than the file has; any
        other split then gives all it has, which is fewer than asked for.
        """
        self.check_request(split, count)
        lines = self._by_split[split]
        rng = random.Random(f"{split}|{seed}")
        found: list[Example] = []
        while len(found) < count:
            found.extend(rng.sample(lines, len(lines)))
            if split != "train":
                break
        return found[:count]

    def score(self, example: Example, response: str) -> Score:
        """Exact match, and the share of leading comma-separated items that are right."""
        wanted = [item.strip() for item in example.answer.split(",")]
        graded, marks = score_items(wanted, response)
        return Score(response.strip() == example.answer.strip(), graded, marks)


def _level_of(split: str) -> int:
    return int(split[len("ood-") :])


def _read(path: Path) -> tuple[dict[str, list[Example]], bool]:
    """The file's examples by split, and whether the splits were drawn, since no line has one.

    Raises `TaskError`, with the line if one is at fault.
    """
    if not path.is_file():
        raise TaskError(f"no task file at {path}; give the path of a .jsonl file")
    numbered: list[tuple[int, dict[str, Any]]] = []
    for number, raw in enumerate(path.read_bytes().split(b"\n"), start=1):
        if raw.strip():
            numbered.append((number, _parse(path, number, raw)))
    if not numbered:
        raise TaskError(f"{path} is empty; expected one JSON object on each line")
    has_split = "split" in numbered[0][1]
    by_split: dict[str, list[Example]] = {}
    first_seen: dict[str, tuple[int, str]] = {}
    for number, fields in numbered:
        if ("split" in fields) != has_split:
            raise TaskError(
                f"{path}, line {number}: some lines have a 'split' and some do not; "
                "give it on all lines, or on none to have them split by hash"
            )
        example = _example(fields, path.stem)
        seen_at, seen_in = first_seen.setdefault(example.key, (number, example.split))
        if seen_in != example.split:
            raise TaskError(
                f"{path}, line {number}: this prompt is in split {example.split!r} and, at line "
                f"{seen_at}, in {seen_in!r}; splits must not overlap, so remove one of them"
            )
        by_split.setdefault(example.split, []).append(example)
    return by_split, not has_split


def _parse(path: Path, number: int, raw: bytes) -> dict[str, Any]:
    """One line as checked fields, or a `TaskError` that names file and line."""
    where = f"{path}, line {number}"
    try:
        fields = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise TaskError(f"{where}: not UTF-8 ({error.reason}); save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise TaskError(f"{where}: not valid JSON ({error.msg}); fix the line") from error
    if not isinstance(fields, dict):
        raise TaskError(f"{where}: expected a JSON object, got {type(fields).__name__}")
    for name in ("prompt", "answer"):
        if name not in fields:
            raise TaskError(f"{where}: the field {name!r} is missing; every line needs it")
        if not isinstance(fields[name], str) or not fields[name].strip():
            raise TaskError(f"{where}: {name!r} must be text that is not empty")
    if unknown := sorted(set(fields) - set(_FIELDS)):
        raise TaskError(f"{where}: unknown field {unknown[0]!r}; known are {', '.join(_FIELDS)}")
    split, level = fields.get("split", "train"), fields.get("level", 0)
    if not isinstance(split, str) or not _SPLIT.fullmatch(split):
        raise TaskError(
            f"{where}: split must be train, validation, id or ood-<level>, got {split!r}"
        )
    if not isinstance(level, int) or isinstance(level, bool) or level < 0:
        raise TaskError(f"{where}: level must be a whole number of 0 or more, got {level!r}")
    return fields


def _example(fields: dict[str, Any], namespace: str) -> Example:
    """An example from checked fields; its key is its prompt."""
    prompt, answer = fields["prompt"], fields["answer"]
    split = fields.get("split") or _BUCKET_SPLIT[bucket_of(namespace, prompt)]
    named = _level_of(split) if split.startswith("ood-") else answer.count(",") + 1
    return Example(prompt, answer, split, fields.get("level", named), prompt)
