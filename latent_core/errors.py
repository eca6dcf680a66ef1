"""The errors a user can cause, each a `ValueError`.

The text says what was expected, what came, and the fix. Knows nothing of the parts that raise
them; the command line turns every one into exit code 2.
"""

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, SupportsIndex

__all__ = [
    "AdapterError",
    "ArchiveError",
    "BackboneError",
    "LatentError",
    "LayoutError",
    "MissingExtraError",
    "MovedName",
    "PromptError",
    "SettingError",
    "TaskError",
    "TrainingDivergedError",
    "needs_extra",
    "whole_number",
]


class LatentError(ValueError):
    """Root of the errors that bad input causes.

    Example:
        >>> import latent_core as lc
        >>> lc.load_task("repitition")
        Traceback (most recent call last):
        latent_core.errors.TaskError: unknown task 'repitition'; did you mean 'repetition'? ...
    """


class LayoutError(LatentError):
    """A layout that cannot be read, or that the tokenizer cannot realise.

    Example:
        >>> import latent_core as lc
        >>> lc.layouts.LatentLayout.parse("Start_0")
        Traceback (most recent call last):
        latent_core.errors.LayoutError: the count of 'Start' is '0' at column 7; expected a ...
            Start_0
                  ^
    """


class BackboneError(LatentError):
    """A backbone that is missing, or that cannot honour what latent tokens need.

    Example:
        >>> import latent_core as lc
        >>> lc.load_backbone("tinny")
        Traceback (most recent call last):
        latent_core.errors.BackboneError: cannot load backbone 'tinny'; did you mean 'tiny'? ...
    """


class AdapterError(LatentError):
    """A saved adapter that is missing, damaged, or made for another backbone.

    Example:
        >>> import latent_core as lc
        >>> lc.load_model("no/such/folder")
        Traceback (most recent call last):
        latent_core.errors.AdapterError: no adapter in no/such/folder: expected a file ...
    """


class ArchiveError(LatentError):
    """An archive of runs that is missing or damaged, or a folder that cannot become one.

    Example:
        >>> import latent_core as lc
        >>> path = lc.shipped_adapter("Start_6", backbone="tiny")
        >>> lc.write_records(path, lc.load_runs(path, records=True))
        Traceback (most recent call last):
        latent_core.errors.ArchiveError: cannot write to ...
    """


class PromptError(LatentError):
    """A prompt that is empty or too long for the backbone.

    Example:
        >>> import latent_core as lc
        >>> lc.LatentModel("tiny", "Start_2").generate("")
        Traceback (most recent call last):
        latent_core.errors.PromptError: the prompt is empty; expected at least one character
    """


class TaskError(LatentError):
    """A task, split or data file that does not exist or cannot be read.

    Example:
        >>> import latent_core as lc
        >>> lc.load_task("repetition").examples("test", 1, seed=0)
        Traceback (most recent call last):
        latent_core.errors.TaskError: task 'repetition' has no split 'test'; it has train, ...
    """


class SettingError(LatentError):
    """A number or option outside its range.

    Example:
        >>> import latent_core as lc
        >>> lc.mean_interval([0.5], seeds=[0], confidence=2)
        Traceback (most recent call last):
        latent_core.errors.SettingError: confidence is 2; expected a number between 0 and 1
    """


class TrainingDivergedError(LatentError):
    """The training loss became NaN or infinite.

    Example:
        >>> import latent_core as lc
        >>> model = lc.LatentModel("tiny", "Start_2")
        >>> weights = model.trainable_weights()
        >>> model.assign({name: weight * float("nan") for name, weight in weights.items()})
        >>> lc.train(model, "repetition", steps=1, batch_size=1, progress=False)
        Traceback (most recent call last):
        latent_core.errors.TrainingDivergedError: the loss became nan at step 1, so nothing was ...
    """


class MissingExtraError(ImportError, LatentError):
    """An optional part of the package whose own packages are not installed.

    Example:
        >>> import latent_core as lc
        >>> with lc.errors.needs_extra("workbench", "this example"):
        ...     import no_such_package
        Traceback (most recent call last):
        latent_core.errors.MissingExtraError: this example needs the package no_such_package, ...
    """


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Import packages of an extra inside the block.

    Args:
        extra: its name in pyproject.toml.
        what: the part that needs it, as the error names it.

    Raises:
        MissingExtraError: if one of the packages is not installed.

    Example:
        >>> import latent_core as lc
        >>> with lc.errors.needs_extra("ray", "the engine ray"):
        ...     import json  # a package of the extra
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

    Example:
        >>> import latent_core as lc
        >>> lc.errors.whole_number("steps", 0, least=1)
        Traceback (most recent call last):
        latent_core.errors.SettingError: steps is 0; expected a whole number of at least 1
    """
    expected = f"a whole number of at least {least}"
    if most is not None:
        expected = f"a whole number from {least} to {most}"
    try:
        number = operator.index(value)
    except TypeError:
        raise SettingError(f"{name} is {_shown(value)}; expected {expected}") from None
    if isinstance(value, bool) or number < least or (most is not None and number > most):
        raise SettingError(f"{name} is {_shown(value)}; expected {expected}")
    return number


def _shown(value: object) -> str:
    """A value as an error shows it; Python refuses to write a number of thousands of digits."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


class MovedName:
    """An attribute that another call replaces: whoever reads it is told which.

    Args:
        instead: the call that replaces it.

    Example:
        >>> import latent_core as lc
        >>> class Claim:
        ...     test = lc.errors.MovedName("lc.lab.run(claim, target)")
        >>> Claim().test
        Traceback (most recent call last):
        AttributeError: Claim.test has moved; use lc.lab.run(claim, target)
    """

    def __init__(self, instead: str) -> None:
        self.instead: Final = instead

    def __set_name__(self, owner: type, name: str) -> None:
        self._old = f"{owner.__name__}.{name}"

    def __get__(self, instance: Any, owner: type) -> NoReturn:
        raise AttributeError(f"{self._old} has moved; use {self.instead}")
