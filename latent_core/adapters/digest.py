"""A hash that tells saved models apart, read from their small files. Loads no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from latent_core.archives.folders import read_file
from latent_core.files import parse_json

__all__ = ["saved_digest"]

#: What names a model: files that describe it, and the key under which each keeps hashes of weights.
_DESCRIBED_BY: Final = {"baseline.json": "sha256", "adapter_config.json": "weights_sha256"}
_LENGTH: Final = 32


def saved_digest(folder: str | Path) -> str | None:
    """Hash the model that is saved in a folder, on disk or in an archive.

    It rests on the hashes of the weights that the model's own description holds, which loading
    compares with the weights.

    Returns:
        hexadecimal digits; None if there is no model, or its description is damaged.

    Raises:
        ArchiveError: if the archive that holds it is damaged.
    """
    for name, key in _DESCRIBED_BY.items():
        try:
            body = parse_json(read_file(folder, name))
            about = [body[key], body.get("layout"), body.get("method")]
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:_LENGTH]
    return None
