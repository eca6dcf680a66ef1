"""The one-line text form of interventions: taken apart and put together again.

    drop(Comma, after=3) & scale(Start, 0.5)

A piece is `verb(argument, name=argument)`; ` & ` joins pieces. Nothing is split inside square
brackets, where layouts write trigger texts, or inside double quotes, which are JSON strings.

Knows no verbs, no layouts and no tensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from latent_core.errors import SettingError

__all__ = ["Piece", "format_numbers", "format_value", "parse_numbers", "pieces", "split"]


class Piece(NamedTuple):
    """One `verb(...)`: its positional and its named arguments, as text."""

    verb: str
    positional: list[str]
    named: dict[str, str]


def split(text: str, separator: str) -> list[str]:
    """Split at `separator` outside brackets, parentheses and quotes; the parts are stripped."""
    parts, start, depth = [], 0, 0
    bracket = quote = escaped = False
    index = 0
    while index < len(text):
        char = text[index]
        free = not bracket and not quote
        if free and depth == 0 and text.startswith(separator, index):
            parts.append(text[start:index].strip())
            index += len(separator)
            start = index
            continue
        if escaped:
            escaped = False
        elif char == "\\" and not free:
            escaped = True
        elif quote:
            quote = char != '"'
        elif bracket:
            bracket = char != "]"
        elif char == '"':
            quote = True
        elif char == "[":
            bracket = True
        elif char in "()":
            depth += 1 if char == "(" else -1
        index += 1
    return [*parts, text[start:].strip()]


def pieces(text: str) -> list[Piece]:
    """The pieces of a text form; none for `none`.

    Raises:
        SettingError: if a piece is not of the form `verb(...)`.
    """
    found: list[Piece] = []
    for part in split(text, "&"):
        if part == "none" or not text.strip():
            continue
        match = re.fullmatch(r"(\w+)\s*\((.*)\)", part, re.DOTALL)
        if match is None:
            raise SettingError(
                f"cannot read {part!r} in intervention {text!r}; expected verb(arguments), several "
                "of them joined by '&', or none: for example 'drop(Comma, after=3)'"
            )
        positional: list[str] = []
        named: dict[str, str] = {}
        for argument in split(match[2], ",") if match[2].strip() else []:
            name = re.match(r"(\w+)\s*=\s*(.*)", argument, re.DOTALL)
            if name:
                named[name[1]] = _unquote(name[2])
            else:
                positional.append(_unquote(argument))
        found.append(Piece(match[1], positional, named))
    return found


def format_value(value: object) -> str:
    """A value as an argument; quoted where it could not be read back otherwise."""
    if isinstance(value, tuple):
        return format_numbers(value)
    if isinstance(value, float):
        return f"{value!r}".removesuffix(".0")
    text = str(value)
    plain = split(text, ",") == [text] and split(text, "&") == [text]
    closed = split(f"{text},x", ",") == [text, "x"]  # nothing left open
    if plain and closed and text and not re.match(r'\w+\s*=|"', text):
        return text
    return json.dumps(text, ensure_ascii=False)


def format_numbers(numbers: Iterable[int]) -> str:
    """Whole numbers as ranges: `0-3|7`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "|".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)


def parse_numbers(text: str) -> tuple[int, ...]:
    """What `format_numbers` wrote.

    Raises:
        SettingError: if it is something else.
    """
    if not re.fullmatch(r"\d+(-\d+)?(\|\d+(-\d+)?)*", text):
        raise SettingError(f"cannot read {text!r} as numbers; expected for example 5, 0-3 or 0-3|7")
    found: set[int] = set()
    for run in text.split("|"):
        first, _, last = run.partition("-")
        if int(last or first) < int(first):
            raise SettingError(f"{run} ends before it begins; expected for example {last}-{first}")
        found.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except json.JSONDecodeError as error:
        raise SettingError(f"cannot read {text} as a quoted text: {error}") from error
