"""The notation: one grammar for layouts, methods, selections, interventions and conditions.

`notation.lark` is the grammar. A `Language` reads one kind of text by it and returns its parts.
What the words mean is decided by the code that owns them. A text that breaks the grammar raises an
error with the column, what was expected there, and what came:

    cannot read the intervention: expected '&' or the end at column 22, got 'drop'
        drop(Comma, after=3) drop(Start)
                             ^ expected '&' or the end

Whatever `format_value` writes stands in `verb(...)` as one argument and is read back as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Generic, TypeVar, cast

from lark import Lark
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError

from latent_core.errors import LatentError, LayoutError, SettingError
from latent_core.slots.parts import (
    Call,
    ConditionParts,
    EdgeParts,
    LayoutParts,
    MethodParts,
    MovedParts,
    PartsOf,
    RangeParts,
    SelectionParts,
)
from latent_core.slots.pointing import Part, clipped, pointed

__all__ = [
    "CONDITION",
    "EDGES",
    "INTERVENTION",
    "LAYOUT",
    "METHOD",
    "MOST_INDEX",
    "MOVED",
    "NAME",
    "NUMBERS",
    "PLAIN",
    "SELECTION",
    "Language",
    "format_numbers",
    "format_value",
    "parse_numbers",
    "whole_number",
]

#: No number in a text is larger.
MOST: Final = 10**18

T = TypeVar("T")


@dataclass(frozen=True)
class Language(Generic[T]):
    """One kind of text.

    Attributes:
        rule: where the grammar starts.
        example: how an error describes a text that can be read.
        error: what is raised for one that cannot.
        most: characters that a text may have.
    """

    rule: str
    example: str
    error: type[LatentError]
    most: int = 10_000

    def read(self, text: str) -> T:
        """The parts of a text. Those of a `Part` point into the text that it was taken from.

        Raises:
            LatentError: `error`, with the column, if the text breaks the grammar.
        """
        part = text if isinstance(text, Part) else Part(self._checked(text))
        try:
            tree = _parser(self.rule).parse(str(part))
            return cast(T, PartsOf(part, self.error).transform(tree))
        except UnexpectedInput as unexpected:
            raise self._misread(part, unexpected) from None
        except VisitError as caused:
            raise caused.orig_exc from None

    def _checked(self, text: str) -> str:
        """The text, unless it is none, is too long, or holds half a character."""
        if not isinstance(text, str):
            raise self.error(
                f"expected {self.example}, got {clipped(str(text))}, which is "
                f"{type(text).__name__}; put quotes around it"
            )
        if len(text) > self.most:
            raise self.error(
                f"expected {self.example} of at most {self.most:,} characters, got "
                f"{len(text):,} characters"
            )
        if half := re.search("[\ud800-\udfff]", text):
            raise Part(half[0], text, half.start()).fault(
                self.error, f"{half[0]!r} is half of a character", "expected whole characters"
            )
        return text

    def _misread(self, part: Part, unexpected: UnexpectedInput) -> LatentError:
        """What could have stood where the grammar was broken, and what came."""
        at = unexpected.pos_in_stream or 0
        if isinstance(unexpected, UnexpectedToken) and unexpected.token.type == "$END":
            at = len(part)
        at = min(at, len(part.rstrip()))
        came = re.match(r"\w+|\S", part[at:])
        closing = _CLOSING.get(came[0]) if came else None
        column = part.start + at + 1
        if closing is not None and closing not in part[at + 1 :]:
            expected, got = f"a closing {closing}", "the end"
            said = f"expected {expected} for the {part[at]} at column {column}, got the end"
        else:
            tokens = set(unexpected.interactive_parser.accepts())
            expected = _expected(tokens) if part[:at].strip() else self.example
            got = clipped(came[0]) if came else "the end"
            said = f"expected {expected} at column {column}, got {got}"
            if got == "']'":
                said += r"; write '\]' for a bracket within brackets"
        return self.error(said + pointed(part.source, column - 1, note=f"expected {expected}"))


LAYOUT: Final = Language[LayoutParts]("layout", "a layout such as Start_1+Comma_2", LayoutError)
METHOD: Final = Language[MethodParts](
    "method", "a method such as Start_1+Comma_2 or lora-r4", LayoutError
)
MOVED: Final = Language[MovedParts]("moved", "one place such as Comma or 8", LayoutError)
SELECTION: Final = Language[SelectionParts](
    "selection", "a selection such as Comma or Comma.0", SettingError
)
EDGES: Final = Language[EdgeParts](
    "edges", "queries -> keys, queries <-> keys, or keys", SettingError
)
NAME: Final = Language[Part]("name", "a group such as Comma", SettingError)
NUMBERS: Final = Language[tuple[RangeParts, ...]](
    "numbers", "numbers such as 5, 0-3 or 0-3|7", SettingError
)
INTERVENTION: Final = Language[tuple[Call, ...]](
    "intervention", "an intervention such as drop(Comma, after=3)", SettingError, 50_000
)
PLAIN: Final = Language[None]("plain", "an argument", SettingError)
CONDITION: Final = Language[ConditionParts](
    "condition", "a condition such as Start_2 under drop(Start)", SettingError, 50_000
)

_CLOSING: Final = {'"': '"', "[": "]"}
#: What an error calls the tokens that could have come, in this order.
_TOKENS: Final[dict[str, str]] = {
    "WORD": "a place such as Comma",
    "NAME": "a group such as Comma",
    "VERB": "an intervention such as drop(Comma)",
    "KEY": "an argument",
    "UNDERSCORE": "'_' and a count",
    "COUNT": "a count of at least 1",
    "MEMBER": "a whole number",
    "OCCURRENCE": "a whole number",
    "NUMBER": "a whole number",
    "SIZE": "a size such as -4",
    "PREDICTOR": "latent or verbal",
    "OPTION": "tied or positions=sequential",
    "SETTING": "shared or sequential",
    "EQUAL": "'='",
    "FILLING": "a filling such as hidden",
    "WRITTEN": "text(WORDS)",
    "VALUE": "a number or a word",
    "BY": "parameters or compute",
    "AGAINST": "what to hold it against, such as end",
    "PLUS": "'+'",
    "AT": "'@'",
    "DOT": "'.'",
    "MINUS": "'-'",
    "VBAR": "'|'",
    "ARROW": "'->' or '<->'",
    "SEMICOLON": "';'",
    "COMMA": "','",
    "RPAR": "')'",
    "AND": "'&'",
    "_UNDER": "'under'",
    "_WITHIN": "'within'",
    "$END": "the end",
}


def _expected(tokens: set[str]) -> str:
    """Tokens in words: `'&' or the end`."""
    if {"NONE", "WORD"} <= tokens:
        return LAYOUT.example
    if "TEXT" in tokens:
        tokens = tokens - {"AND"}  # Free text goes on with nearly anything; say what ends it.
    words = list(dict.fromkeys(said for token, said in _TOKENS.items() if token in tokens))
    return " or ".join([", ".join(words[:-1])] * (len(words) > 1) + words[-1:])


def whole_number(
    part: Part, called: str, error: type[LatentError], least: int = -MOST, most: int = MOST
) -> int:
    """A whole number within limits.

    Raises:
        LatentError: `error`, if it is none, or beyond a limit.
    """
    if re.fullmatch("[+-]?[0-9]+(_[0-9]+)*", part) and len(part) <= 30:
        number = int(part)
        if least <= number <= most:
            return number
    limits = f"from {least:,} to {most:,}"
    if (least, most) == (-MOST, MOST):
        limits = "between -10^18 and 10^18"
    raise part.fault(error, f"{called} is {clipped(part)}", f"expected a whole number {limits}")


@cache
def _parser(rule: str) -> Lark:
    """The parser of one language, built when its first text comes."""
    return Lark(
        Path(__file__).with_name("notation.lark").read_text("utf-8"),
        parser="lalr",
        start=rule,
        propagate_positions=True,
        maybe_placeholders=True,
    )


# --- values as text, and numbers ------------------------------------------------------------------

#: No layer or head has a larger number.
MOST_INDEX: Final = 9_999


def format_value(value: object) -> str:
    """A value as an argument, in quotes where it would be read as something else without."""
    if isinstance(value, tuple):
        return format_numbers(value)
    if isinstance(value, float):
        return f"{value!r}".removesuffix(".0")
    text = str(value)
    if text == text.strip() and not re.match(r'\w+\s*=|"', text):
        try:
            PLAIN.read(text)
        except SettingError:
            pass
        else:
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
        SettingError: if it is something else, or a number is above 9,999.
    """
    found: set[int] = set()
    for first, last in NUMBERS.read(text):
        begin, end = (
            whole_number(part, "a number", SettingError, 0, MOST_INDEX)
            for part in (first, last or first)
        )
        if end < begin:
            raise first.fault(
                SettingError, f"{first}-{last} ends before it begins", f"write {last}-{first}"
            )
        found.update(range(begin, end + 1))
    return tuple(sorted(found))
