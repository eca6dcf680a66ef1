"""Values as the notation writes them, and numbers as it reads them.

Whatever `format_value` writes stands in `verb(...)` as one argument and is read back as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from latent_core.errors import SettingError
from latent_core.slots.notation import NUMBERS, PLAIN, whole_number

__all__ = ["MOST_INDEX", "format_numbers", "format_value", "parse_numbers"]

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
