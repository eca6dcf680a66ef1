"""A safetensors file of tensors and notes, written whole or not at all.

`AttentionRecord.save` and `.load` say what the tensors are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from latent_core.errors import SettingError
from latent_core.files import parse_json, write_file

__all__ = ["read_record", "write_record"]

FORMAT = "latent_core attention record, 1"


def write_record(path: str | Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> Path:
    """Write one file; whoever reads sees the old one or the new one, never half.

    Args:
        path: its folder is made if missing.
        tensors: contiguous, on any device.
        notes: whatever JSON can hold.

    Raises:
        SettingError: if it cannot be written.
    """
    content = save(dict(tensors), {"format": FORMAT, "notes": json.dumps(dict(notes))})
    return write_file(path, content, f"the attention record to {path}", SettingError)


def read_record(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the notes that `write_record` was given.

    Raises:
        SettingError: if the file is missing, damaged, or of another kind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("format") != FORMAT:
            raise SettingError(f"{path} is not an attention record, or one of another version")
        return tensors, parse_json(metadata["notes"])
    except (OSError, SafetensorError, ValueError) as error:
        raise SettingError(
            f"cannot read an attention record from {path}: {error}; expected a file that "
            "AttentionRecord.save wrote"
        ) from error
