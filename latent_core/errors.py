"""The errors a user can cause, each a `ValueError`.

The text says what was expected, what came, and the fix. Knows nothing of the parts that raise
them; the command line turns every one into exit code 2.
"""

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import SupportsIndex

__all__ = [
    "AdapterError",
    "ArchiveError",
    "BackboneError",
    "LatentError",
    "LayoutError",
    "MissingExtraError",
    "PromptError",
    "SettingError",
    "TaskError",
    "TrainingDivergedError",
    "needs_extra",
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


class MissingExtraError(ImportError, LatentError):
    """An optional part of the package whose own packages are not installed."""


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Import packages of an extra inside the block.

    Args:
        extra: its name in pyproject.toml.
        what: the part that needs it, as the error names it.

    Raises:
        MissingExtraError: if one of the packages is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("latent_core", "workbench"):
            raise
        raise MissingExtraError(
            f"{what} needs the package {package}, which is not installed; run "
            f"pip install 'latent-workbench[{extra}]'",
            name=error.name,
        ) from error


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
