"""Scores of responses: items one by one, and the metrics of a task from a file, by name.

A file states its metric in the field `metric` of one line; `load_task` takes a name or a function.
Each metric is a literal entry of `METRICS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from latent_core.errors import TaskError
from latent_core.tasks.base import Mark, Score
from latent_core.wording import did_you_mean

__all__ = [
    "DEFAULT_METRIC",
    "METRICS",
    "Metric",
    "asked_entries",
    "metric_of",
    "score_items",
    "split_items",
    "until_stop",
]

DEFAULT_METRIC: Final = "items"
#: A number as it is written in running text: 1,234.5 or -3e4, and in 3-2 two of them.
_NUMBER: Final = re.compile(
    r"(?:(?<![\w)])[-+])?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
)


@dataclass(frozen=True)
class Metric:
    """A way to score a response.

    Attributes:
        name: in files and at the command line.
        exact, graded: what the two numbers of a `Score` mean.
        score: the score of a response, given the answer and the response.
        check: what is wrong with an answer for this metric; empty if nothing is.

    Example:
        >>> import latent_core as lc
        >>> lc.tasks.METRICS["contains"].exact
        'the answer stands somewhere in the response'
    """

    name: str
    exact: str
    graded: str
    score: Callable[[str, str], Score]
    check: Callable[[str], str] = lambda answer: ""


def _items(answer: str, response: str) -> Score:
    wanted = [item.strip() for item in answer.split(",")]
    graded, marks = score_items(wanted, response)
    return Score(response.strip() == answer.strip(), graded, marks)


def _whole(right: bool, response: str) -> Score:
    """The score of a response that is judged as a whole."""
    marks = (Mark(0, len(response), right),) if response else ()
    return Score(right, float(right), marks)


def _exact(answer: str, response: str) -> Score:
    return _whole(response.strip() == answer.strip(), response)


def _contains(answer: str, response: str) -> Score:
    start = response.find(answer.strip())
    if start < 0:
        return _whole(False, response)
    return Score(True, 1.0, (Mark(start, start + len(answer.strip()), True),))


def _numeric(answer: str, response: str) -> Score:
    found = list(_NUMBER.finditer(response))
    if not found:
        return _whole(False, response)
    last = found[-1]
    right = math.isclose(_value(last[0]), _value(_last_number(answer) or "nan"), rel_tol=1e-9)
    return Score(right, float(right), (Mark(*last.span(), right),))


def _last_number(text: str) -> str | None:
    found = _NUMBER.findall(text)
    return found[-1] if found else None


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def _regex(answer: str, response: str) -> Score:
    return _whole(_pattern(answer).fullmatch(response.strip()) is not None, response)


@lru_cache(maxsize=4096)
def _pattern(answer: str) -> re.Pattern[str]:
    return re.compile(answer)


def _check_pattern(answer: str) -> str:
    try:
        _pattern(answer)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is no regular expression ({error})"
    return ""


def _check_number(answer: str) -> str:
    return "" if _last_number(answer) else "holds no number"


def _yes_or_no(
    name: str,
    meaning: str,
    score: Callable[[str, str], Score],
    check: Callable[[str], str] = lambda answer: "",
) -> Metric:
    """A metric whose grade is 1 or 0."""
    return Metric(name, meaning, meaning, score, check)


METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric(
            "items",
            "the answer, ignoring spaces at both ends",
            "right items before the first wrong one / items in the longer of answer and response",
            _items,
        ),
        _yes_or_no("exact", "the answer, ignoring spaces at both ends", _exact),
        _yes_or_no("contains", "the answer stands somewhere in the response", _contains),
        _yes_or_no(
            "numeric",
            "the last number of the response is the last number of the answer",
            _numeric,
            _check_number,
        ),
        _yes_or_no(
            "regex",
            "the answer, a regular expression, matches the whole response",
            _regex,
            _check_pattern,
        ),
    )
}
"""The metrics by name.

Example:
    >>> import latent_core as lc
    >>> lc.tasks.METRICS["numeric"].score("42", "6 * 7 is 42.0").exact
    True
"""


def metric_of(given: str | Metric | Callable[[str, str], float]) -> Metric:
    """Return the metric of a name or of a function.

    Args:
        given: a name in `METRICS`, or a function of answer and response that gives 0 to 1; `exact`
            is then whether it gives 1.

    Raises:
        TaskError: if there is no metric of that name.
    """
    if isinstance(given, Metric):
        return given
    if isinstance(given, str):
        if given not in METRICS:
            raise TaskError(
                f"unknown metric {given!r:.80}{did_you_mean(given, METRICS)} Expected one of "
                f"{', '.join(METRICS)}"
            )
        return METRICS[given]
    if not callable(given):
        raise TaskError(
            f"metric is {given!r:.80}; expected one of {', '.join(METRICS)}, or a function of "
            "answer and response that gives a number from 0 to 1"
        )
    name = f"{given.__module__}.{getattr(given, '__qualname__', type(given).__qualname__)}"

    def score(answer: str, response: str) -> Score:
        value = given(answer, response)
        try:
            graded = float(value)
        except (TypeError, ValueError):
            graded = math.nan
        if not 0 <= graded <= 1:
            raise TaskError(f"metric {name} gave {value!r:.80}; expected a number from 0 to 1")
        return Score(graded == 1, graded, ())

    return Metric(name, f"{name} gives 1", f"what {name} gives", score)


def asked_entries(prompt: str, names: Iterable[str], separator: str = ",") -> list[tuple[int, int]]:
    """Return the span of each `name=value` in a prompt's first line, with the sign after it."""
    found = []
    for start, end, item in split_items(prompt.split("\n", 1)[0], separator):
        if item.split("=", 1)[0] in names:
            found.append((start, end + 1))
    return found


def split_items(text: str, separator: str = ",") -> list[tuple[int, int, str]]:
    """Return the separated items of a text as (start, end, item), without spaces around them."""
    items: list[tuple[int, int, str]] = []
    start = 0
    for piece in text.split(separator):
        item = piece.strip()
        begin = start + (len(piece) - len(piece.lstrip()) if item else 0)
        items.append((begin, begin + len(item), item))
        start += len(piece) + len(separator)
    return items if text.strip() else []


def score_items(wanted: list[str], text: str) -> tuple[float, tuple[Mark, ...]]:
    """Grade comma-separated items against those wanted.

    The grade is (leading items right) / max(items wanted, items written). Stopping early and
    running on both cost. Items after the first wrong one do not count. A mark is correct if the
    item at its place is the one wanted there.
    """
    items = split_items(text)
    marks = tuple(
        Mark(start, end, index < len(wanted) and item == wanted[index])
        for index, (start, end, item) in enumerate(items)
    )
    leading = next((i for i, mark in enumerate(marks) if not mark.correct), len(marks))
    return leading / max(len(wanted), len(items), 1), marks


def until_stop(response: str, stop: str = ".") -> str:
    """Return the response before its first `stop` mark; all of it if there is none."""
    return response.split(stop, 1)[0]
