"""Tasks from a file of prompt/answer pairs, one JSON object a line.

    {"prompt": "Capital of France?\\n", "answer": "Paris", "split": "train", "level": 1,
     "demand": "retrieval", "metric": "exact"}

- `prompt` and `answer` are text. Every line needs them.
- `messages` in place of `prompt` is a conversation, a list of `{"role": ..., "content": ...}`. Its
  last message is the one to answer; or it is the assistant's, and then it is the answer.
- `split` is train, validation, id, ood-<level> such as ood-20, or ood-<name> such as ood-names,
  whose examples are out of distribution in another way than by their level. Give it on every line
  or on none. Without it, a stable hash of the prompt splits the lines into train, validation and
  id. About 50 lines fill all three.
- `level` is a whole number of 0 or more. Without it, an `ood-<level>` line takes the level of its
  split, and any other line counts the comma-separated items of its answer.
- `steps` is a list of texts, the written steps that lead to the answer, as in GSM8K-Aug and ProsQA.
  In a response, each step stands on a line before the answer; a response that writes steps is
  scored by what follows the last of them.
- `demand` says what the task demands of latent tokens: self-prompting (the default), retrieval or
  instruction.
- `metric` says how a response is scored: items (the default), exact, contains, numeric or regex.
  `latent_core.tasks.metrics` defines them.

`demand` and `metric` belong to the whole file: give them on one line, such as the first, or the
same on several.

The whole file is read and checked at once. An error names the first broken line. A byte order mark
at the start of the file is skipped.
"""

from __future__ import annotations

import codecs
import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, final

from latent_core.errors import PromptError, TaskError
from latent_core.files import parse_json
from latent_core.tasks.base import (
    TRAIN_PERCENT,
    VALIDATION_PERCENT,
    Example,
    Score,
    Task,
    bucket_of,
    check_demand,
    content_hash,
)
from latent_core.tasks.conversations import messages_of, prompt_and_answer
from latent_core.tasks.metrics import DEFAULT_METRIC, METRICS, Metric, metric_of
from latent_core.wording import counted

__all__ = ["FIELDS", "JsonlTask"]

FIELDS: Final = ("prompt", "messages", "answer", "split", "level", "steps", "demand", "metric")
#: Those that belong to the whole file.
_OF_THE_FILE: Final = ("demand", "metric")
#: No example has more steps.
_MOST_STEPS: Final = 1000
#: The largest level: tables hold levels as 64-bit numbers, and plots as floats.
_MOST_LEVEL: Final = 999_999_999
#: Half of a surrogate pair.
_HALF: Final = re.compile("[\ud800-\udfff]")
_SPLIT: Final = re.compile(
    r"train|validation|id|ood-(?:0|[1-9][0-9]{0,8}|[A-Za-z](?:[A-Za-z0-9_-]{0,38}[A-Za-z0-9])?)"
)
_BUCKET_SPLIT: Final = {"train": "train", "validation": "validation", "test": "id"}

#: Where the splits of a file come from.
_GIVEN: Final = "and each line names its split; to add a split, add lines that name it"
_DRAWN: Final = (
    "and no line names a 'split', so a hash of each prompt assigned the splits: "
    f"{TRAIN_PERCENT} % train, {VALIDATION_PERCENT} % validation, the rest id. About 50 lines are "
    "enough for all three. To choose the splits, or to have OOD splits, give every line a 'split' "
    "(train, validation, id, ood-20, ood-names)"
)


