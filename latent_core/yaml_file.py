"""A YAML file as plain values, within limits: few bytes can stand for billions.

What a file of another kind holds is not repeated in the error: it may be any file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from latent_core.errors import SettingError

__all__ = ["MOST_VALUES", "read_yaml"]

#: Bytes that a file may have.
MOST_BYTES: Final = 1_000_000
#: Values that a file may stand for, with every alias written out.
MOST_VALUES: Final = 100_000
#: Lists and mappings within one another.
MOST_NESTED: Final = 50
#: What PyYAML raises for scalars that are not of the type that they look like.
_BAD_SCALAR: Final = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


def read_yaml(path: Path) -> Any:
    """Read a file.

    Raises:
        SettingError: if it is missing, is not valid YAML, or is beyond a limit.
    """
    import yaml

    text = _text(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            _count(path, root)
        return yaml.safe_load(text)
    except SettingError:
        raise
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark, error.problem or error.context
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SettingError(f"{path} is not valid YAML: {where}{problem}") from error
    except yaml.YAMLError as error:
        raise SettingError(
            f"{path} is not valid YAML: {' '.join(str(error).split()):.200}"
        ) from error
    except RecursionError as error:
        raise SettingError(
            f"{path}: lists or mappings are nested too deep; expected at most {MOST_NESTED}"
        ) from error
    except _BAD_SCALAR as error:
        raise SettingError(
            f"{path} is not valid YAML: a value cannot be read as its type "
            f"({type(error).__name__}); put text into quotes"
        ) from error


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SettingError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:  # a name that no file can have
        raise SettingError(f"cannot read {str(path)!r}: {error}") from error
    if len(content) > MOST_BYTES:
        raise SettingError(
            f"{path} is larger than {MOST_BYTES:,} bytes; expected a short list of settings"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingError(
            f"{path} is not valid YAML: not UTF-8 ({error.reason}); save the file as UTF-8"
        ) from error


def _count(path: Path, root: Any) -> None:
    """Refuse a document that stands for too many values, or holds itself.

    An alias is the very node that it names, so each node is counted once and its count is added up.
    """
    counts: dict[int, int] = {}

    def count(node: Any, depth: int) -> int:
        if depth > MOST_NESTED:
            raise SettingError(
                f"{path}: lists or mappings are nested too deep, or one holds itself; expected at "
                f"most {MOST_NESTED}"
            )
        if id(node) not in counts:
            parts = node.value if isinstance(node.value, list) else []
            inner = [one for part in parts for one in (part if isinstance(part, tuple) else [part])]
            counts[id(node)] = 1 + sum(count(one, depth + 1) for one in inner)
        return counts[id(node)]

    if (found := count(root, 1)) > MOST_VALUES:
        raise SettingError(
            f"{path} stands for {found:,} values, with every alias written out; expected at most "
            f"{MOST_VALUES:,}"
        )
