"""Files in the format of safetensors, taken apart into header and tensors, and put together again.

A file is eight bytes with the length of its header, the header (JSON: each tensor's type, shape and
place), and the tensors' bytes. The `safetensors` package checks a file as a whole; here a tensor is
taken as bytes, so that no framework has to know its type.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open

from latent_core.files import parse_json

__all__ = ["TensorFile", "TensorStore", "put_together", "taken_apart", "tensors_of"]

_LENGTH = 8


class TensorFile(NamedTuple):
    """A `.safetensors` file, taken apart.

    Attributes:
        header: its JSON text.
        tensors: by name, in the order of their bytes: type and shape as the header has them, and
            `data`.
    """

    header: str
    tensors: dict[str, dict[str, Any]]


def tensors_of(header: str) -> dict[str, dict[str, Any]]:
    """The tensors that a header describes, in the order of their bytes.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: if it is damaged.
    """
    described = {name: one for name, one in parse_json(header).items() if name != "__metadata__"}
    return dict(sorted(described.items(), key=lambda item: tuple(item[1]["data_offsets"])))


def taken_apart(content: bytes) -> TensorFile | None:
    """Header and tensors of a file, from which it can be made again byte by byte.

    None for a file that is damaged, or that holds bytes of no tensor.
    """
    start = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    try:
        header = content[_LENGTH:start].decode()
        tensors, end = {}, 0
        for name, one in tensors_of(header).items():
            begin, after = one["data_offsets"]
            data = content[start + begin : start + after]
            if begin != end or len(data) != after - begin:
                return None
            tensors[name] = {"dtype": one["dtype"], "shape": one["shape"], "data": data}
            end = after
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return TensorFile(header, tensors) if start + end == len(content) else None


def put_together(tensors: dict[str, dict[str, Any]]) -> bytes:
    """A `.safetensors` file of tensors as `TensorFile` has them, each aligned to its type."""

    def alignment(item: tuple[str, dict[str, Any]]) -> tuple[int, str]:
        size = len(item[1]["data"])
        return -min(8, size & -size), item[0]

    described, end = {}, 0
    whole = sorted(tensors.items(), key=alignment)
    for name, one in whole:
        place = [end, end + len(one["data"])]
        described[name] = {"dtype": one["dtype"], "shape": one["shape"], "data_offsets": place}
        end = place[1]
    header = json.dumps(described, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return b"".join(
        [len(header).to_bytes(_LENGTH, "little"), header, *(one["data"] for _, one in whole)]
    )


class TensorStore:
    """The tensors of a `.safetensors` file, read one by one.

    Args:
        path: the file, which is checked as a whole.

    Raises:
        SafetensorError: if it is damaged.
        OSError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        with safe_open(path, framework="numpy"):
            pass  # checks names, types, shapes and places
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(_LENGTH), "little")
            self._tensors = tensors_of(file.read(length).decode())
        self._path, self._start = path, _LENGTH + length

    def file(self, header: str, prefix: str) -> bytes:
        """The file with this header, whose tensors stand here under `prefix` and their names.

        Raises:
            KeyError: if a tensor is missing.
        """
        text = header.encode()
        parts = [len(text).to_bytes(_LENGTH, "little"), text]
        with open(self._path, "rb") as file:
            for name in tensors_of(header):
                begin, end = self._tensors[prefix + name]["data_offsets"]
                file.seek(self._start + begin, os.SEEK_SET)
                parts.append(file.read(end - begin))
        return b"".join(parts)
