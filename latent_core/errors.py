"""The errors a user can cause, each a `ValueError`.

The text says what was expected, what came, and the fix. Knows nothing of the parts that raise
them; the command line turns every one into exit code 2.
"""

import operator
from typing import SupportsIndex

__all__ = [
    "AdapterError",
    "ArchiveError",
    "BackboneError",
    "LatentError",
    "LayoutError",
    "PromptError",
    "SettingError",
    "TaskError",
    "TrainingDivergedError",
    "whole_number",
]


class LatentError(ValueError):
    """Root of the errors that bad input causes."""


class LayoutError(LatentError):
    """A layout that cannot be read, or that the tokenizer cannot realise."""


class BackboneError(LatentError):
    """A backbone that is missing, or that cannot honour what latent tokens need."""


class AdapterError(LatentError):
    """A saved adapter that is missing, damaged, or made for another backbone."""


class ArchiveError(LatentError):
    """An archive of runs that is missing or damaged, or a folder that cannot become one."""


class PromptError(LatentError):
    """A prompt that is empty or too long for the backbone."""


class TaskError(LatentError):
    """A task, split or data file that does not exist or cannot be read."""


class SettingError(LatentError):
    """A number or option outside its range."""


class TrainingDivergedError(LatentError):
    """The training loss became NaN or infinite."""


def whole_number(name: str, value: SupportsIndex, least: int, most: int | None = None) -> int:
    """Check a whole number, of Python's kind or NumPy's.

    Args:
        name: what the error calls it.
        value: the number.
        least, most: the bounds, both included.

    Raises:
        SettingError: if it is no whole number (a bool is none), or lies outside its bounds.
    """
    expected = f"a whole number of at least {least}"
    if most is not None:
        expected = f"a whole number from {least} to {most}"
    try:
        number = operator.index(value)
    except TypeError:
        raise SettingError(f"{name} is {value!r}; expected {expected}") from None
    if isinstance(value, bool) or number < least or (most is not None and number > most):
        raise SettingError(f"{name} is {value!r}; expected {expected}")
    return number
