"""Data that people have, written as a task file: frames, tables and Hugging Face datasets.

A task is one JSONL file, so that runs can say what they were trained on and find it again. What
comes in another form is written as such a file once.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from latent_core.errors import TaskError
from latent_core.files import write_file
from latent_core.tasks.jsonl import FIELDS, JsonlTask

__all__ = ["convert"]

_TEXTS: Final = ("prompt", "answer")
_WHOLE: Final = re.compile(r"[0-9]{1,9}(\.0*)?")
#: What the splits of datasets are mostly called, and what they are called here.
_SPLITS: Final = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "id",
}


def convert(
    data: Any,
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    splits: Mapping[str, str] | None = None,
    metric: str | None = None,
    demand: str | None = None,
    replace: bool = False,
) -> JsonlTask:
    """Write data as a task file, and load it.

    Args:
        data: a pandas data frame; a `Dataset` or `DatasetDict` of Hugging Face `datasets`; an
            iterable of mappings; or the path of a .parquet, .csv or .jsonl file, or of a folder
            that `datasets` has saved.
        path: of the new file, which ends in .jsonl.
        columns: where the data has other names, the column of each field, such as
            `{"prompt": "question"}`. Columns that no field needs are left out.
        splits: what splits of the data are called here; by default `test` is `id`.
        metric: states how responses are scored; a name in `lc.tasks.METRICS`.
        demand: states what the task demands of latent tokens.
        replace: whether a file that is there may be replaced.

    Raises:
        TaskError: if the data has no such column, a row is not valid (the error says which), or the
            file is there already. Nothing is written then.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> import latent_core as lc
        >>> frame = pd.DataFrame({"question": ["2+3=", "4+4="], "answer": [5, 8], "split": "test"})
        >>> path = f"{tempfile.mkdtemp()}/sums.jsonl"
        >>> task = lc.tasks.convert(frame, path, {"prompt": "question"}, metric="numeric")
        >>> task.splits
        ('id',)
    """
    path = Path(path)
    if path.suffix != ".jsonl":
        raise TaskError(f"the task file is {path}; expected a name that ends in .jsonl")
    if path.exists() and not replace:
        raise TaskError(
            f"{path} is there already; choose another name, or replace it (replace=True)"
        )
    columns = dict(columns or {})
    if unknown := sorted(set(columns) - set(FIELDS)):
        raise TaskError(f"unknown field {unknown[0]!r}; expected some of {', '.join(FIELDS)}")
    called = _SPLITS | dict(splits or {})
    stated = {"metric": metric, "demand": demand}
    lines = []
    for number, row in enumerate(_rows(data)):
        fields = _fields(row, columns, number)
        if "split" in fields:
            fields["split"] = called.get(str(fields["split"]), fields["split"])
        if not number:
            fields |= {name: value for name, value in stated.items() if value is not None}
        lines.append(json.dumps(fields, ensure_ascii=False))
    content = ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")
    task = JsonlTask(path, content=content)  # checked before anything is written
    write_file(path, content, what=f"the task file {path}", error=TaskError)
    return task


def _fields(row: Mapping[str, Any], columns: Mapping[str, str], number: int) -> dict[str, Any]:
    """The fields of one row as JSON holds them; what is missing is left out."""
    fields: dict[str, Any] = {}
    # A conversation takes the place of a prompt, and may end in the answer.
    is_chat = "messages" in columns or ("messages" in row and "prompt" not in columns)
    needed = () if is_chat else _TEXTS
    for field in FIELDS:
        if field == ("prompt" if is_chat else "messages"):
            continue
        column = columns.get(field, field)
        if column in row:
            value = _plain(row[column])
            if field in _TEXTS and isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            elif field == "level" and isinstance(value, str) and _WHOLE.fullmatch(value):
                value = int(value.split(".")[0])
            if value is not None and (value != "" or field in needed):
                fields[field] = value
        elif field in columns or field in needed:
            raise TaskError(
                f"row {number} has no column {column!r} for {field!r}; it has "
                f"{', '.join(map(repr, row))}. Say which column it is: columns={{{field!r}: ...}}"
            )
    return fields


def _plain(value: Any) -> Any:
    """A value of pandas, NumPy or Arrow as Python's own; None if it is missing."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if value.is_integer() else value  # whole numbers beside missing ones
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):  # Arrow gives every key of any row
        return {name: _plain(one) for name, one in value.items() if one is not None}
    return value


def _rows(data: Any) -> Iterator[Mapping[str, Any]]:
    """Every row, with the name of its split where the data is divided into splits."""
    if isinstance(data, str | os.PathLike):
        yield from _rows(_read(Path(data)))
    elif hasattr(data, "to_dict") and hasattr(data, "columns"):  # a data frame
        yield from data.to_dict("records")
    elif isinstance(data, Mapping):  # a DatasetDict
        for split, rows in data.items():
            for row in _rows(rows):
                yield {"split": split} | dict(row)
    elif isinstance(data, Iterable):  # a Dataset gives dictionaries
        for number, row in enumerate(data):
            if not isinstance(row, Mapping):
                raise TaskError(
                    f"row {number} is {type(row).__name__}; expected a mapping of columns"
                )
            yield row
    else:
        raise TaskError(
            f"cannot read examples from {type(data).__name__}; expected a data frame, a dataset, "
            "an iterable of mappings, or a path"
        )


def _read(path: Path) -> Any:
    import pandas as pd

    if path.is_dir():
        try:  # the one source that needs a package which nothing else here needs
            load_from_disk = importlib.import_module("datasets").load_from_disk
        except ModuleNotFoundError:
            raise TaskError(
                f"{path} is a folder, which Hugging Face `datasets` reads; pip install datasets"
            ) from None
        try:
            return load_from_disk(str(path))
        except (OSError, ValueError) as error:
            raise TaskError(f"cannot read {path} as a saved dataset: {error}") from error
    readers = {
        ".parquet": pd.read_parquet,
        ".csv": lambda name: pd.read_csv(name, dtype=str, keep_default_na=False),  # text as it is
        ".jsonl": lambda name: pd.read_json(name, lines=True, dtype=False),
    }
    if path.suffix not in readers or not path.is_file():
        known = ", ".join(readers)
        what = "is no file" if not path.exists() else "is of no known kind"
        raise TaskError(f"{path} {what}; expected a file that ends in {known}, or a folder")
    try:
        return readers[path.suffix](path)
    except (OSError, ValueError) as error:
        raise TaskError(f"cannot read {path}: {error}") from error