@final
class JsonlTask(Task):
    """Examples from a JSONL file, scored by a metric.

    Args:
        path: of the file.
        metric: name or function, in place of the file's own.
        content: of the file, if it is not written yet.
    """

    hypothesis = "the user's own"
    level_name = "level"

    def __init__(
        self,
        path: str | Path,
        metric: str | Metric | Callable[[str, str], float] | None = None,
        content: bytes | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        self.description = f"Prompt and answer pairs of {self.path.name}."
        self._by_split, drawn, stated = _read(
            self.path, _content(self.path) if content is None else content
        )
        self.demand = check_demand(stated.get("demand", Task.demand), str(self.path))
        self.metric = metric_of(stated.get("metric", DEFAULT_METRIC) if metric is None else metric)
        self.exact_metric, self.graded_metric = self.metric.exact, self.metric.graded
        self._check_answers()
        lines = counted(sum(map(len, self._by_split.values())), "line")
        self.split_rule = f"{self.path.name} has {lines} {_DRAWN if drawn else _GIVEN}"
        named = {split: _level_of(split) for split in self._by_split}
        self.ood_levels = tuple(sorted(level for level in named.values() if level is not None))
        familiar = [e for s, es in self._by_split.items() if not s.startswith("ood-") for e in es]
        self.id_levels = tuple(sorted({example.level for example in familiar}))

    @cached_property
    def fingerprint(self) -> str:
        """See `Task.fingerprint`: a hash of every line, whatever the file's path and formatting."""
        lines = [
            (split, example.prompt, example.answer, example.level, *filter(None, [example.steps]))
            for split, examples in sorted(self._by_split.items())
            for example in examples
        ]
        # A file that says nothing of metrics has the fingerprint that it had before there were any.
        scored = [] if self.metric.name == DEFAULT_METRIC else [self.metric.name]
        return content_hash([self.demand, lines, *scored])

    @property
    def counts(self) -> dict[str, int]:
        """How many examples each split has."""
        return {split: len(examples) for split, examples in self._by_split.items()}

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits that the file has, those of OOD levels before OOD names."""
        known = [split for split in super().splits if split in self._by_split]
        return (*known, *sorted(set(self._by_split) - set(known)))

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        """Return the split's lines, shuffled by `seed`.

        If `count` is more than the file has, training starts again with a new shuffle. Any other
        split gives all its lines, which are then fewer than asked for.
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
        """Score what follows the written steps by the task's metric."""
        start = self.after_steps(example, response)
        found = self.metric.score(example.answer, response[start:])
        marks = tuple(replace(m, start=m.start + start, end=m.end + start) for m in found.marks)
        return replace(found, marks=marks)

    def _check_answers(self) -> None:
        for examples in self._by_split.values():
            for example in examples:
                if wrong := self.metric.check(example.answer):
                    raise TaskError(
                        f"{self.path}: the answer {example.answer!r:.80} {wrong}, which the metric "
                        f"{self.metric.name} needs; mend it, or choose another metric"
                    )


def _level_of(split: str) -> int | None:
    """The level in the name of an OOD split; None for any other split."""
    tail = split.removeprefix("ood-")
    return int(tail) if tail != split and tail.isdigit() else None


def _read(path: Path, content: bytes) -> tuple[dict[str, list[Example]], bool, dict[str, Any]]:
    """Return the examples by split, whether a hash drew the splits, and what the file states.

    Raises:
        TaskError: naming the line if one is at fault.
    """
    numbered: list[tuple[int, dict[str, Any]]] = []
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    for number, raw in enumerate(lines, start=1):
        if raw.strip():
            numbered.append((number, _parse(path, number, raw)))
    if not numbered:
        raise TaskError(f"{path} is empty; expected one JSON object on each line")
    has_split = "split" in numbered[0][1]
    is_chat = messages_of(numbered[0][1]["prompt"]) is not None
    by_split: dict[str, list[Example]] = {}
    first_seen: dict[str, tuple[int, str]] = {}
    stated: dict[str, tuple[int, Any]] = {}
    for number, fields in numbered:
        if ("split" in fields) != has_split:
            raise TaskError(
                f"{path}, line {number}: some lines have a 'split' and some do not; "
                "give it on all lines, or on none to have them split by hash"
            )
        if (messages_of(fields["prompt"]) is not None) != is_chat:
            raise TaskError(
                f"{path}, line {number}: some lines are conversations and some are not; give "
                "'messages' on all lines, or 'prompt' on all"
            )
        for name in filter(fields.__contains__, _OF_THE_FILE):
            first, value = stated.setdefault(name, (number, fields[name]))
            if fields[name] != value:
                raise TaskError(
                    f"{path}, line {number}: {name} is {fields[name]!r} here and {value!r} at line "
                    f"{first}; a file is one task, so keep one of them"
                )
        example = _example(fields, path.stem)
        seen_at, seen_in = first_seen.setdefault(example.key, (number, example.split))
        if seen_in != example.split:
            raise TaskError(
                f"{path}, line {number}: this prompt is in split {example.split!r} and, at line "
                f"{seen_at}, in {seen_in!r}; splits must not overlap, so remove one of them"
            )
        by_split.setdefault(example.split, []).append(example)
    return by_split, not has_split, {name: value for name, (_, value) in stated.items()}


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise TaskError(f"no task file at {path}; give the path of a .jsonl file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise TaskError(
            f"cannot read the task file {path}: {error.strerror or error}; expected a file that "
            "can be read"
        ) from error


def _parse(path: Path, number: int, raw: bytes) -> dict[str, Any]:
    """Return one line as checked fields; raise a `TaskError` that names file and line."""
    where = f"{path}, line {number}"
    try:
        fields = parse_json(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise TaskError(f"{where}: not UTF-8 ({error.reason}); save the file as UTF-8") from error
    except ValueError as error:
        reason = getattr(error, "msg", error)
        raise TaskError(f"{where}: not valid JSON ({reason}); fix the line") from error
    if not isinstance(fields, dict):
        raise TaskError(f"{where}: expected a JSON object, got {type(fields).__name__}")
    _read_messages(fields, where)
    for name in ("prompt", "answer"):
        if name not in fields:
            raise TaskError(f"{where}: the field {name!r} is missing; every line needs it")
        if not isinstance(fields[name], str) or not fields[name].strip():
            raise TaskError(
                f"{where}: {name!r} must be text that is not empty, got {fields[name]!r:.80}"
            )
        if _HALF.search(fields[name]):
            raise TaskError(
                f"{where}: {name!r} has half of a surrogate pair, {fields[name]!r:.80}; write the "
                "whole character"
            )
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise TaskError(f"{where}: unknown field {unknown[0]!r:.80}; known are {', '.join(FIELDS)}")
    split, level = fields.get("split", "train"), fields.get("level", 0)
    if not isinstance(split, str) or not _SPLIT.fullmatch(split):
        raise TaskError(
            f"{where}: split must be train, validation, id, ood-<level> or ood-<name>, got "
            f"{split!r:.80}; a level has at most 9 digits and no zero in front, a name begins with "
            "a letter and has at most 40 letters, digits, - and _"
        )
    if not isinstance(level, int) or isinstance(level, bool) or not 0 <= level <= _MOST_LEVEL:
        raise TaskError(
            f"{where}: level must be a whole number from 0 to {_MOST_LEVEL:,}, got {level!r:.80}"
        )
    if "demand" in fields:
        check_demand(fields["demand"], where)
    if "metric" in fields and not (
        isinstance(fields["metric"], str) and fields["metric"] in METRICS
    ):
        raise TaskError(
            f"{where}: metric is {fields['metric']!r:.80}; expected one of {', '.join(METRICS)}"
        )
    _check_steps(fields.get("steps", []), where)
    return fields


def _read_messages(fields: dict[str, Any], where: str) -> None:
    """Put prompt and answer in the place of a conversation, and check one that is written as text.

    Raises:
        TaskError: if it is none.
    """
    try:
        if "messages" in fields:
            if "prompt" in fields:
                raise PromptError("'prompt' stands beside 'messages'; expected one of both")
            fields["prompt"], fields["answer"] = prompt_and_answer(
                fields.pop("messages"), fields.get("answer")
            )
        elif isinstance(fields.get("prompt"), str):
            messages_of(fields["prompt"])
    except PromptError as error:
        raise TaskError(f"{where}: {error}") from error


def _check_steps(steps: Any, where: str) -> None:
    if not isinstance(steps, list) or len(steps) > _MOST_STEPS:
        raise TaskError(
            f"{where}: steps must be a list of at most {_MOST_STEPS:,} texts, got {steps!r:.80}"
        )
    for step in steps:
        if not isinstance(step, str) or not step.strip() or _HALF.search(step):
            raise TaskError(
                f"{where}: a step must be text that is not empty, of whole characters, got "
                f"{step!r:.80}"
            )
        if Task.step_end in step:
            raise TaskError(
                f"{where}: a step must be one line, got {step!r:.80}; give its lines as steps"
            )


def _example(fields: dict[str, Any], namespace: str) -> Example:
    """Make an example from checked fields; its key is its prompt."""
    prompt, answer = fields["prompt"], fields["answer"]
    split = fields.get("split") or _BUCKET_SPLIT[bucket_of(namespace, prompt)]
    named = _level_of(split)
    level = fields.get("level", answer.count(",") + 1 if named is None else named)
    return Example(prompt, answer, split, level, prompt, tuple(fields.get("steps", ())))
